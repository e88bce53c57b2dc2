/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of jbd2.bpf.c count: one struct jbd2_cpu for each possible CPU, and one struct jbd2_cell for
 * each CPU and device.
 *
 *   jbd2_cpu    0  24  start
 *              24  24  end
 *              48   8  unknown    commits that are not in the histograms, for want of room in a map
 *              56  72  zero
 *
 *   jbd2_cell   0   8  ns         sum of times
 *               8 688  commits    histogram of them
 *             696  72  zero
 *
 * Threads may be interrupted where this is counted: additions are atomic.
 */
#ifndef TALLY_BPF_JBD2_H
#define TALLY_BPF_JBD2_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"

/* 8.2 us .. 17.2 s. */
#define JBD2_LO      13u
#define JBD2_HI      34u
#define JBD2_BUCKETS TALLY_HISTOGRAM_BUCKETS(JBD2_LO, JBD2_HI)

struct jbd2_cell {
	uint64_t ns;
	uint64_t commits[JBD2_BUCKETS];
} __attribute__((aligned(128)));

struct jbd2_cpu {
	struct tally_own start, end;
	uint64_t unknown;
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct jbd2_cell) == 768, "shared with user space");

#endif
