/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program of cgroup_tcp.bpf.c counts: one struct cgroup_tcp_cpu for each possible CPU, and one struct
 * cgroup_tcp_cell for each CPU and cgroup.
 *
 *   cgroup_tcp_cpu    0  24  own
 *
 *   cgroup_tcp_cell   0   8  retransmits   segments sent again
 *
 * Packets may come in at any time: additions are atomic.
 */
#ifndef TALLY_BPF_CGROUP_TCP_H
#define TALLY_BPF_CGROUP_TCP_H

#include "bpf/module.h"

struct cgroup_tcp_cell {
	uint64_t retransmits;
};

struct cgroup_tcp_cpu {
	struct tally_own own;
} __attribute__((aligned(128)));

#endif
