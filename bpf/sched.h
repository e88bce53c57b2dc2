/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program of sched.bpf.c counts: one struct sched_cpu for each possible CPU.
 *
 *     0  24  own          of the program; its runs are the context switches
 *    24   8  run_ns       time that tasks were on the CPU, without its idle task
 *    32   8  wait_ns      sum of the times that tasks waited for the CPU
 *    40   8  since_ns     the kernel's own: run queue's clock at the last switch
 *    48  16  zero
 *    64 784  waits        histogram of the same times in ns
 *   848  48  zero
 *
 * Only the CPU itself writes its struct, with interrupts off, so plain additions are exact. All
 * but since_ns only grow.
 */
#ifndef TALLY_BPF_SCHED_H
#define TALLY_BPF_SCHED_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"

/* 1.024 us .. 17.2 s. */
#define SCHED_WAIT_LO      10u
#define SCHED_WAIT_HI      34u
#define SCHED_WAIT_BUCKETS TALLY_HISTOGRAM_BUCKETS(SCHED_WAIT_LO, SCHED_WAIT_HI)

struct sched_cpu {
	struct tally_own own;
	uint64_t run_ns;
	uint64_t wait_ns;
	uint64_t since_ns;
	uint64_t reserved[2];
	uint64_t waits[SCHED_WAIT_BUCKETS];
} __attribute__((aligned(128))); /* no cache line, nor its prefetched neighbour, is shared */

_Static_assert(offsetof(struct sched_cpu, waits) == 64, "shared with user space");
_Static_assert(sizeof(struct sched_cpu) == 896, "shared with user space");

#endif
