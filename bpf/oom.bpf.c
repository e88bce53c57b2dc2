/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Victims of a lack of memory, of the machine or of a cgroup, by their cgroup and name. */
#include "bpf/cgroup_of.bpf.h"
#include "bpf/cgroup_slot.bpf.h"
#include "bpf/oom.h"

CPU_MAP(tally_oom_cpu, struct oom_cpu);
SLOT_MAPS(tally_oom, struct oom_cell, struct oom_name);

/*
 * The task, or NULL if it is not known: kernels whose tracepoint has few figures tell only its number, which nearly
 * always is that of the task that asked for the memory.
 */
static __always_inline const struct task_struct *victim_of(__u64 argument)
{
	if (bpf_core_field_exists(struct trace_event_raw_mark_victim, uid))
		return (const void *)argument;
	if ((__u32)argument == (__u32)bpf_get_current_pid_tgid())
		return (const void *)bpf_get_current_task();
	return NULL;
}

static __always_inline void name_victim(struct oom_name *slot, const struct task_struct *victim,
	const struct kernfs_node *kn, __u64 path)
{
	cgroup_fill(&slot->cgroup, kn, path);
	bpf_probe_read_kernel_str(slot->comm, sizeof(slot->comm), victim->comm);
}

static __always_inline __u32 slot_of(const struct task_struct *victim)
{
	const struct kernfs_node *kn = BPF_CORE_READ(cgroup_read(victim, false), kn);
	__u64 name = text_key(victim->comm), path = cgroup_identity(kn);

	return name ? SLOT(tally_oom, name + path, name_victim(slot, victim, kn, path)) : 0;
}

SEC("tp_btf/mark_victim")
int tally_oom_victim(__u64 *ctx)
{
	struct oom_cpu *own = THIS_CPU(tally_oom_cpu);
	const struct task_struct *victim;
	struct oom_cell *c;
	__u64 begin;

	if (!own)
		return 0;
	begin = own_begin(&own->own);
	victim = victim_of(ctx[0]);
	c = SLOT_CELL(tally_oom, victim ? slot_of(victim) : 0);
	if (c)
		__sync_fetch_and_add(&c->kills, 1);
	own_end_atomic(&own->own, begin);
	return 0;
}
