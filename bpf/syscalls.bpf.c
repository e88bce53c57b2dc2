/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System calls by number: how many ended, how many of them failed, and how long some took. Calls are counted
 * where they end, by one program. The other one has the clock read for one of SYSCALLS_EVERY.
 */
#include "bpf/module.bpf.h"
#include "bpf/syscalls.h"

/* From here to -1 results are errors; those of MAX_RESTART to MIN_RESTART lead to another try, or to EINTR. */
#define MAX_ERRNO   4095
#define MIN_RESTART 512
#define MAX_RESTART 516
#define TS_COMPAT   2u /* arch/x86/include/asm/thread_info.h */

CPU_MAP(tally_syscalls_cpu, struct syscalls_cpu);
SLOT_MAPS(tally_syscalls, struct syscalls_cell, struct tally_slot_number);

struct timed {
	__u64 since_ns;
	__u64 number;
};

/* The call of a task that is being timed. A task that ends in one leaves it: so the oldest make room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct timed);
} tally_syscalls_timed SEC(".maps");

KNOBS_MAP(tally_syscalls_knobs);

static __always_inline __u32 current_tid(void)
{
	return (__u32)bpf_get_current_pid_tgid();
}

static __always_inline void time_call(long number)
{
	struct timed t = {.since_ns = bpf_ktime_get_ns(), .number = (__u64)number};
	__u32 tid = current_tid();

	bpf_map_update_elem(&tally_syscalls_timed, &tid, &t, BPF_ANY);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(tally_sys_enter, struct pt_regs *regs, long number)
{
	struct syscalls_cpu *c = THIS_CPU(tally_syscalls_cpu);
	__u64 begin;

	if (!c || IS_PAUSED(tally_syscalls_knobs))
		return 0;
	begin = own_begin(&c->enter);
	/* where not all are looked at none is timed: to find out at its end which was costs more than to count it */
	if (tally_syscalls_knobs.every == 1 && is_chosen(SYSCALLS_EVERY, &c->left))
		time_call(number);
	own_end_atomic(&c->enter, begin);
	return 0;
}

static __always_inline bool is_32bit(void)
{
	const struct task_struct *task = (const void *)bpf_get_current_task();

	return bpf_core_field_exists(task->thread_info.status) &&
	       BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
}

static __always_inline long number_of(const struct pt_regs *regs)
{
	const struct pt_regs___arm64 *arm = (const void *)regs;

	if (bpf_core_field_exists(arm->syscallno))
		return BPF_CORE_READ(arm, syscallno);
	return (long)BPF_CORE_READ(regs, orig_ax);
}

static __always_inline void count_time(__u64 number)
{
	__u32 tid = current_tid(), slot = 0;
	struct timed *t = bpf_map_lookup_elem(&tally_syscalls_timed, &tid);
	struct syscalls_cell *c;

	if (!t)
		return;
	/* another number: the task that began is no more, and this one has its id */
	if (t->number == number && BEGAN_ATTACHED(tally_syscalls_knobs, t->since_ns)) {
		if (number < SYSCALLS_OTHER)
			slot = SLOT(tally_syscalls, number, SLOT_NUMBER(number));
		c = SLOT_CELL(tally_syscalls, slot);
		if (c)
			histogram_count(c->times, &c->ns, elapsed(t->since_ns, bpf_ktime_get_ns()),
				SYSCALLS_LO, SYSCALLS_HI);
	}
	bpf_map_delete_elem(&tally_syscalls_timed, &tid);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(tally_sys_exit, struct pt_regs *regs, long result)
{
	struct syscalls_cpu *c = THIS_CPU(tally_syscalls_cpu);
	__u64 begin, at, n;
	long number;

	if (!c || IS_PAUSED(tally_syscalls_knobs))
		return 0;
	begin = own_begin(&c->exit);
	n = sample_weight(&tally_syscalls_knobs, &c->passes);
	if (!n) {
		own_end_atomic(&c->exit, begin);
		return 0;
	}
	number = number_of(regs);
	at = (__u64)number;
	if (at >= SYSCALLS || is_32bit())
		at = SYSCALLS_OTHER;
	barrier_var(at);
	if (at >= SYSCALLS)
		return 0;
	__sync_fetch_and_add(&c->calls[at], n);
	if (result < 0 && result >= -MAX_ERRNO &&
		!(result <= -MIN_RESTART && result >= -MAX_RESTART))
		__sync_fetch_and_add(&c->errors[at], n);
	if (at != SYSCALLS_OTHER && n == 1)
		count_time(at);
	own_end_atomic(&c->exit, begin);
	return 0;
}
