/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets that are dropped, by the reason that the kernel gives. */
#include "bpf/drop.h"
#include "bpf/module.bpf.h"

CPU_MAP(tally_drop_cpu, struct drop_cpu);

SEC("tp_btf/kfree_skb")
int BPF_PROG(tally_drop, void *skb, void *location, unsigned int why)
{
	struct drop_cpu *c = THIS_CPU(tally_drop_cpu);
	__u64 reason = why, begin;

	if (reason >= DROP_REASONS)
		reason = DROP_REASONS - 1;
	barrier_var(reason);
	if (!c || reason >= DROP_REASONS)
		return 0;
	begin = own_begin(&c->own);
	__sync_fetch_and_add(&c->reasons[reason], 1);
	own_end_atomic(&c->own, begin);
	return 0;
}
