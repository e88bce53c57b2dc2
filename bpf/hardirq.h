/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of hardirq.bpf.c count: one struct hardirq_cpu for each possible CPU, and one struct
 * hardirq_cell for each CPU and interrupt.
 *
 *   hardirq_cpu   0  24  entry       the first program's own
 *                24  24  exit        the second's
 *                48   8  since_ns    when the handler that runs began; 0: none does
 *                56  72  zero
 *
 *   hardirq_cell  0   8  ns          sum of the times below
 *                 8   8  unclaimed   calls of a handler that found nothing to do
 *                16 624  times       histogram: from a handler's begin to its end
 *               640
 *
 * Handlers of a CPU run with interrupts off, and don't nest.
 */
#ifndef TALLY_BPF_HARDIRQ_H
#define TALLY_BPF_HARDIRQ_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"

/* 256 ns .. 134 ms. */
#define HARDIRQ_LO      8u
#define HARDIRQ_HI      27u
#define HARDIRQ_BUCKETS TALLY_HISTOGRAM_BUCKETS(HARDIRQ_LO, HARDIRQ_HI)

struct hardirq_cell {
	uint64_t ns;
	uint64_t unclaimed;
	uint64_t times[HARDIRQ_BUCKETS];
} __attribute__((aligned(128)));

/* What a slot is called. */
struct hardirq_name {
	uint64_t ready;
	uint64_t number;
	char name[TALLY_SLOT_NAME]; /* of the first handler that was called */
};

struct hardirq_cpu {
	struct tally_own entry, exit;
	uint64_t since_ns;
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct hardirq_cell) == 640, "shared with user space");
_Static_assert(sizeof(struct hardirq_cpu) == 128, "shared with user space");

#endif
