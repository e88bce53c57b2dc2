/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of cgroup_tcp.bpf.c count: one struct cgroup_tcp_cpu for each possible CPU, and one struct
 * cgroup_tcp_cell for each CPU and cgroup.
 *
 *   cgroup_tcp_cpu    0  24  retransmit    the first program's own
 *                    24  24  end           the second's; its runs are the connections that ended
 *                    48  80  zero
 *
 *   cgroup_tcp_cell   0   8  retransmits   segments sent again
 *                     8   8  rtt_us        sum of round-trip times
 *                    16 496  rtt           histogram of smoothed round-trip times, in us, when connections end
 *
 * Packets may come in at any time: additions are atomic.
 */
#ifndef TALLY_BPF_CGROUP_TCP_H
#define TALLY_BPF_CGROUP_TCP_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"

/* 32 us .. 1.05 s: less than bpf/tcp.h has, since there is one for each cgroup. */
#define CGROUP_RTT_LO      5u
#define CGROUP_RTT_HI      20u
#define CGROUP_RTT_BUCKETS TALLY_HISTOGRAM_BUCKETS(CGROUP_RTT_LO, CGROUP_RTT_HI)

struct cgroup_tcp_cell {
	uint64_t retransmits;
	uint64_t rtt_us;
	uint64_t rtt[CGROUP_RTT_BUCKETS];
} __attribute__((aligned(128)));

struct cgroup_tcp_cpu {
	struct tally_own retransmit, end;
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct cgroup_tcp_cell) == 512, "shared with user space");

#endif
