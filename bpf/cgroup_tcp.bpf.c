/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TCP segments that were sent again, by the cgroup that made the socket. */
#include "bpf/cgroup_of.bpf.h"
#include "bpf/cgroup_slot.bpf.h"
#include "bpf/cgroup_tcp.h"
#include "bpf/retransmit.bpf.h"

CPU_MAP(tally_cgroup_tcp_cpu, struct cgroup_tcp_cpu);
CGROUP_SLOT_MAPS(tally_cgroup_tcp, struct cgroup_tcp_cell);

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(tally_cgroup_again, const struct sock *sk)
{
	struct cgroup_tcp_cpu *own = THIS_CPU(tally_cgroup_tcp_cpu);
	const struct cgroup *cgroup;
	struct cgroup_tcp_cell *c;
	__u64 begin;
	__u32 at;

	if (!own || !was_sent_again(ctx))
		return 0;
	begin = own_begin(&own->own);
	cgroup = cgroup_of_socket(sk);
	at = cgroup ? CGROUP_SLOT(tally_cgroup_tcp, cgroup) : 0;
	c = SLOT_CELL(tally_cgroup_tcp, at);
	if (c)
		__sync_fetch_and_add(&c->retransmits, 1);
	own_end_atomic(&own->own, begin);
	return 0;
}
