/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long tasks wait for memory that they must win back themselves. That is rare, and takes long: a map of
 * those who are at it costs nothing beside.
 */
#include "bpf/cgroup_of.bpf.h"
#include "bpf/cgroup_slot.bpf.h"
#include "bpf/reclaim.h"

#define PF_KTHREAD 0x00200000u /* include/linux/sched.h */

CPU_MAP(tally_reclaim_cpu, struct reclaim_cpu);
CGROUP_SLOT_MAPS(tally_reclaim, struct reclaim_cell);

/* When the task began; key: its id, and the kind, for one may be in the middle of another. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} tally_reclaim_since SEC(".maps");

KNOBS_MAP(tally_reclaim_knobs);

static __always_inline __u64 key_of(enum reclaim_kind kind)
{
	return (__u64)kind << 32 | (__u32)bpf_get_current_pid_tgid();
}

/* Those compact memory ahead of need: nobody waits for that. */
static __always_inline bool is_kernel_thread(void)
{
	const struct task_struct *task = (const void *)bpf_get_current_task();

	return BPF_CORE_READ(task, flags) & PF_KTHREAD;
}

static __always_inline int count_begin(enum reclaim_kind kind)
{
	struct reclaim_cpu *c = THIS_CPU(tally_reclaim_cpu);
	__u64 key = key_of(kind), now, begin;

	if (!c || is_kernel_thread())
		return 0;
	begin = own_begin(&c->begin[kind]);
	now = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&tally_reclaim_since, &key, &now, BPF_ANY))
		__sync_fetch_and_add(&c->unknown, 1);
	own_end_atomic(&c->begin[kind], begin);
	return 0;
}

static __always_inline void count_stall(struct reclaim_cpu *c, enum reclaim_kind kind, __u64 ns)
{
	const struct task_struct *task = (const void *)bpf_get_current_task();
	const struct cgroup *cgroup = cgroup_read(task, false);
	struct reclaim_cell *cell = SLOT_CELL(tally_reclaim, CGROUP_SLOT(tally_reclaim, cgroup));

	histogram_count(c->kinds[kind].waits, &c->kinds[kind].ns, ns, RECLAIM_LO, RECLAIM_HI);
	if (!cell)
		return;
	__sync_fetch_and_add(&cell->stalls[kind], 1);
	__sync_fetch_and_add(&cell->ns[kind], ns);
}

static __always_inline int count_end(enum reclaim_kind kind)
{
	struct reclaim_cpu *c = THIS_CPU(tally_reclaim_cpu);
	__u64 key = key_of(kind), *since, begin;

	if (!c)
		return 0;
	begin = own_begin(&c->end[kind]);
	since = bpf_map_lookup_elem(&tally_reclaim_since, &key);
	if (since) {
		if (BEGAN_ATTACHED(tally_reclaim_knobs, *since))
			count_stall(c, kind, elapsed(*since, bpf_ktime_get_ns()));
		bpf_map_delete_elem(&tally_reclaim_since, &key);
	}
	own_end_atomic(&c->end[kind], begin);
	return 0;
}

#define PAIR(name, kind, before, after)   \
	SEC("tp_btf/" before)             \
	int BPF_PROG(name##_begin)        \
	{                                 \
		return count_begin(kind); \
	}                                 \
	SEC("tp_btf/" after)              \
	int BPF_PROG(name##_end)          \
	{                                 \
		return count_end(kind);   \
	}

PAIR(tally_direct, RECLAIM_GLOBAL, "mm_vmscan_direct_reclaim_begin", "mm_vmscan_direct_reclaim_end")
PAIR(tally_memcg, RECLAIM_CGROUP, "mm_vmscan_memcg_reclaim_begin", "mm_vmscan_memcg_reclaim_end")
PAIR(tally_compact, RECLAIM_COMPACTION, "mm_compaction_begin", "mm_compaction_end")
