/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The last figures of processes, taken when the scheduler puts a dead thread off its CPU: later than any other
 * event of it, so that all of its time is there. (At the tracepoint sched_process_exit a process of 3 ms has
 * yet to use some 5 % of its time.)
 *
 *   first thread   ------- exits ---- dead: the row     threads before: their time is in a map,
 *   thread         -- exits ---- dead                   by process, until the row takes it
 *   thread         ------------ exits ---- dead: late   a row of its own, that adds to the first
 *
 * live, the number of threads that have not begun to exit, is 0 when the process is at its end. Its row is
 * that of the first thread, which is dead once in each process; if that went while others lived, it leaves
 * what it had in a map, and of those who find live at 0 the one that removes it from there writes the row.
 *
 * The run queue is locked here, and interrupts are off: maps are those that allocate nothing.
 */
#ifndef TALLY_BPF_ENDED_BPF_H
#define TALLY_BPF_ENDED_BPF_H

#include "bpf/cgroup_of.bpf.h"
#include "bpf/cgroup_slot.bpf.h"
#include "bpf/ended.h"
#include "bpf/module.bpf.h"

#define TASK_DEAD_STATE 0x80u /* include/linux/sched.h */
#define GROUP_EXIT      4u /* SIGNAL_GROUP_EXIT of include/linux/sched/signal.h */

CPU_MAP(tally_ended_cpu, struct ended_cpu);

MAPPED_ARRAY(tally_ended_rows, struct ended_row);

const volatile struct ended_settings tally_ended_settings SEC(".rodata.ended") = {.rows = 1};

/* Of processes with threads that are dead. One that is forgotten, there being others, loses their time. */
struct ended_threads {
	__u64 signal; /* whose; ids are used again */
	__u64 cpu_ns, delay_ns;
	__u64 ended; /* the row is written: who comes now is late */
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct ended_threads);
} tally_ended_dead SEC(".maps");

/* What first threads leave that go before others, with who they were. */
struct ended_leader {
	__u64 task, signal;
	struct ended_row row;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct ended_leader);
} tally_ended_first SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ended_leader);
} tally_ended_blank SEC(".maps");

/* --- what a thread has -------------------------------------------------------------------------- */

static __always_inline bool is_dead(struct task_struct *task)
{
	if (bpf_core_field_exists(task->__state))
		return task->__state & TASK_DEAD_STATE;
	return ((struct task_struct___old *)task)->state & TASK_DEAD_STATE;
}

static __always_inline void row_identity(struct ended_row *row, struct task_struct *task)
{
	const struct kernfs_node *kn = BPF_CORE_READ(cgroup_of(task), kn);
	struct ended_figures *r = &row->figures;

	cgroup_fill(&row->cgroup, kn, cgroup_identity(kn));
	r->start_ns = task->start_boottime;
	r->pid = (__u32)task->tgid;
	r->parent = (__u32)task->real_parent->tgid;
	r->uid = task->cred->uid.val;
	r->code = (__u32)task->exit_code;
	r->late = 0;
	bpf_probe_read_kernel_str(r->comm, sizeof(r->comm), task->comm);
}

/* All but times on the CPU and in its queue, which are not in the sums of struct signal_struct. */
static __always_inline void row_figures(struct ended_figures *r, struct task_struct *task)
{
	r->user_ns = task->utime;
	r->system_ns = task->stime;
	r->sums[ENDED_MINOR] = task->min_flt;
	r->sums[ENDED_MAJOR] = task->maj_flt;
	r->sums[ENDED_VOLUNTARY] = task->nvcsw;
	r->sums[ENDED_INVOLUNTARY] = task->nivcsw;
	r->sums[ENDED_READ] = r->sums[ENDED_WRITTEN] = 0;
	if (!bpf_core_field_exists(task->ioac.read_bytes))
		return;
	r->sums[ENDED_READ] = task->ioac.read_bytes;
	r->sums[ENDED_WRITTEN] = task->ioac.write_bytes;
}

static __always_inline void row_times(struct ended_figures *r, struct task_struct *task)
{
	r->sums[ENDED_CPU] = task->se.sum_exec_runtime;
	r->sums[ENDED_DELAY] = task->sched_info.run_delay;
}

