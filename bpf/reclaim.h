/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of reclaim.bpf.c count: one struct reclaim_cpu for each possible CPU, and one struct reclaim_cell
 * for each CPU and cgroup.
 *
 *   reclaim_cpu
 *     0  72  begin        three programs' own, by enum reclaim_kind
 *    72  72  end          likewise
 *   144   8  unknown      waits that are not in the histograms, for want of room in a map
 *   152      3 times, by kind:
 *             0   8  ns       sum of times
 *             8 688  waits    histogram of times
 *           696
 *  2240  64  zero
 *
 *   reclaim_cell
 *     0  24  stalls       those in the histograms, by kind
 *    24  24  ns           sum of their times, likewise
 *
 * Tasks may be interrupted in what is counted here: additions are atomic.
 */
#ifndef TALLY_BPF_RECLAIM_H
#define TALLY_BPF_RECLAIM_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"

/* 8.2 us .. 17.2 s. */
#define RECLAIM_LO      13u
#define RECLAIM_HI      34u
#define RECLAIM_BUCKETS TALLY_HISTOGRAM_BUCKETS(RECLAIM_LO, RECLAIM_HI)

enum reclaim_kind {
	RECLAIM_GLOBAL, /* the machine is short of memory */
	RECLAIM_CGROUP, /* a cgroup is at its limit */
	RECLAIM_COMPACTION, /* no piece of memory is large enough */
	RECLAIM_KINDS
};

struct reclaim_times {
	uint64_t ns;
	uint64_t waits[RECLAIM_BUCKETS];
};

struct reclaim_cell {
	uint64_t stalls[RECLAIM_KINDS];
	uint64_t ns[RECLAIM_KINDS];
};

struct reclaim_cpu {
	struct tally_own begin[RECLAIM_KINDS], end[RECLAIM_KINDS];
	uint64_t unknown;
	struct reclaim_times kinds[RECLAIM_KINDS];
} __attribute__((aligned(128)));

_Static_assert(offsetof(struct reclaim_cpu, kinds) == 152, "shared with user space");
_Static_assert(sizeof(struct reclaim_cpu) == 2304, "shared with user space");

#endif
