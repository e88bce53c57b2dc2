/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How large requests to disks are, and whether each goes on where the one before it ended. */
#include "bpf/block_size.h"
#include "bpf/disk.bpf.h"

CPU_MAP(tally_block_size_cpu, struct block_size_cpu);
SLOT_MAPS(tally_block_size, struct block_size_cell, struct tally_slot);

/*
 * Where the last request of a slot's disk ended, in units of 512 bytes. Of all CPUs: requests that end at the same
 * time have no order anyway.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TALLY_SLOTS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} tally_block_size_last SEC(".maps");

static __always_inline void count_request(
	struct block_size_cell *c, const struct request *rq, unsigned int bytes, __u64 *last)
{
	struct block_sizes *s = &c->ops[BLOCK_SIZE_READ];

	if (op_of(rq) == REQ_OP_WRITE)
		s = &c->ops[BLOCK_SIZE_WRITE];
	histogram_count(s->sizes, &s->bytes, bytes, BLOCK_SIZE_LO, BLOCK_SIZE_HI);
	if (*last == rq->__sector)
		__sync_fetch_and_add(&c->order[BLOCK_SIZE_SEQUENTIAL], 1);
	else
		__sync_fetch_and_add(&c->order[BLOCK_SIZE_RANDOM], 1);
	*last = rq->__sector + bytes / 512;
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(tally_block_size, struct request *rq, int error, unsigned int bytes)
{
	struct block_size_cpu *own = THIS_CPU(tally_block_size_cpu);
	const struct gendisk *disk;
	struct block_size_cell *c;
	__u64 begin, *last;
	__u32 slot;

	if (!own || !bytes || op_of(rq) > REQ_OP_WRITE)
		return 0;
	disk = disk_of(rq);
	if (!disk)
		return 0;
	begin = own_begin(&own->own);
	slot = SLOT(tally_block_size, disk_number(disk), SLOT_TEXT(disk->disk_name));
	c = SLOT_CELL(tally_block_size, slot);
	last = bpf_map_lookup_elem(&tally_block_size_last, &slot);
	if (c && last)
		count_request(c, rq, bytes, last);
	own_end_atomic(&own->own, begin);
	return 0;
}