static __always_inline void row_add_released(struct ended_figures *r, struct signal_struct *signal)
{
	r->user_ns += signal->utime;
	r->system_ns += signal->stime;
	r->sums[ENDED_MINOR] += signal->min_flt;
	r->sums[ENDED_MAJOR] += signal->maj_flt;
	r->sums[ENDED_VOLUNTARY] += signal->nvcsw;
	r->sums[ENDED_INVOLUNTARY] += signal->nivcsw;
	if (!bpf_core_field_exists(signal->ioac.read_bytes))
		return;
	r->sums[ENDED_READ] += signal->ioac.read_bytes;
	r->sums[ENDED_WRITTEN] += signal->ioac.write_bytes;
}

static __always_inline void row_no_figures(struct ended_figures *r)
{
	r->user_ns = r->system_ns = 0;
	r->sums[ENDED_MINOR] = r->sums[ENDED_MAJOR] = 0;
	r->sums[ENDED_VOLUNTARY] = r->sums[ENDED_INVOLUNTARY] = 0;
	r->sums[ENDED_READ] = r->sums[ENDED_WRITTEN] = 0;
}

/* --- threads that went before ------------------------------------------------------------------- */

/* What is known of the dead threads of this very process. */
static __always_inline struct ended_threads *threads_of(__u32 pid, struct signal_struct *signal)
{
	struct ended_threads *t = bpf_map_lookup_elem(&tally_ended_dead, &pid);

	return t && t->signal == (__u64)signal ? t : NULL;
}

static __always_inline void threads_add(struct task_struct *task, struct signal_struct *signal)
{
	struct ended_threads first = {.signal = (__u64)signal,
		.cpu_ns = task->se.sum_exec_runtime,
		.delay_ns = task->sched_info.run_delay};
	__u32 pid = (__u32)task->tgid;
	struct ended_threads *t = threads_of(pid, signal);

	if (!t && bpf_map_update_elem(&tally_ended_dead, &pid, &first, BPF_NOEXIST)) {
		t = threads_of(pid, signal);
		if (!t) /* an id that is used again */
			bpf_map_update_elem(&tally_ended_dead, &pid, &first, BPF_ANY);
	}
	if (!t)
		return;
	__sync_fetch_and_add(&t->cpu_ns, first.cpu_ns);
	__sync_fetch_and_add(&t->delay_ns, first.delay_ns);
}

/*
 * Adds the times of threads that are dead, and marks that the row is written: what comes later is late. Of a
 * process that began before us the kernel's own sum is taken, which lacks the last microseconds of each
 * thread. It has the first thread's time if that has been released, which is so when none is left.
 */
static __always_inline void row_add_threads(
	struct ended_figures *r, struct signal_struct *signal, __u64 leader_ns, int threads)
{
	__u64 released = signal->sum_sched_runtime, own = threads ? 0 : leader_ns;
	struct ended_threads *t = threads_of(r->pid, signal);

	released = elapsed(own, released);
	if (t) {
		t->ended = 1;
		r->sums[ENDED_CPU] += t->cpu_ns;
		r->sums[ENDED_DELAY] += t->delay_ns;
	} else if (threads > 1 || released) {
		struct ended_threads mark = {.signal = (__u64)signal, .ended = 1};

		bpf_map_update_elem(&tally_ended_dead, &r->pid, &mark, BPF_ANY);
	}
	if (r->start_ns < tally_ended_settings.since_ns && (!t || t->cpu_ns < released))
		r->sums[ENDED_CPU] += released - (t ? t->cpu_ns : 0);
}

/* --- rows ----------------------------------------------------------------------------------------- */

/* Only this CPU writes its struct, with interrupts off: plain additions. */
static __always_inline void row_write(struct ended_cpu *c, struct ended_row *row)
{
	struct ended_figures *r = &row->figures;
	__u32 rows = tally_ended_settings.rows;
	__u32 at = bpf_get_smp_processor_id() * rows + ((__u32)c->rows & (rows - 1));
	struct ended_row *to = bpf_map_lookup_elem(&tally_ended_rows, &at);

	r->number = c->rows + 1;
	r->end_ns = bpf_ktime_get_boot_ns();
	for (__u32 i = 0; i < ENDED_SUMS; i++)
		c->sums[i] += r->sums[i];
	if (r->late)
		c->late++;
	else
		c->ends[ended_how(r->code)]++;
	if (to)
		__builtin_memcpy(to, row, sizeof(*to));
	barrier();
	c->rows++;
}

