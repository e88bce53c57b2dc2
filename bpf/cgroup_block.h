/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program of cgroup_block.bpf.c counts: one struct cgroup_block_cpu for each possible CPU, and one struct
 * cgroup_block_cell for each CPU and cgroup. Times and their range are those of bpf/block.h.
 *
 *   cgroup_block_cpu      0   24  own
 *                        24 2088  none       requests that no cgroup caused, as below
 *                      2112   64  zero
 *
 *   cgroup_block_cell        3 times, enum block_op:
 *                         0    8  total_ns   sum of the times below
 *                         8  688  total      histogram: from the making of a request to its end
 *                       696
 *                      2088   88  zero
 *
 * Requests may end in interrupts that interrupt each other: additions are atomic.
 */
#ifndef TALLY_BPF_CGROUP_BLOCK_H
#define TALLY_BPF_CGROUP_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/block.h"
#include "bpf/module.h"

struct cgroup_block_times {
	uint64_t total_ns;
	uint64_t total[BLOCK_BUCKETS];
};

struct cgroup_block_cell {
	struct cgroup_block_times ops[BLOCK_OPS];
} __attribute__((aligned(128)));

struct cgroup_block_cpu {
	struct tally_own own;
	struct cgroup_block_times none[BLOCK_OPS];
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct cgroup_block_times) == 696, "shared with user space");
_Static_assert(sizeof(struct cgroup_block_cell) == 2176, "shared with user space");
_Static_assert(sizeof(struct cgroup_block_cpu) == 2176, "shared with user space");

#endif
