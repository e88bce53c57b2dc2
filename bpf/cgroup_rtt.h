/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program of cgroup_rtt.bpf.c counts: one struct cgroup_rtt_cpu for each possible CPU, and one struct
 * cgroup_rtt_cell for each CPU and cgroup.
 *
 *   cgroup_rtt_cpu    0  24  own; its runs are the connections that ended
 *                    24 104  zero
 *
 *   cgroup_rtt_cell   0   8  us    sum of round-trip times
 *                     8 496  rtt   histogram of smoothed round-trip times, in us, when connections end
 *                   504   8  zero
 *
 * Packets may come in at any time: additions are atomic.
 */
#ifndef TALLY_BPF_CGROUP_RTT_H
#define TALLY_BPF_CGROUP_RTT_H

#include <stdint.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"

/* 32 us .. 1.05 s: less than bpf/tcp.h has, since there is one for each cgroup. */
#define CGROUP_RTT_LO      5u
#define CGROUP_RTT_HI      20u
#define CGROUP_RTT_BUCKETS TALLY_HISTOGRAM_BUCKETS(CGROUP_RTT_LO, CGROUP_RTT_HI)

struct cgroup_rtt_cell {
	uint64_t us;
	uint64_t rtt[CGROUP_RTT_BUCKETS];
} __attribute__((aligned(128)));

struct cgroup_rtt_cpu {
	struct tally_own own;
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct cgroup_rtt_cell) == 512, "shared with user space");

#endif
