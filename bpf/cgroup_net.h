/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of cgroup_net.bpf.c count: one struct cgroup_net_cpu for each possible CPU, and one struct
 * cgroup_net_cell for each CPU and cgroup.
 *
 *   cgroup_net_cpu    0  48  own       of the programs, by direction
 *                    48 128  last      the kernel's own: of cgroups that were met last, id x TALLY_SLOTS_MAX + slot
 *                   176  80  zero
 *
 *   cgroup_net_cell   0  16  bytes     of IP packets, their headers included, by direction
 *                    16  16  packets   by direction
 *
 * Packets may come in while one is sent: additions are atomic.
 */
#ifndef TALLY_BPF_CGROUP_NET_H
#define TALLY_BPF_CGROUP_NET_H

#include <stddef.h>

#include "bpf/module.h"

enum cgroup_net_direction {
	CGROUP_NET_RECEIVE,
	CGROUP_NET_TRANSMIT,
	CGROUP_NET_DIRECTIONS,
};

#define CGROUP_NET_LAST 16u

struct cgroup_net_cell {
	uint64_t bytes[CGROUP_NET_DIRECTIONS];
	uint64_t packets[CGROUP_NET_DIRECTIONS];
};

struct cgroup_net_cpu {
	struct tally_own own[CGROUP_NET_DIRECTIONS];
	uint64_t last[CGROUP_NET_LAST];
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct cgroup_net_cpu) == 256, "shared with user space");

#endif
