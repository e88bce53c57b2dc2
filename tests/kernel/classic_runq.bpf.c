/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run-queue latency as it is usually measured: the time of each wake-up is kept in a map, and the task that gets a
 * CPU is looked up there. Two programs and a reading of the clock in each; to compare with bpf/sched.bpf.c.
 */
#include "bpf/module.bpf.h"
#include "tests/kernel/classic_runq.h"

CPU_MAP(classic_cpu, struct classic_cpu);

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u64);
} classic_since SEC(".maps");

static __always_inline int note(const struct task_struct *task)
{
	__u32 pid = (__u32)task->pid;
	__u64 now = bpf_ktime_get_ns();

	if (pid)
		bpf_map_update_elem(&classic_since, &pid, &now, BPF_ANY);
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(classic_wakeup, struct task_struct *task)
{
	return note(task);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(classic_new, struct task_struct *task)
{
	return note(task);
}

static __always_inline bool is_runnable(const struct task_struct *task)
{
	if (bpf_core_field_exists(task->__state))
		return !task->__state;
	return !((const struct task_struct___old *)task)->state;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(classic_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct classic_cpu *c = THIS_CPU(classic_cpu);
	__u32 pid = (__u32)next->pid;
	__u64 *since, wait, bucket;

	if (is_runnable(prev))
		note(prev);
	since = bpf_map_lookup_elem(&classic_since, &pid);
	if (!c || !since)
		return 0;
	wait = elapsed(*since, bpf_ktime_get_ns());
	bpf_map_delete_elem(&classic_since, &pid);
	bucket = tally_histogram_index(wait, SCHED_WAIT_LO, SCHED_WAIT_HI);
	barrier_var(bucket);
	if (bucket >= SCHED_WAIT_BUCKETS)
		return 0;
	c->waits[bucket]++;
	c->wait_ns += wait;
	return 0;
}
