/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long tasks have a CPU at a time; bpf/sched.bpf.c explains which clock is read. */
#include "bpf/module.bpf.h"
#include "bpf/slices.h"

CPU_MAP(tally_slices_cpu, struct slices_cpu);
KNOBS_MAP(tally_slices_knobs);

static __always_inline void count_slice(struct slices_cpu *c, __u64 slice)
{
	__u64 bucket = tally_histogram_index(slice, SLICES_LO, SLICES_HI);

	barrier_var(bucket);
	if (bucket >= SLICES_BUCKETS)
		return;
	c->slices[bucket]++;
	c->run_ns += slice;
}

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
		count_slice(c, elapsed(c->since_ns, now));
	c->since_ns = now;
	own_end(&c->own, begin);
	return 0;
}
