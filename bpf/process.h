/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of process.bpf.c count: one struct process_cpu for each possible CPU.
 *
 *     0  24  fork            the first program's own
 *    24  24  exec            the second's; its runs are the successful calls of execve
 *    48  24  exit            the third's
 *    72  24  signal          the fourth's
 *    96  16  starts          processes, then threads that were made
 *   112  24  ends            processes that ended: enum process_end
 *   136 264  signals         that were sent, by number; 32 stands for all real-time signals
 *   400 112  zero
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

struct process_cpu {
	struct tally_own fork, exec, exit, signal;
	uint64_t starts[PROCESS_STARTS];
	uint64_t ends[PROCESS_ENDS];
	uint64_t signals[PROCESS_SIGNALS];
} __attribute__((aligned(128)));

_Static_assert(offsetof(struct process_cpu, signals) == 136, "shared with user space");
_Static_assert(sizeof(struct process_cpu) == 512, "shared with user space");

#endif
