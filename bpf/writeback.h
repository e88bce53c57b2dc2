/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program of writeback.bpf.c counts: one struct writeback_cpu for each possible CPU, and one struct
 * writeback_cell for each CPU and device.
 *
 *   writeback_cpu    0  24  own
 *
 *   writeback_cell   0   8  ns       sum of pauses
 *                    8 336  pauses   histogram of them
 *                  344  40  zero
 *
 * Tasks may be interrupted where this is counted, and another one may come on the CPU: additions are atomic.
 */
#ifndef TALLY_BPF_WRITEBACK_H
#define TALLY_BPF_WRITEBACK_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"

/* 1.05 ms .. 1.07 s: the kernel pauses a task for 200 ms at most. */
#define WRITEBACK_LO      20u
#define WRITEBACK_HI      30u
#define WRITEBACK_BUCKETS TALLY_HISTOGRAM_BUCKETS(WRITEBACK_LO, WRITEBACK_HI)

struct writeback_cell {
	uint64_t ns;
	uint64_t pauses[WRITEBACK_BUCKETS];
} __attribute__((aligned(128)));

struct writeback_cpu {
	struct tally_own own;
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct writeback_cell) == 384, "shared with user space");

#endif
