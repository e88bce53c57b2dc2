/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long requests to disks take, from one program where they end: the kernel has noted in each when it was
 * made, and where somebody asked for it when the device got it.
 */
#include "bpf/block.h"
#include "bpf/disk.bpf.h"
#include "bpf/module.bpf.h"

CPU_MAP(tally_block_cpu, struct block_cpu);
SLOT_MAPS(tally_block, struct block_cell, struct tally_slot);

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
	struct block_times *t = OF_OP(c->ops, rq);
	__u64 now = bpf_ktime_get_ns(), status;

	if (rq->start_time_ns)
		histogram_count(t->total, &t->total_ns, elapsed(rq->start_time_ns, now), BLOCK_LO,
			BLOCK_HI);
	if (rq->io_start_time_ns)
		histogram_count(t->device, &t->device_ns, elapsed(rq->io_start_time_ns, now),
			BLOCK_LO, BLOCK_HI);
	if (rq->start_time_ns && rq->io_start_time_ns)
		histogram_count(t->queue, &t->queue_ns,
			elapsed(rq->start_time_ns, rq->io_start_time_ns), BLOCK_LO, BLOCK_HI);
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
	__u64 begin;

	if (!own || !ends_request(rq, bytes))
		return 0;
	disk = disk_of(rq);
	if (!disk)
		return 0;
	begin = own_begin(&own->own);
	c = SLOT_CELL(
		tally_block, SLOT(tally_block, disk_number(disk), SLOT_TEXT(disk->disk_name)));
	if (c)
		count_request(c, rq, error);
	own_end_atomic(&own->own, begin);
	return 0;
}
