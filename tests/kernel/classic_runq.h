/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What classic_runq.bpf.c counts: a struct for each possible CPU, in the shape of bpf/sched.h. */
#ifndef TALLY_TESTS_KERNEL_CLASSIC_RUNQ_H
#define TALLY_TESTS_KERNEL_CLASSIC_RUNQ_H

#include "bpf/sched.h"

struct classic_cpu {
	uint64_t wait_ns;
	uint64_t waits[SCHED_WAIT_BUCKETS];
} __attribute__((aligned(128)));

#endif
