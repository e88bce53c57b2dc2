/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program of drop.bpf.c counts: one struct drop_cpu for each possible CPU.
 *
 *     0   24  own
 *    24 2048  reasons     packets dropped, by the kernel's enum skb_drop_reason; the last one stands for
 *                         what is above, and for reasons of subsystems
 *  2072  104  zero
 *
 * Packets are dropped in interrupts and out of them: additions are atomic.
 */
#ifndef TALLY_BPF_DROP_H
#define TALLY_BPF_DROP_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"

#define DROP_REASONS 256u

struct drop_cpu {
	struct tally_own own;
	uint64_t reasons[DROP_REASONS];
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct drop_cpu) == 2176, "shared with user space");

#endif
