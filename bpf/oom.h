/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program of oom.bpf.c counts: one struct oom_cpu for each possible CPU, and one struct oom_cell for each
 * CPU, cgroup and name of a victim.
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

/* A name of a slot: a cgroup, then what the victim calls itself. */
struct oom_name {
	union {
		uint64_t ready;
		struct tally_slot_cgroup cgroup;
	};
	char comm[16];
};

struct oom_cell {
	uint64_t kills;
};

struct oom_cpu {
	struct tally_own own;
} __attribute__((aligned(128)));

#endif
