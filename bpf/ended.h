/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The last figures of processes that have ended, which the program of sched.bpf.c leaves when their last thread
 * gives up its CPU for good: see ended.bpf.h.
 *
 * struct ended_cpu, for each possible CPU:
 *
 *     0  24  own          of the part that runs when a thread is dead; its runs are the dead threads
 *    24   8  rows         that this CPU has written: the newest is number rows - 1
 *    32  24  ends         processes that ended: enum ended_how
 *    56  72  sums         of the processes that ended: enum ended_sum
 *   128   8  late         rows of threads that went after their process's row was written
 *   136 120  zero
 *   256 576  work         the program's own: a row before it is written
 *   832 576  leader       likewise: that of a first thread
 *
 * Row number n of a CPU is at cpu x ENDED_ROWS + n % ENDED_ROWS of an array, ENDED_ROWS being a constant that
 * the loader sets. What is not read in time is overwritten; the sums have it all the same.
 */
#ifndef TALLY_BPF_ENDED_H
#define TALLY_BPF_ENDED_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"

enum ended_how { ENDED_OK, ENDED_FAILED, ENDED_KILLED, ENDED_HOWS };

/* What is summed over processes, ended or not. */
enum ended_sum {
	ENDED_CPU, /* ns on a CPU, by the scheduler's clock */
	ENDED_DELAY, /* ns that threads were runnable and had no CPU */
	ENDED_READ, /* bytes from disks, and to them: CONFIG_TASK_IO_ACCOUNTING */
	ENDED_WRITTEN,
	ENDED_MINOR, /* page faults without and with input */
	ENDED_MAJOR,
	ENDED_VOLUNTARY, /* context switches to wait, and others */
	ENDED_INVOLUNTARY,
	ENDED_SPARE,
	ENDED_SUMS
};

struct ended_figures {
	uint64_t number; /* 1 + its number */
	uint64_t start_ns, end_ns; /* since boot, with time asleep */
	uint64_t sums[ENDED_SUMS];
	uint64_t user_ns, system_ns; /* as ticks found it: only their ratio is of use */
	uint64_t peak_pages; /* of resident memory */
	uint32_t pid, parent, uid;
	uint32_t code; /* as wait(2) tells it */
	uint32_t
		late; /* a thread that went after its process's row: only pid, comm and sums are of use */
	uint32_t spare;
	char comm[16];
};

struct ended_row {
	struct ended_figures figures;
	struct tally_slot_cgroup cgroup; /* by its path: a cgroup that is made again is the same */
	uint64_t reserved;
};

struct ended_cpu {
	struct tally_own own;
	uint64_t rows;
	uint64_t ends[ENDED_HOWS];
	uint64_t sums[ENDED_SUMS];
	uint64_t late;
	uint64_t reserved[15];
	struct ended_row work, leader;
} __attribute__((aligned(128)));

/* Set before the program is loaded. */
struct ended_settings {
	uint64_t since_ns; /* a process that began later has had all of its threads seen */
	uint32_t rows; /* of a CPU: a power of two */
	uint32_t spare;
};

/* How a status of wait(2) counts. */
static inline enum ended_how ended_how(uint32_t code)
{
	if (code & 0x7f)
		return ENDED_KILLED;
	return code ? ENDED_FAILED : ENDED_OK;
}

_Static_assert(sizeof(struct ended_row) == 576, "shared with user space");
_Static_assert(offsetof(struct ended_cpu, work) == 256, "shared with user space");
_Static_assert(sizeof(struct ended_cpu) == 1408, "shared with user space");

#endif
