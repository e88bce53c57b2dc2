/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long file systems take to commit a transaction of their journal: one thread of each journal does that, one
 * transaction after the other, a few in a second.
 */
#include "bpf/jbd2.h"
#include "bpf/module.bpf.h"

CPU_MAP(tally_jbd2_cpu, struct jbd2_cpu);
SLOT_MAPS(tally_jbd2, struct jbd2_cell, struct tally_slot);

/* When a journal's commit began, by its address. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} tally_jbd2_since SEC(".maps");

KNOBS_MAP(tally_jbd2_knobs);

SEC("tp_btf/jbd2_start_commit")
int BPF_PROG(tally_commit_begin, const struct journal_s *journal)
{
	struct jbd2_cpu *c = THIS_CPU(tally_jbd2_cpu);
	__u64 key = (__u64)journal, now, begin;

	if (!c)
		return 0;
	begin = own_begin(&c->start);
	now = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&tally_jbd2_since, &key, &now, BPF_ANY))
		__sync_fetch_and_add(&c->unknown, 1);
	own_end_atomic(&c->start, begin);
	return 0;
}

static __always_inline void count_commit(const struct journal_s *journal, __u64 ns)
{
	const struct block_device *device = BPF_CORE_READ(journal, j_dev);
	struct jbd2_cell *c;

	c = SLOT_CELL(tally_jbd2,
		SLOT(tally_jbd2, BPF_CORE_READ(device, bd_dev), SLOT_TEXT(journal->j_devname)));
	if (c)
		histogram_count(c->commits, &c->ns, ns, JBD2_LO, JBD2_HI);
}

SEC("tp_btf/jbd2_end_commit")
int BPF_PROG(tally_commit_end, const struct journal_s *journal)
{
	struct jbd2_cpu *c = THIS_CPU(tally_jbd2_cpu);
	__u64 key = (__u64)journal, *since, begin;

	if (!c)
		return 0;
	begin = own_begin(&c->end);
	since = bpf_map_lookup_elem(&tally_jbd2_since, &key);
	if (since) {
		if (BEGAN_ATTACHED(tally_jbd2_knobs, *since))
			count_commit(journal, elapsed(*since, bpf_ktime_get_ns()));
		bpf_map_delete_elem(&tally_jbd2_since, &key);
	}
	own_end_atomic(&c->end, begin);
	return 0;
}
