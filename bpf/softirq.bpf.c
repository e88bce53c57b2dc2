/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long soft interrupts run, by type. All are counted, one of SOFTIRQ_EVERY of each type is timed: the
 * two readings of the clock cost more than all else here.
 */
#include "bpf/module.bpf.h"
#include "bpf/softirq.h"

CPU_MAP(tally_softirq_cpu, struct softirq_cpu);
KNOBS_MAP(tally_softirq_knobs);

SEC("tp_btf/softirq_entry")
int BPF_PROG(tally_softirq_entry, unsigned int type)
{
	struct softirq_cpu *c = THIS_CPU(tally_softirq_cpu);
	__u64 begin;

	barrier_var(type);
	if (!c || type >= SOFTIRQ_TYPES || IS_PAUSED(tally_softirq_knobs))
		return 0;
	begin = own_begin(&c->entry);
	c->since_ns = c->served[type] % SOFTIRQ_EVERY == 0 ? bpf_ktime_get_ns() : 0;
	c->served[type]++;
	own_end(&c->entry, begin);
	return 0;
}

SEC("tp_btf/softirq_exit")
int BPF_PROG(tally_softirq_exit, unsigned int type)
{
	struct softirq_cpu *c = THIS_CPU(tally_softirq_cpu);
	__u64 begin;

	barrier_var(type);
	if (!c || type >= SOFTIRQ_TYPES || IS_PAUSED(tally_softirq_knobs))
		return 0;
	begin = own_begin(&c->exit);
	if (c->since_ns)
		c->sampled_ns[type] += elapsed(c->since_ns, bpf_ktime_get_ns());
	c->since_ns = 0;
	own_end(&c->exit, begin);
	return 0;
}
