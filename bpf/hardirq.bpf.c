/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long handlers of devices' interrupts run. Timers and calls between CPUs are no such interrupts. */
#include "bpf/hardirq.h"
#include "bpf/module.bpf.h"

CPU_MAP(tally_hardirq_cpu, struct hardirq_cpu);
SLOT_MAPS(tally_hardirq, struct hardirq_cell, struct hardirq_name);

SEC("tp_btf/irq_handler_entry")
int BPF_PROG(tally_hardirq_entry)
{
	struct hardirq_cpu *c = THIS_CPU(tally_hardirq_cpu);
	__u64 begin;

	if (!c)
		return 0;
	begin = own_begin(&c->entry);
	c->since_ns = bpf_ktime_get_ns();
	own_end(&c->entry, begin);
	return 0;
}

SEC("tp_btf/irq_handler_exit")
int BPF_PROG(tally_hardirq_exit, int irq, struct irqaction *action, int claimed)
{
	struct hardirq_cpu *own = THIS_CPU(tally_hardirq_cpu);
	struct hardirq_cell *c;
	__u64 begin;

	if (!own)
		return 0;
	begin = own_begin(&own->exit);
	/* where devices share an interrupt it has the name of the first that was called */
	c = SLOT_CELL(tally_hardirq,
		SLOT(tally_hardirq, (__u32)irq, SLOT_NUMBER((__u32)irq); SLOT_TEXT(action->name)));
	if (c && own->since_ns)
		histogram_count(c->times, &c->ns, elapsed(own->since_ns, bpf_ktime_get_ns()),
			HARDIRQ_LO, HARDIRQ_HI);
	if (c && !claimed)
		__sync_fetch_and_add(&c->unclaimed, 1);
	own->since_ns = 0;
	own_end(&own->exit, begin);
	return 0;
}
