/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program of block.bpf.c counts: one struct block_cpu for each possible CPU, and one struct
 * block_cell for each CPU and disk.
 *
 *   block_cpu   0  24  own
 *
 *   block_cell     3 times, enum block_op:
 *                 0   8  total_ns     sum of the times below
 *                 8   8  queue_ns     likewise
 *                16   8  device_ns    likewise
 *                24 688  total        histogram: from the making of a request to its end
 *               712 688  queue        until the device got it; only where the kernel notes that
 *              1400 688  device       from then on; likewise
 *              2088
 *              6264  96  errors       requests that failed, by status
 *              6360  40  zero
 *
 * Requests may end in interrupts that interrupt each other: additions are atomic.
 */
#ifndef TALLY_BPF_BLOCK_H
#define TALLY_BPF_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"

/* 8.2 us .. 17.2 s. */
#define BLOCK_LO      13u
#define BLOCK_HI      34u
#define BLOCK_BUCKETS TALLY_HISTOGRAM_BUCKETS(BLOCK_LO, BLOCK_HI)

enum block_op {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_OTHER, /* flush, discard, zone commands */
	BLOCK_OPS
};

#define BLOCK_STATUSES \
	12u /* blk_status_t of include/linux/blk_types.h; the last one: any further */

struct block_times {
	uint64_t total_ns;
	uint64_t queue_ns;
	uint64_t device_ns;
	uint64_t total[BLOCK_BUCKETS];
	uint64_t queue[BLOCK_BUCKETS];
	uint64_t device[BLOCK_BUCKETS];
};

struct block_cell {
	struct block_times ops[BLOCK_OPS];
	uint64_t errors[BLOCK_STATUSES];
} __attribute__((aligned(128)));

struct block_cpu {
	struct tally_own own;
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct block_times) == 2088, "shared with user space");
_Static_assert(sizeof(struct block_cell) == 6400, "shared with user space");

#endif
