/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program of oom.bpf.c counts: one struct oom_cpu for each possible CPU, and one struct oom_cell for each
 * CPU and name of a victim.
 *
 *   oom_cpu    0  24  own
 *
 *   oom_cell   0   8  kills   tasks that were chosen to be killed
 *
 * It may be interrupted: additions are atomic.
 */
#ifndef TALLY_BPF_OOM_H
#define TALLY_BPF_OOM_H

#include "bpf/module.h"

#define OOM_NAMES 63u

struct oom_cell {
	uint64_t kills;
};

struct oom_cpu {
	struct tally_own own;
} __attribute__((aligned(128)));

#endif
