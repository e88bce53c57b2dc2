/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of tcp.bpf.c count: one struct tcp_cpu for each possible CPU, and one struct tcp_cell for each
 * CPU and port of a service.
 *
 *   tcp_cpu     0  24  state           the first program's own
 *              24  24  retransmit      the second's; its runs are the segments that were sent again
 *              48  24  reset_sent      the third's, its runs likewise
 *              72  24  reset_received  the fourth's, likewise
 *              96   8  failed          connections that were asked for and not established
 *             104   8  closed          established ones that have ended
 *             112   8  rtt_us          sum of round-trip times
 *             120   8  connect_ns      sum of times from the call of connect to the answer
 *             128   8  unknown         connects that are not in connect_ns, for want of room in a map
 *             136 688  rtt             histogram of smoothed round-trip times, in us, when connections end
 *             824 816  connect         histogram of times to connect, in ns
 *            1640  88  entered         how often a socket came into each state, from TCP_ESTABLISHED on
 *            1728  64  zero
 *
 *   tcp_cell    0  16  opened          connections that were established: enum tcp_side
 *
 * All may be interrupted by packets that come in: additions are atomic.
 */
#ifndef TALLY_BPF_TCP_H
#define TALLY_BPF_TCP_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"

/* 8 us .. 16.8 s. */
#define TCP_RTT_LO      3u
#define TCP_RTT_HI      24u
#define TCP_RTT_BUCKETS TALLY_HISTOGRAM_BUCKETS(TCP_RTT_LO, TCP_RTT_HI)
/* 8.2 us .. 275 s: SYNs are repeated for two minutes. */
#define TCP_CONNECT_LO      13u
#define TCP_CONNECT_HI      38u
#define TCP_CONNECT_BUCKETS TALLY_HISTOGRAM_BUCKETS(TCP_CONNECT_LO, TCP_CONNECT_HI)

/* include/net/tcp_states.h, where they are 1 to 11. */
#define TCP_STATES 11u

enum tcp_side {
	TCP_OUT, /* by connect */
	TCP_IN, /* by accept */
	TCP_SIDES
};

struct tcp_cell {
	uint64_t opened[TCP_SIDES];
};

struct tcp_cpu {
	struct tally_own state, retransmit, reset_sent, reset_received;
	uint64_t failed;
	uint64_t closed;
	uint64_t rtt_us;
	uint64_t connect_ns;
	uint64_t unknown;
	uint64_t rtt[TCP_RTT_BUCKETS];
	uint64_t connect[TCP_CONNECT_BUCKETS];
	uint64_t entered[TCP_STATES];
} __attribute__((aligned(128)));

_Static_assert(offsetof(struct tcp_cpu, rtt) == 136, "shared with user space");
_Static_assert(offsetof(struct tcp_cpu, connect) == 824, "shared with user space");
_Static_assert(offsetof(struct tcp_cpu, entered) == 1640, "shared with user space");
_Static_assert(sizeof(struct tcp_cpu) == 1792, "shared with user space");

#endif
