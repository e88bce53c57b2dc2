/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program of block_size.bpf.c counts: one struct block_size_cpu for each possible CPU, and one struct
 * block_size_cell for each CPU and disk.
 *
 *   block_size_cpu    0  24  own
 *
 *   block_size_cell      2 times, enum block_size_op:
 *                     0   8  bytes      sum of the sizes below
 *                     8 496  sizes      histogram of bytes
 *                   504
 *                  1008  16  order      requests by enum block_size_order
 *
 * Requests may end in interrupts that interrupt each other: additions are atomic.
 */
#ifndef TALLY_BPF_BLOCK_SIZE_H
#define TALLY_BPF_BLOCK_SIZE_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"

/* 512 bytes .. 16 MiB. */
#define BLOCK_SIZE_LO      9u
#define BLOCK_SIZE_HI      24u
#define BLOCK_SIZE_BUCKETS TALLY_HISTOGRAM_BUCKETS(BLOCK_SIZE_LO, BLOCK_SIZE_HI)

enum block_size_op { BLOCK_SIZE_READ, BLOCK_SIZE_WRITE, BLOCK_SIZE_OPS };

enum block_size_order {
	BLOCK_SIZE_SEQUENTIAL, /* begins where the disk's request before it ended */
	BLOCK_SIZE_RANDOM,
	BLOCK_SIZE_ORDERS
};

struct block_sizes {
	uint64_t bytes;
	uint64_t sizes[BLOCK_SIZE_BUCKETS];
};

struct block_size_cell {
	struct block_sizes ops[BLOCK_SIZE_OPS];
	uint64_t order[BLOCK_SIZE_ORDERS];
} __attribute__((aligned(128)));

struct block_size_cpu {
	struct tally_own own;
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct block_sizes) == 504, "shared with user space");
_Static_assert(sizeof(struct block_size_cell) == 1024, "shared with user space");

#endif
