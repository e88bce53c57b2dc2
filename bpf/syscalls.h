/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of syscalls.bpf.c count: one struct syscalls_cpu for each possible CPU, and one struct
 * syscalls_cell for each CPU and system call.
 *
 *   syscalls_cpu    0    24  enter      the first program's own
 *                  24    24  exit       the second's
 *                  48     8  left       calls until the next that is timed
 *                  56     8  passes     calls that are still to be passed over, where not all are looked at
 *                  64  4096  calls      that ended, by number
 *                4160  4096  errors     likewise
 *                8256    64  zero
 *
 *   syscalls_cell   0     8  ns         sum of the times below
 *                   8   656  times      histogram of the calls that were timed
 *                 664   104  zero
 *
 * Only what ends is counted, so exit and exit_group never are. Programs run where tasks may be moved and
 * interrupted: additions are atomic.
 */
#ifndef TALLY_BPF_SYSCALLS_H
#define TALLY_BPF_SYSCALLS_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"

/* Numbers; the last stands for any further, and for those of 32-bit programs, which have other numbers. */
#define SYSCALLS       512u
#define SYSCALLS_OTHER (SYSCALLS - 1)
/* One of so many is timed, on average. */
#define SYSCALLS_EVERY 64u

/* 1.02 us .. 1.07 s. */
#define SYSCALLS_LO      10u
#define SYSCALLS_HI      30u
#define SYSCALLS_BUCKETS TALLY_HISTOGRAM_BUCKETS(SYSCALLS_LO, SYSCALLS_HI)

struct syscalls_cell {
	uint64_t ns;
	uint64_t times[SYSCALLS_BUCKETS];
} __attribute__((aligned(128)));

struct syscalls_cpu {
	struct tally_own enter, exit;
	uint64_t left;
	uint64_t passes;
	uint64_t calls[SYSCALLS];
	uint64_t errors[SYSCALLS];
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct syscalls_cell) == 768, "shared with user space");
_Static_assert(sizeof(struct syscalls_cpu) == 8320, "shared with user space");

#endif
