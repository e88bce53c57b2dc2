/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program of slices.bpf.c counts: one struct slices_cpu for each possible CPU.
 *
 *     0  24  own
 *    24   8  run_ns     sum of the times below
 *    32   8  since_ns   the kernel's own: run queue's clock at the last switch
 *    40 784  slices     histogram of how long tasks had the CPU at a time
 *   824  72  zero
 *
 * Only the CPU itself writes its struct, with interrupts off, so plain additions are exact.
 */
#ifndef TALLY_BPF_SLICES_H
#define TALLY_BPF_SLICES_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"

/* 1.024 us .. 17.2 s. */
#define SLICES_LO      10u
#define SLICES_HI      34u
#define SLICES_BUCKETS TALLY_HISTOGRAM_BUCKETS(SLICES_LO, SLICES_HI)

struct slices_cpu {
	struct tally_own own;
	uint64_t run_ns;
	uint64_t since_ns;
	uint64_t slices[SLICES_BUCKETS];
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct slices_cpu) == 896, "shared with user space");

#endif
