/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long requests to disks take, from one program where they end: the kernel has noted in each when it was
 * made, and where somebody asked for it when the device got it.
 */
#include "bpf/block.h"
#include "bpf/module.bpf.h"

CPU_MAP(tally_block_cpu, struct block_cpu);
SLOT_MAPS(tally_block, struct block_cell, struct tally_slot);

/* enum req_op of include/linux/blk_types.h */
enum {
	REQ_OP_READ = 0,
	REQ_OP_WRITE = 1,
	REQ_OP_DRV_IN = 34, /* commands of drivers: these and above are no input or output */
};

static __always_inline const struct gendisk *disk_of(const struct request *rq)
{
	const struct request___old *old = (const void *)rq;

	if (bpf_core_field_exists(old->rq_disk))
		return BPF_CORE_READ(old, rq_disk);
	return BPF_CORE_READ(rq, q, disk);
}

static __always_inline void count_time(uint64_t *buckets, uint64_t *sum, __u64 ns)
{
	__u64 bucket = tally_histogram_index(ns, BLOCK_LO, BLOCK_HI);

	barrier_var(bucket);
	if (bucket >= BLOCK_BUCKETS)
		return;
	__sync_fetch_and_add(&buckets[bucket], 1);
	__sync_fetch_and_add(sum, ns);
}

/* Before 5.19 errors are errno values. */
static __always_inline __u32 status_of(int error)
{
	switch (error) {
	case -95: /* EOPNOTSUPP */
		return 1;
	case -110: /* ETIMEDOUT */
		return 2;
	case -28: /* ENOSPC */
		return 3;
	case -67: /* ENOLINK */
		return 4;
	case -121: /* EREMOTEIO */
		return 5;
	case -52: /* EBADE */
		return 6;
	case -61: /* ENODATA */
		return 7;
	case -84: /* EILSEQ */
		return 8;
	case -12: /* ENOMEM */
		return 9;
	case -5: /* EIO */
		return 10;
	default:
		return error > 0 && error < (int)BLOCK_STATUSES ? (__u32)error : BLOCK_STATUSES - 1;
	}
}

static __always_inline void count_request(struct block_cell *c, const struct request *rq, int error)
{
	__u64 now = bpf_ktime_get_ns(), op = rq->cmd_flags & 0xff, status;
	struct block_times *t = &c->ops[BLOCK_OTHER];

	if (op == REQ_OP_READ)
		t = &c->ops[BLOCK_READ];
	else if (op == REQ_OP_WRITE)
		t = &c->ops[BLOCK_WRITE];
	if (rq->start_time_ns)
		count_time(t->total, &t->total_ns, elapsed(rq->start_time_ns, now));
	if (rq->io_start_time_ns)
		count_time(t->device, &t->device_ns, elapsed(rq->io_start_time_ns, now));
	if (!error)
		return;
	status = status_of(error);
	barrier_var(status);
	if (status < BLOCK_STATUSES)
		__sync_fetch_and_add(&c->errors[status], 1);
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(tally_block, struct request *rq, int error, unsigned int bytes)
{
	struct block_cpu *own = THIS_CPU(tally_block_cpu);
	const struct gendisk *disk;
	struct block_cell *c;
	__u64 begin, device;

	/* a part of a request; the rest is to come */
	if (!own || bytes < rq->__data_len || (rq->cmd_flags & 0xff) >= REQ_OP_DRV_IN)
		return 0;
	disk = disk_of(rq);
	if (!disk)
		return 0;
	begin = own_begin(&own->own);
	device = (__u64)(__u32)BPF_CORE_READ(disk, major) << 32 |
		 (__u32)BPF_CORE_READ(disk, first_minor);
	c = SLOT_CELL(tally_block, SLOT(tally_block, device, SLOT_TEXT(disk->disk_name)));
	if (c)
		count_request(c, rq, error);
	own_end_atomic(&own->own, begin);
	return 0;
}
