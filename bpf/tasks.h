/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the iterator of tasks.bpf.c writes: one record for each thread, in the order of their ids. That of a
 * process's first thread is struct tasks_first, with what its dead threads left; others are struct
 * tasks_thread, with which it begins.
 */
#ifndef TALLY_BPF_TASKS_H
#define TALLY_BPF_TASKS_H

#include <stddef.h>
#include <stdint.h>

/* Counters that grow as long as a process lives. */
enum task_counter {
	TASK_CPU, /* ns on a CPU, by the scheduler's clock */
	TASK_DELAY, /* ns runnable without a CPU, of living threads */
	TASK_READ, /* bytes from disks, and to them: CONFIG_TASK_IO_ACCOUNTING */
	TASK_WRITTEN,
	TASK_FAULTS, /* page faults, of both kinds */
	TASK_SWITCHES, /* context switches, of both kinds */
	TASK_COUNTERS
};

struct tasks_thread {
	uint32_t pid; /* of the process */
	uint32_t size; /* of this record */
	uint64_t counters[TASK_COUNTERS];
};

struct tasks_first {
	struct tasks_thread thread;
	uint64_t start_ns; /* since boot, with time asleep */
	uint64_t pages; /* resident */
	uint32_t threads; /* that are not released */
	uint32_t ended; /* no thread is live: its figures are with those that ended */
	char comm[16];
};

_Static_assert(sizeof(struct tasks_thread) == 56, "shared with user space");
_Static_assert(sizeof(struct tasks_first) == 96, "shared with user space");

#endif
