/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long tasks have a CPU at a time; bpf/sched.bpf.c explains which clock is read. */
#include "bpf/module.bpf.h"
#include "bpf/slices.h"

CPU_MAP(tally_slices_cpu, struct slices_cpu);
KNOBS_MAP(tally_slices_knobs);

SEC("tp_btf/sched_switch")
int BPF_PROG(tally_slices, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct slices_cpu *c = THIS_CPU(tally_slices_cpu);
	__u64 begin, now;

	if (!c || IS_PAUSED(tally_slices_knobs))
		return 0;
	begin = own_begin(&c->own);
	now = next->se.cfs_rq->rq->clock;
	/* we saw it arrive, and it is not the idle task */
	if (prev->pid && c->since_ns && c->since_ns == prev->sched_info.last_arrival)
		histogram_add_alone(
			c->slices, &c->run_ns, elapsed(c->since_ns, now), 1, SLICES_LO, SLICES_HI);
	c->since_ns = now;
	own_end(&c->own, begin);
	return 0;
}
