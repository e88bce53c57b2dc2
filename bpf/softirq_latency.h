/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of softirq_latency.bpf.c count: one struct softirq_latency_cpu for each possible CPU.
 *
 *     0  24  raise        the first program's own
 *    24  24  entry        the second's
 *    48  80  raised_ns    by type: when it was asked for; 0: it is not
 *   128      10 times, by type:
 *             0   8  ns       sum of times
 *             8 720  waits    histogram of times
 *           728
 *  7408  16  zero
 *
 * What is asked for in an interrupt may interrupt all of this: additions are atomic.
 */
#ifndef TALLY_BPF_SOFTIRQ_LATENCY_H
#define TALLY_BPF_SOFTIRQ_LATENCY_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"
#include "bpf/softirq.h"
#include "include/tally/histogram.h"

/* 1.02 us .. 4.3 s. */
#define SOFTIRQ_LATENCY_LO      10u
#define SOFTIRQ_LATENCY_HI      32u
#define SOFTIRQ_LATENCY_BUCKETS TALLY_HISTOGRAM_BUCKETS(SOFTIRQ_LATENCY_LO, SOFTIRQ_LATENCY_HI)

struct softirq_waits {
	uint64_t ns;
	uint64_t waits[SOFTIRQ_LATENCY_BUCKETS];
};

struct softirq_latency_cpu {
	struct tally_own raise, entry;
	uint64_t raised_ns[SOFTIRQ_TYPES];
	struct softirq_waits types[SOFTIRQ_TYPES];
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct softirq_waits) == 728, "shared with user space");
_Static_assert(sizeof(struct softirq_latency_cpu) == 7424, "shared with user space");

#endif
