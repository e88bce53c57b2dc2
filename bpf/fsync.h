/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of fsync.bpf.c count: one struct fsync_cpu for each possible CPU, and one struct fsync_cell
 * for each CPU and device.
 *
 *   fsync_cpu   0  24  enter      the first program's own
 *              24  24  exit       the second's
 *              48   8  unknown    calls that are not counted, for want of room in a map
 *              56  72  zero
 *
 *   fsync_cell     2 times, enum fsync_op:
 *               0   8  ns         sum of the times below
 *               8 688  times      histogram
 *             696
 *            1392  16  errors     calls that failed, by enum fsync_op
 *
 * Tasks may be moved and interrupted meanwhile: additions are atomic.
 */
#ifndef TALLY_BPF_FSYNC_H
#define TALLY_BPF_FSYNC_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"

/* 8.2 us .. 17.2 s. */
#define FSYNC_LO      13u
#define FSYNC_HI      34u
#define FSYNC_BUCKETS TALLY_HISTOGRAM_BUCKETS(FSYNC_LO, FSYNC_HI)

enum fsync_op {
	FSYNC_ALL, /* fsync, O_SYNC */
	FSYNC_DATA, /* fdatasync, O_DSYNC */
	FSYNC_OPS
};

struct fsync_times {
	uint64_t ns;
	uint64_t times[FSYNC_BUCKETS];
};

struct fsync_cell {
	struct fsync_times ops[FSYNC_OPS];
	uint64_t errors[FSYNC_OPS];
} __attribute__((aligned(128)));

struct fsync_cpu {
	struct tally_own enter, exit;
	uint64_t unknown;
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct fsync_times) == 696, "shared with user space");
_Static_assert(sizeof(struct fsync_cell) == 1408, "shared with user space");
_Static_assert(sizeof(struct fsync_cpu) == 128, "shared with user space");

#endif
