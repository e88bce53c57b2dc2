/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TCP segments that were sent again, and the round-trip times that module "tcp" has of connections which end, by the
 * cgroup that made the socket: of a connection that was accepted, the one that listened for it.
 */
#include "bpf/cgroup_of.bpf.h"
#include "bpf/cgroup_slot.bpf.h"
#include "bpf/cgroup_tcp.h"
#include "bpf/retransmit.bpf.h"
#include "bpf/tcp_sock.bpf.h"

CPU_MAP(tally_cgroup_tcp_cpu, struct cgroup_tcp_cpu);
CGROUP_SLOT_MAPS(tally_cgroup_tcp, struct cgroup_tcp_cell);

static __always_inline struct cgroup_tcp_cell *cell_of(const struct sock *sk)
{
	const struct cgroup *cgroup = cgroup_of_socket(sk);

	return SLOT_CELL(tally_cgroup_tcp, cgroup ? CGROUP_SLOT(tally_cgroup_tcp, cgroup) : 0);
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(tally_cgroup_again, const struct sock *sk)
{
	struct cgroup_tcp_cpu *own = THIS_CPU(tally_cgroup_tcp_cpu);
	struct cgroup_tcp_cell *c;
	__u64 begin;

	if (!own || !was_sent_again(ctx))
		return 0;
	begin = own_begin(&own->retransmit);
	c = cell_of(sk);
	if (c)
		__sync_fetch_and_add(&c->retransmits, 1);
	own_end_atomic(&own->retransmit, begin);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tally_cgroup_rtt, const struct sock *sk, int before, int after)
{
	struct cgroup_tcp_cpu *own = THIS_CPU(tally_cgroup_tcp_cpu);
	struct cgroup_tcp_cell *c;
	__u64 begin;
	__u32 rtt;

	if (!own || !has_ended(before, after) || !is_tcp(sk))
		return 0;
	begin = own_begin(&own->end);
	rtt = smoothed_rtt(sk);
	c = rtt ? cell_of(sk) : NULL;
	if (c)
		histogram_count(c->rtt, &c->rtt_us, rtt, CGROUP_RTT_LO, CGROUP_RTT_HI);
	own_end_atomic(&own->end, begin);
	return 0;
}
