/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program of migrations.bpf.c counts: one struct migrations_cpu for each possible CPU.
 *
 *     0  24  own
 *    24   8  moves        tasks that came to this CPU from another; written by any of them
 *    32  96  zero
 */
#ifndef TALLY_BPF_MIGRATIONS_H
#define TALLY_BPF_MIGRATIONS_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"

struct migrations_cpu {
	struct tally_own own;
	uint64_t moves;
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct migrations_cpu) == 128, "shared with user space");

#endif
