/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The round-trip times that module "tcp" has of connections which end, by the cgroup that made the socket: of a
 * connection that was accepted, the one that listened for it.
 */
#include "bpf/cgroup_of.bpf.h"
#include "bpf/cgroup_rtt.h"
#include "bpf/cgroup_slot.bpf.h"
#include "bpf/tcp_sock.bpf.h"

CPU_MAP(tally_cgroup_rtt_cpu, struct cgroup_rtt_cpu);
CGROUP_SLOT_MAPS(tally_cgroup_rtt, struct cgroup_rtt_cell);

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tally_cgroup_rtt, const struct sock *sk, int before, int after)
{
	struct cgroup_rtt_cpu *own = THIS_CPU(tally_cgroup_rtt_cpu);
	const struct cgroup *cgroup;
	struct cgroup_rtt_cell *c;
	__u64 begin;
	__u32 rtt;

	if (!own || !has_ended(before, after) || !is_tcp(sk))
		return 0;
	begin = own_begin(&own->own);
	rtt = smoothed_rtt(sk);
	if (rtt) {
		cgroup = cgroup_of_socket(sk);
		c = SLOT_CELL(tally_cgroup_rtt, cgroup ? CGROUP_SLOT(tally_cgroup_rtt, cgroup) : 0);
		if (c)
			histogram_count(c->rtt, &c->us, rtt, CGROUP_RTT_LO, CGROUP_RTT_HI);
	}
	own_end_atomic(&own->own, begin);
	return 0;
}
