/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of timers.bpf.c count: one struct timers_cpu for each possible CPU, and one struct timers_cell
 * for each CPU and function.
 *
 *   timers_cpu    0  24  jiffies   the program's own, at timers in jiffies
 *                24  24  precise   likewise, at timers of high resolution
 *                48  80  zero
 *
 *   timers_cell   0  16  expired   by enum timers_kind
 *                16 112  zero
 *
 * One of the two may interrupt the other: additions are atomic.
 */
#ifndef TALLY_BPF_TIMERS_H
#define TALLY_BPF_TIMERS_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"

enum timers_kind { TIMERS_JIFFIES, TIMERS_PRECISE, TIMERS_KINDS };

struct timers_cell {
	uint64_t expired[TIMERS_KINDS];
} __attribute__((aligned(128)));

struct timers_cpu {
	struct tally_own jiffies, precise;
} __attribute__((aligned(128)));

#endif
