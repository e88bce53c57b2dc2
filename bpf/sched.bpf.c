/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Context switches, time on CPU and run-queue latency, from one program and without reading a clock.
 *
 * The scheduler has read its clock just before the tracepoint: rq->clock is the time of this switch.
 * It has also noted when each task became runnable (sched_info.last_queued), and clears that note
 * only after the tracepoint. So there is no program on wake-ups and no map of tasks.
 *
 *           wake-up of B          switch A -> B               switch B -> C
 *   --------------|--------------------|---------------------------|--------> rq->clock
 *                 |<- B waits          |<- B on CPU                |
 *            last_queued           since_ns
 *
 * A task that is preempted is runnable at once, so it waits from there; a task that is moved to
 * another CPU while it waits begins anew there (the kernel starts its note again).
 */
#include "bpf/ended.bpf.h"
#include "bpf/module.bpf.h"
#include "bpf/sched.h"

CPU_MAP(tally_sched_cpu, struct sched_cpu);
KNOBS_MAP(tally_sched_knobs);

static __always_inline void count_switch(
	struct sched_cpu *c, struct task_struct *prev, struct task_struct *next)
{
	__u64 now = next->se.cfs_rq->rq->clock, queued = next->sched_info.last_queued;

	/* What began before we were attached has no start: we did not see it arrive. */
	if (prev->pid && c->since_ns && c->since_ns == prev->sched_info.last_arrival)
		c->run_ns += elapsed(c->since_ns, now);
	c->since_ns = now;
	if (next->pid && queued)
		histogram_add_alone(c->waits, &c->wait_ns, elapsed(queued, now), 1, SCHED_WAIT_LO,
			SCHED_WAIT_HI);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(tally_sched, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct sched_cpu *c = THIS_CPU(tally_sched_cpu);
	__u64 begin;

	if (!c || IS_PAUSED(tally_sched_knobs))
		return 0;
	begin = own_begin(&c->own);
	count_switch(c, prev, next);
	own_end(&c->own, begin);
	count_end(prev);
	return 0;
}
