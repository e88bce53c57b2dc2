/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program of udp.bpf.c counts: one struct udp_cpu for each possible CPU, and one struct udp_cell for
 * each CPU and port.
 *
 *   udp_cpu    0  24  own
 *
 *   udp_cell   0   8  drops   datagrams that found the receive buffer full
 *
 * Packets may come in at any time: additions are atomic.
 */
#ifndef TALLY_BPF_UDP_H
#define TALLY_BPF_UDP_H

#include "bpf/module.h"

struct udp_cell {
	uint64_t drops;
};

struct udp_cpu {
	struct tally_own own;
} __attribute__((aligned(128)));

#endif
