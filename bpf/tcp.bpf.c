/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TCP: connections that open, fail and end, how long connecting took, round-trip times, segments that were
 * sent again, and resets. Nothing runs for a packet of a healthy connection: the round-trip time is the
 * kernel's own smoothed one, read when the connection ends.
 */
#include <bpf/bpf_endian.h>

#include "bpf/module.bpf.h"
#include "bpf/retransmit.bpf.h"
#include "bpf/tcp.h"
#include "bpf/tcp_sock.bpf.h"

CPU_MAP(tally_tcp_cpu, struct tcp_cpu);
SLOT_MAPS(tally_tcp, struct tcp_cell, struct tally_slot_number);

/* When connect was called, of sockets that wait for the answer. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} tally_tcp_asked SEC(".maps");

KNOBS_MAP(tally_tcp_knobs);

static __noinline __u32 slot_of_port(__u64 port)
{
	return SLOT(tally_tcp, port, SLOT_NUMBER(port));
}

/* The port is the service's: that of who connects is another one each time. */
static __always_inline void count_opened(enum tcp_side side, __u64 port)
{
	struct tcp_cell *c = SLOT_CELL(tally_tcp, slot_of_port(port));

	if (c)
		__sync_fetch_and_add(&c->opened[side], 1);
}

static __always_inline void count_entered(struct tcp_cpu *c, int state)
{
	__u64 at = (__u64)state - TCP_ESTABLISHED;

	/* as in histogram_bucket() */
	barrier_var(at);
	if (at < TCP_STATES)
		__sync_fetch_and_add(&c->entered[at], 1);
}

static __always_inline void count_asked(struct tcp_cpu *c, __u64 key)
{
	__u64 now = bpf_ktime_get_ns();

	if (bpf_map_update_elem(&tally_tcp_asked, &key, &now, BPF_ANY))
		__sync_fetch_and_add(&c->unknown, 1);
}

static __always_inline void count_answered(struct tcp_cpu *c, const struct sock *sk, int state)
{
	__u64 key = (__u64)sk;
	__u64 *asked = bpf_map_lookup_elem(&tally_tcp_asked, &key);

	if (state == TCP_ESTABLISHED) {
		count_opened(TCP_OUT, bpf_ntohs(sk->__sk_common.skc_dport));
		if (asked && BEGAN_ATTACHED(tally_tcp_knobs, *asked))
			histogram_count(c->connect, &c->connect_ns,
				elapsed(*asked, bpf_ktime_get_ns()), TCP_CONNECT_LO,
				TCP_CONNECT_HI);
	} else if (state == TCP_CLOSE) {
		__sync_fetch_and_add(&c->failed, 1);
	}
	if (asked)
		bpf_map_delete_elem(&tally_tcp_asked, &key);
}

static __always_inline void count_closed(struct tcp_cpu *c, const struct sock *sk)
{
	__u32 rtt = smoothed_rtt(sk);

	__sync_fetch_and_add(&c->closed, 1);
	if (rtt)
		histogram_count(c->rtt, &c->rtt_us, rtt, TCP_RTT_LO, TCP_RTT_HI);
}

static __always_inline void count_state(
	struct tcp_cpu *c, const struct sock *sk, int before, int after)
{
	if (after == TCP_SYN_SENT)
		count_asked(c, (__u64)sk);
	else if (before == TCP_SYN_SENT)
		count_answered(c, sk, after);
	else if (before == TCP_SYN_RECV && after == TCP_ESTABLISHED)
		count_opened(TCP_IN, sk->__sk_common.skc_num);
	else if (has_ended(before, after))
		count_closed(c, sk);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tally_tcp_state, const struct sock *sk, int before, int after)
{
	struct tcp_cpu *c = THIS_CPU(tally_tcp_cpu);
	__u64 begin;

	if (!c || !is_tcp(sk))
		return 0;
	begin = own_begin(&c->state);
	count_entered(c, after);
	count_state(c, sk, before, after);
	own_end_atomic(&c->state, begin);
	return 0;
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(tally_tcp_again)
{
	struct tcp_cpu *c = THIS_CPU(tally_tcp_cpu);

	if (c && was_sent_again(ctx))
		own_end_atomic(&c->retransmit, own_begin(&c->retransmit));
	return 0;
}

SEC("tp_btf/tcp_send_reset")
int BPF_PROG(tally_rst_sent)
{
	struct tcp_cpu *c = THIS_CPU(tally_tcp_cpu);

	if (c)
		own_end_atomic(&c->reset_sent, own_begin(&c->reset_sent));
	return 0;
}

SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(tally_rst_got)
{
	struct tcp_cpu *c = THIS_CPU(tally_tcp_cpu);

	if (c)
		own_end_atomic(&c->reset_received, own_begin(&c->reset_received));
	return 0;
}
