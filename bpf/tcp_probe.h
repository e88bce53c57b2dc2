/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program of tcp_probe.bpf.c counts: one struct tcp_probe_cpu for each possible CPU.
 *
 *     0  24  own
 *    24   8  us       sum of times
 *    32 688  rtt      histogram of them
 *   720   8  left     segments that are still to be passed over, where not all are looked at
 *   728  40  zero
 *
 * Segments come in soft interrupts and, where a task had the socket, in that task: additions are atomic.
 */
#ifndef TALLY_BPF_TCP_PROBE_H
#define TALLY_BPF_TCP_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"

/* 8 us .. 16.8 s, in us. */
#define TCP_PROBE_LO      3u
#define TCP_PROBE_HI      24u
#define TCP_PROBE_BUCKETS TALLY_HISTOGRAM_BUCKETS(TCP_PROBE_LO, TCP_PROBE_HI)

struct tcp_probe_cpu {
	struct tally_own own;
	uint64_t us;
	uint64_t rtt[TCP_PROBE_BUCKETS];
	uint64_t left;
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct tcp_probe_cpu) == 768, "shared with user space");

#endif