/* The process's row: that of its first thread, with all others. */
static __always_inline void row_of_process(
	struct ended_cpu *c, struct ended_row *row, struct signal_struct *signal)
{
	struct ended_figures *r = &row->figures;
	int threads = signal->nr_threads;
	__u64 leader_ns = r->sums[ENDED_CPU];

	if (!threads)
		row_no_figures(r);
	row_add_released(r, signal);
	row_add_threads(r, signal, leader_ns, threads);
	r->peak_pages = signal->maxrss;
	if (signal->flags & GROUP_EXIT)
		r->code = (__u32)signal->group_exit_code;
	row_write(c, row);
}

static __always_inline void row_of_late(struct ended_cpu *c, struct task_struct *task)
{
	row_identity(&c->work, task);
	row_no_figures(&c->work.figures);
	row_times(&c->work.figures, task);
	c->work.figures.late = 1;
	row_write(c, &c->work);
}

/* One that called execve took the first's place, which was dead by then: its time belongs to the process. */
static __always_inline void row_add_replaced(struct ended_cpu *c, const struct ended_leader *left)
{
	struct ended_figures *r = &c->work.figures;
	__u32 pid = r->pid;

	r->sums[ENDED_CPU] += left->row.figures.sums[ENDED_CPU];
	r->sums[ENDED_DELAY] += left->row.figures.sums[ENDED_DELAY];
	bpf_map_delete_elem(&tally_ended_first, &pid);
}

/* The first thread is dead. Is the process at its end, and are we to tell? */
static __always_inline bool leader_ends(
	struct ended_cpu *c, struct task_struct *task, struct signal_struct *signal)
{
	__u32 zero = 0, pid = (__u32)task->tgid;
	struct ended_leader *blank, *left;

	if (!signal->live.counter) {
		left = bpf_map_lookup_elem(&tally_ended_first, &pid);
		if (left && left->signal == (__u64)signal)
			row_add_replaced(c, left);
		return true;
	}
	blank = bpf_map_lookup_elem(&tally_ended_blank, &zero);
	if (!blank || bpf_map_update_elem(&tally_ended_first, &pid, blank, BPF_ANY))
		return false;
	left = bpf_map_lookup_elem(&tally_ended_first, &pid);
	if (!left)
		return false;
	left->row = c->work;
	left->signal = (__u64)signal;
	left->task = (__u64)task; /* last: now others may find it */
	/* One that began to exit meanwhile may not have found it. */
	return !signal->live.counter && !bpf_map_delete_elem(&tally_ended_first, &pid);
}

/* Another thread is dead, and none lives: did the first one leave it to us? */
static __always_inline bool claim_leader(struct ended_cpu *c, struct task_struct *task)
{
	__u32 pid = (__u32)task->tgid;
	struct ended_leader *left = bpf_map_lookup_elem(&tally_ended_first, &pid);

	/* One that called execve took the place of the first. */
	if (!left || left->task != (__u64)task->group_leader)
		return false;
	c->leader = left->row;
	return !bpf_map_delete_elem(&tally_ended_first, &pid);
}

static __always_inline void end_of_thread(struct ended_cpu *c, struct task_struct *task)
{
	struct signal_struct *signal = task->signal;
	struct ended_threads *t;

	if (task->pid == task->tgid) {
		row_identity(&c->work, task);
		row_figures(&c->work.figures, task);
		row_times(&c->work.figures, task);
		if (leader_ends(c, task, signal))
			row_of_process(c, &c->work, signal);
		return;
	}
	t = threads_of((__u32)task->tgid, signal);
	if (t && t->ended) {
		row_of_late(c, task);
		return;
	}
	threads_add(task, signal);
	if (!signal->live.counter && claim_leader(c, task))
		row_of_process(c, &c->leader, signal);
}

/* A function of its own, since its stack is not to be that of the program which runs at each switch. */
static __noinline int count_dead(struct task_struct *task)
{
	struct ended_cpu *c = THIS_CPU(tally_ended_cpu);
	__u64 begin;

	if (!c)
		return 0;
	begin = own_begin(&c->own);
	end_of_thread(c, task);
	own_end(&c->own, begin);
	return 0;
}

/* Of each task that leaves a CPU: is it the last time? */
static __always_inline void count_end(struct task_struct *task)
{
	if (__builtin_expect(is_dead(task), 0))
		count_dead(task);
}

#endif
