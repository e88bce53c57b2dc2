/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time on CPU and run-queue latency by cgroup, as bpf/sched.bpf.c has them by CPU: it explains which clock is read.
 * The cgroup of the task that gets the CPU is looked up, that of the one which leaves it was when it came.
 */
#include "bpf/cgroup_of.bpf.h"
#include "bpf/cgroup_sched.h"
#include "bpf/cgroup_slot.bpf.h"

CPU_MAP(tally_cgroup_sched_cpu, struct cgroup_sched_cpu);
CGROUP_SLOT_MAPS(tally_cgroup_sched, struct cgroup_sched_cell);
KNOBS_MAP(tally_cgroup_sched_knobs);

/* A function of its own, since its stack is not to be that of the programs. */
static __noinline __u32 slot_met(const struct kernfs_node *kn)
{
	return CGROUP_SLOT_OF_ID(tally_cgroup_sched, kn->id, kn);
}

/* Those that take turns on a CPU are few: they are found here without a look into a map. Ids are never used again. */
static __always_inline __u32 slot_of(struct cgroup_sched_cpu *own, struct task_struct *task)
{
	const struct kernfs_node *kn = cgroup_of(task)->kn;
	__u64 id = kn->id, at = id % CGROUP_SCHED_LAST;

	if (own->last[at].id != id) {
		own->last[at].slot = slot_met(kn);
		own->last[at].id = id;
	}
	return (__u32)own->last[at].slot;
}

/* n: how many switches this one stands for. */
static __always_inline void count_switch(
	struct cgroup_sched_cpu *own, struct task_struct *prev, struct task_struct *next, __u64 n)
{
	__u64 now = next->se.cfs_rq->rq->clock, queued = next->sched_info.last_queued;
	struct cgroup_sched_cell *c;

	/* we saw it arrive: then its slot is known */
	if (prev->pid && own->since_ns && own->since_ns == prev->sched_info.last_arrival) {
		c = SLOT_CELL(tally_cgroup_sched, (__u32)own->slot);
		if (c)
			c->run_ns += elapsed(own->since_ns, now) * own->weight;
	}
	own->since_ns = now;
	own->weight = n;
	if (!next->pid || !n)
		return;
	own->slot = slot_of(own, next);
	c = SLOT_CELL(tally_cgroup_sched, (__u32)own->slot);
	if (!c)
		return;
	c->switches += n;
	if (queued)
		histogram_add_alone(c->waits, &c->wait_ns, elapsed(queued, now), n, CGROUP_WAIT_LO,
			CGROUP_WAIT_HI);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(tally_cgroup_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct cgroup_sched_cpu *own = THIS_CPU(tally_cgroup_sched_cpu);
	__u64 begin, n;

	if (!own || IS_PAUSED(tally_cgroup_sched_knobs))
		return 0;
	begin = own_begin(&own->own);
	n = sample_weight(&tally_cgroup_sched_knobs, &own->left);
	/* one that is passed over ends what the last one began */
	if (n || own->weight)
		count_switch(own, prev, next, n);
	own_end(&own->own, begin);
	return 0;
}

SEC("tp_btf/sched_migrate_task")
int BPF_PROG(tally_cgroup_move, struct task_struct *task)
{
	struct cgroup_sched_cpu *own = THIS_CPU(tally_cgroup_sched_cpu);
	struct cgroup_sched_cell *c;
	__u64 begin;

	if (!own || IS_PAUSED(tally_cgroup_sched_knobs))
		return 0;
	begin = own_begin(&own->move);
	c = SLOT_CELL(tally_cgroup_sched, slot_of(own, task));
	if (c)
		__sync_fetch_and_add(&c->moves, 1);
	own_end_atomic(&own->move, begin);
	return 0;
}
