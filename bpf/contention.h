/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of contention.bpf.c count: one struct contention_cpu for each possible CPU.
 *
 *     0  24  begin
 *    24  24  end
 *    48   8  unknown    waits that are not in the histograms, for want of room in a map
 *    56      9 times, by type:
 *             0   8  ns      sum of times
 *             8 784  waits   histogram of them
 *           792
 *  7184 112  zero
 *
 * Whatever waits may be interrupted by what waits, too: additions are atomic.
 */
#ifndef TALLY_BPF_CONTENTION_H
#define TALLY_BPF_CONTENTION_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"

/* 1.02 us .. 17.2 s. */
#define CONTENTION_LO      10u
#define CONTENTION_HI      34u
#define CONTENTION_BUCKETS TALLY_HISTOGRAM_BUCKETS(CONTENTION_LO, CONTENTION_HI)

enum contention_type {
	CONTENTION_SPINLOCK,
	CONTENTION_RWLOCK_READ,
	CONTENTION_RWLOCK_WRITE,
	CONTENTION_MUTEX,
	CONTENTION_RWSEM_READ,
	CONTENTION_RWSEM_WRITE,
	CONTENTION_PERCPU_RWSEM,
	CONTENTION_RTMUTEX,
	CONTENTION_OTHER, /* semaphores */
	CONTENTION_TYPES
};

struct contention_times {
	uint64_t ns;
	uint64_t waits[CONTENTION_BUCKETS];
};

struct contention_cpu {
	struct tally_own begin, end;
	uint64_t unknown;
	struct contention_times types[CONTENTION_TYPES];
} __attribute__((aligned(128)));

_Static_assert(offsetof(struct contention_cpu, types) == 56, "shared with user space");
_Static_assert(sizeof(struct contention_times) == 792, "shared with user space");

#endif
