/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of process.bpf.c count: one struct process_cpu for each possible CPU, and one struct
 * process_cell for each CPU and name of a process.
 *
 *   process_cpu
 *     0  24  fork            the first program's own
 *    24  24  exec            the second's; its runs are the successful calls of execve
 *    48  24  exit            the third's
 *    72  24  signal          the fourth's
 *    96  16  starts          processes, then threads that were made
 *   112  24  ends            processes that ended: enum process_end
 *   136 264  signals         that were sent, by number; 32 stands for all real-time signals
 *   400 112  zero
 *
 *   process_cell
 *     0  64  fatal           signals that were sent to it: enum process_fatal
 *
 * All are in the middle of what tasks do, where another task may take the CPU: additions are atomic.
 */
#ifndef TALLY_BPF_PROCESS_H
#define TALLY_BPF_PROCESS_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"

enum process_start { PROCESS_NEW, PROCESS_THREAD, PROCESS_STARTS };
enum process_end {
	PROCESS_OK, /* exit code 0 */
	PROCESS_FAILED, /* another exit code */
	PROCESS_KILLED, /* by a signal */
	PROCESS_ENDS
};
#define PROCESS_SIGNALS 33u

/* Signals that end a process, or nearly always. */
enum process_fatal {
	PROCESS_ILL,
	PROCESS_ABRT,
	PROCESS_BUS,
	PROCESS_FPE,
	PROCESS_KILL,
	PROCESS_SEGV,
	PROCESS_TERM,
	PROCESS_SYS,
	PROCESS_FATAL
};
#define PROCESS_NAMES 63u

struct process_cell {
	uint64_t fatal[PROCESS_FATAL];
};

struct process_cpu {
	struct tally_own fork, exec, exit, signal;
	uint64_t starts[PROCESS_STARTS];
	uint64_t ends[PROCESS_ENDS];
	uint64_t signals[PROCESS_SIGNALS];
} __attribute__((aligned(128)));

_Static_assert(offsetof(struct process_cpu, signals) == 136, "shared with user space");
_Static_assert(sizeof(struct process_cpu) == 512, "shared with user space");

#endif
