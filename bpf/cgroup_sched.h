/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of cgroup_sched.bpf.c count: one struct cgroup_sched_cpu for each possible CPU, and one struct
 * cgroup_sched_cell for each CPU and cgroup.
 *
 *   cgroup_sched_cpu    0  24  own         of the program at switches
 *                      24   8  since_ns    the kernel's own: run queue's clock at the last switch
 *                      32   8  slot        the kernel's own: that of the task which got the CPU then
 *                      40   8  weight      the kernel's own: switches that the last one stands for; 0: passed over
 *                      48   8  left        the kernel's own: switches that are still to be passed over
 *                      56   8  zero
 *                      64  24  move        of the program at moves
 *                      88  40  zero
 *                     128 256  last        the kernel's own: cgroups that were met last, id and slot
 *
 *   cgroup_sched_cell   0   8  run_ns      time that tasks were on the CPU
 *                       8   8  wait_ns     sum of the times that tasks waited for the CPU
 *                      16   8  switches    how often a task got the CPU
 *                      24   8  moves       tasks that were moved to another CPU, by the one that moved them
 *                      32 560  waits       histogram of the same times in ns
 *                     592  48  zero
 *
 * Only the CPU itself writes its structs, with interrupts off: additions are plain.
 */
#ifndef TALLY_BPF_CGROUP_SCHED_H
#define TALLY_BPF_CGROUP_SCHED_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"

/* 8.2 us .. 1.07 s. */
#define CGROUP_WAIT_LO      13u
#define CGROUP_WAIT_HI      30u
#define CGROUP_WAIT_BUCKETS TALLY_HISTOGRAM_BUCKETS(CGROUP_WAIT_LO, CGROUP_WAIT_HI)

#define CGROUP_SCHED_LAST 16u

struct cgroup_sched_cell {
	uint64_t run_ns;
	uint64_t wait_ns;
	uint64_t switches;
	uint64_t moves;
	uint64_t waits[CGROUP_WAIT_BUCKETS];
} __attribute__((aligned(128)));

struct cgroup_sched_cpu {
	struct tally_own own; /* the first line has all that a common switch needs but the cgroup */
	uint64_t since_ns;
	uint64_t slot;
	uint64_t weight, left;
	uint64_t reserved;
	struct tally_own move;
	uint64_t reserved_too[5];
	struct {
		uint64_t id, slot;
	} last[CGROUP_SCHED_LAST];
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct cgroup_sched_cell) == 640, "shared with user space");
_Static_assert(offsetof(struct cgroup_sched_cpu, last) == 128, "shared with user space");
_Static_assert(sizeof(struct cgroup_sched_cpu) == 384, "shared with user space");

#endif
