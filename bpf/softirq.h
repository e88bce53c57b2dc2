/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of softirq.bpf.c count: one struct softirq_cpu for each possible CPU.
 *
 *     0  24  entry        the first program's own
 *    24  24  exit         the second's
 *    48   8  since_ns     when the soft interrupt that is being timed began; 0: none is
 *    56   8  zero
 *    64  80  served       soft interrupts of each type
 *   144  80  sampled_ns   time of those that were timed, one of SOFTIRQ_EVERY of a type
 *   224  32  zero
 *
 * Soft interrupts of a CPU don't nest, so plain additions are exact.
 */
#ifndef TALLY_BPF_SOFTIRQ_H
#define TALLY_BPF_SOFTIRQ_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"

#define SOFTIRQ_TYPES 10u /* enum of include/linux/interrupt.h: HI .. RCU */
#define SOFTIRQ_EVERY 16u /* a power of two */

struct softirq_cpu {
	struct tally_own entry, exit;
	uint64_t since_ns;
	uint64_t reserved;
	uint64_t served[SOFTIRQ_TYPES];
	uint64_t sampled_ns[SOFTIRQ_TYPES];
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct softirq_cpu) == 256, "shared with user space");

#endif
