/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Figures of all threads, when somebody reads the iterator; nothing runs in between. A thread that ends
 * while it runs may be missing.
 */
#include "bpf/module.bpf.h"
#include "bpf/tasks.h"

static __always_inline void put_counters(struct tasks_thread *t, struct task_struct *task)
{
	t->pid = (__u32)task->tgid;
	t->counters[TASK_CPU] = task->se.sum_exec_runtime;
	t->counters[TASK_DELAY] = task->sched_info.run_delay;
	t->counters[TASK_FAULTS] = task->min_flt + task->maj_flt;
	t->counters[TASK_SWITCHES] = task->nvcsw + task->nivcsw;
	if (!bpf_core_field_exists(task->ioac.read_bytes))
		return;
	t->counters[TASK_READ] = task->ioac.read_bytes;
	t->counters[TASK_WRITTEN] = task->ioac.write_bytes;
}

/* What threads left that are released. */
static __always_inline void add_released(struct tasks_thread *t, struct signal_struct *signal)
{
	t->counters[TASK_CPU] += signal->sum_sched_runtime;
	t->counters[TASK_FAULTS] += signal->min_flt + signal->maj_flt;
	t->counters[TASK_SWITCHES] += signal->nvcsw + signal->nivcsw;
	if (!bpf_core_field_exists(signal->ioac.read_bytes))
		return;
	t->counters[TASK_READ] += signal->ioac.read_bytes;
	t->counters[TASK_WRITTEN] += signal->ioac.write_bytes;
}

/* Three of one kind each: MM_FILEPAGES, MM_ANONPAGES, MM_SHMEMPAGES of include/linux/mm_types_task.h. */
static __always_inline __s64 pages_of(struct mm_struct *mm)
{
	return BPF_CORE_READ(mm, rss_stat[0].count) + BPF_CORE_READ(mm, rss_stat[1].count) +
	       BPF_CORE_READ(mm, rss_stat[3].count);
}

static __always_inline __s64 old_pages_of(struct mm_struct *mm)
{
	__s64 pages[4] = {0};

	bpf_probe_read_kernel(pages, sizeof(pages),
		(const char *)mm + bpf_core_field_offset(struct mm_struct___old, rss_stat));
	return pages[0] + pages[1] + pages[3];
}

/* What CPUs have not told yet is missing, up to some tens of pages for each, and the sum may be below 0. */
static __always_inline __u64 resident(struct task_struct *task)
{
	struct mm_struct *mm = task->mm;
	__s64 pages;

	if (!mm)
		return 0;
	if (bpf_core_field_exists(struct mm_struct___old, rss_stat))
		pages = old_pages_of(mm);
	else
		pages = pages_of(mm);
	return pages > 0 ? (__u64)pages : 0;
}

SEC("iter/task")
int tally_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct tasks_first f = {.thread.size = sizeof(f)};
	struct signal_struct *signal;

	if (!task)
		return 0;
	put_counters(&f.thread, task);
	if (task->pid != task->tgid) {
		f.thread.size = sizeof(f.thread);
		bpf_seq_write(ctx->meta->seq, &f.thread, sizeof(f.thread));
		return 0;
	}
	signal = task->signal;
	add_released(&f.thread, signal);
	f.start_ns = task->start_boottime;
	f.pages = resident(task);
	f.threads = (__u32)signal->nr_threads;
	f.ended = !signal->live.counter;
	bpf_probe_read_kernel_str(f.comm, sizeof(f.comm), task->comm);
	bpf_seq_write(ctx->meta->seq, &f, sizeof(f));
	return 0;
}
