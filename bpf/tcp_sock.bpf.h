/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What programs read of a TCP socket and its changes of state, after bpf/module.bpf.h. */
#ifndef TALLY_BPF_TCP_SOCK_BPF_H
#define TALLY_BPF_TCP_SOCK_BPF_H

#include "bpf/module.bpf.h"

#define IPPROTO_TCP 6

/* include/net/tcp_states.h */
enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RECV = 3,
	TCP_CLOSE = 7,
	TCP_LISTEN = 10,
};

/* The tracepoint inet_sock_set_state tells of other protocols, too. */
static __always_inline bool is_tcp(const struct sock *sk)
{
	return sk->sk_protocol == IPPROTO_TCP;
}

/* Whether a connection that was established has ended. */
static __always_inline bool has_ended(int before, int after)
{
	return after == TCP_CLOSE && before != TCP_LISTEN && before != TCP_SYN_SENT &&
	       before != TCP_SYN_RECV;
}

/* The kernel's own smoothed round-trip time in us; 0: there is none. */
static __always_inline __u32 smoothed_rtt(const struct sock *sk)
{
	return BPF_CORE_READ((const struct tcp_sock *)sk, srtt_us) >> 3;
}

#endif
