/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long soft interrupts wait: from the first time that one is asked for until it runs. One that is asked for anew
 * between the kernel's taking note of those to run and its running is not timed.
 */
#include "bpf/module.bpf.h"
#include "bpf/softirq_latency.h"

CPU_MAP(tally_softirq_latency_cpu, struct softirq_latency_cpu);

SEC("tp_btf/softirq_raise")
int BPF_PROG(tally_softirq_raise, unsigned int type)
{
	struct softirq_latency_cpu *c = THIS_CPU(tally_softirq_latency_cpu);
	__u64 begin;

	barrier_var(type);
	if (!c || type >= SOFTIRQ_TYPES)
		return 0;
	begin = own_begin(&c->raise);
	if (!c->raised_ns[type])
		c->raised_ns[type] = bpf_ktime_get_ns();
	own_end_atomic(&c->raise, begin);
	return 0;
}

SEC("tp_btf/softirq_entry")
int BPF_PROG(tally_softirq_served, unsigned int type)
{
	struct softirq_latency_cpu *c = THIS_CPU(tally_softirq_latency_cpu);
	__u64 begin, raised;

	barrier_var(type);
	if (!c || type >= SOFTIRQ_TYPES)
		return 0;
	begin = own_begin(&c->entry);
	raised = c->raised_ns[type];
	c->raised_ns[type] = 0;
	if (raised)
		histogram_count(c->types[type].waits, &c->types[type].ns,
			elapsed(raised, bpf_ktime_get_ns()), SOFTIRQ_LATENCY_LO,
			SOFTIRQ_LATENCY_HI);
	own_end_atomic(&c->entry, begin);
	return 0;
}
