/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Producer "ended": the last figures of processes, read from what the program of bpf/sched.bpf.c leaves. */
#ifndef TALLY_USER_PROVIDER_KERNEL_ENDED_H
#define TALLY_USER_PROVIDER_KERNEL_ENDED_H

#include <bpf/libbpf.h>

#include "bpf/ended.h"
#include "user/provider/producer.h"

#define ENDED_CPU_MAP  "tally_ended_cpu"
#define ENDED_ROWS_MAP "tally_ended_rows"

/* Names and cgroups with series of their own; what more there are is summed as "other". */
#define ENDED_SEATS 64u

/* For the module whose program counts: sizes and settings of the maps above. */
int ended_prepare(struct bpf_object *object, uint32_t ncpus);

/* Sums over all processes that ended since the program was attached: out has ENDED_SUMS. */
void ended_sums(const struct producer *p, uint64_t *out);

#endif
