/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes and threads that begin and end, calls of execve, and signals. */
#include "bpf/module.bpf.h"
#include "bpf/process.h"

#define SIGNAL_GROUP_EXIT 4u /* include/linux/sched/signal.h: exit_group, or a deadly signal */
#define EEXIST            17 /* include/uapi/asm-generic/errno-base.h */

CPU_MAP(tally_process_cpu, struct process_cpu);
SLOT_MAPS(tally_process, struct process_cell, struct tally_slot);

struct process_key {
	__u64 signal; /* its address, */
	__u64 start_ns; /* which is used again */
};

/* Processes of more than one thread whose end is counted: their other threads come microseconds later. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct process_key);
	__type(value, __u64);
} tally_process_told SEC(".maps");

SEC("tp_btf/sched_process_fork")
int BPF_PROG(tally_fork, struct task_struct *parent, struct task_struct *child)
{
	struct process_cpu *c = THIS_CPU(tally_process_cpu);
	__u64 begin;

	if (!c)
		return 0;
	begin = own_begin(&c->fork);
	if (child->pid == child->tgid)
		__sync_fetch_and_add(&c->starts[PROCESS_NEW], 1);
	else
		__sync_fetch_and_add(&c->starts[PROCESS_THREAD], 1);
	own_end_atomic(&c->fork, begin);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(tally_exec)
{
	struct process_cpu *c = THIS_CPU(tally_process_cpu);

	if (c)
		own_end_atomic(&c->exec, own_begin(&c->exec));
	return 0;
}

/* How a process ended whose last thread is ending now. */
static __always_inline enum process_end end_of(const struct task_struct *task)
{
	int code = task->exit_code;

	if (task->signal->flags & SIGNAL_GROUP_EXIT)
		code = task->signal->group_exit_code;
	if (code & 0x7f)
		return PROCESS_KILLED;
	return code ? PROCESS_FAILED : PROCESS_OK;
}

/*
 * Threads count themselves out of `live` before they come here: of those that end at once several may find it 0, and
 * the first of them tells. Where nr_threads is 1 all others have been here, and were released since.
 */
static __always_inline bool is_first_to_tell(const struct task_struct *task)
{
	struct process_key key = {
		.signal = (__u64)task->signal, .start_ns = task->group_leader->start_boottime};
	__u64 told = 1;

	if (task->signal->live.counter)
		return false;
	if (task->signal->nr_threads == 1)
		return !bpf_map_lookup_elem(&tally_process_told, &key);
	return bpf_map_update_elem(&tally_process_told, &key, &told, BPF_NOEXIST) != -EEXIST;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(tally_exit, struct task_struct *task)
{
	struct process_cpu *c = THIS_CPU(tally_process_cpu);
	__u64 begin;

	if (!c)
		return 0;
	begin = own_begin(&c->exit);
	if (is_first_to_tell(task))
		__sync_fetch_and_add(&c->ends[end_of(task)], 1);
	own_end_atomic(&c->exit, begin);
	return 0;
}

/* PROCESS_FATAL if it is none of them. The numbers are those of x86 and arm. */
static __always_inline enum process_fatal fatal_of(__u64 signal)
{
	switch (signal) {
	case 4:
		return PROCESS_ILL;
	case 6:
		return PROCESS_ABRT;
	case 7:
		return PROCESS_BUS;
	case 8:
		return PROCESS_FPE;
	case 9:
		return PROCESS_KILL;
	case 11:
		return PROCESS_SEGV;
	case 15:
		return PROCESS_TERM;
	case 31:
		return PROCESS_SYS;
	default:
		return PROCESS_FATAL;
	}
}

/* By the name of the process, whatever its thread is called. */
static __always_inline void count_fatal(const struct task_struct *task, __u64 kind)
{
	const struct task_struct *leader = task->group_leader;
	__u64 key = text_key(leader->comm);
	struct process_cell *c;

	c = SLOT_CELL(tally_process, key ? SLOT(tally_process, key, SLOT_TEXT(leader->comm)) : 0);
	barrier_var(kind);
	if (c && kind < PROCESS_FATAL)
		__sync_fetch_and_add(&c->fatal[kind], 1);
}

SEC("tp_btf/signal_generate")
int BPF_PROG(tally_signal, int signal, const void *info, const struct task_struct *task)
{
	struct process_cpu *c = THIS_CPU(tally_process_cpu);
	__u64 number = (__u32)signal, kind, begin;

	if (number >= PROCESS_SIGNALS)
		number = PROCESS_SIGNALS - 1;
	barrier_var(number);
	if (!c || number >= PROCESS_SIGNALS)
		return 0;
	begin = own_begin(&c->signal);
	__sync_fetch_and_add(&c->signals[number], 1);
	kind = fatal_of(number);
	if (kind < PROCESS_FATAL)
		count_fatal(task, kind);
	own_end_atomic(&c->signal, begin);
	return 0;
}
