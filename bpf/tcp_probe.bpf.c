/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The round-trip time of TCP connections while they live: the kernel's own smoothed one, at each segment that an
 * established connection gets.
 */
#include "bpf/module.bpf.h"
#include "bpf/tcp_probe.h"
#include "bpf/tcp_sock.bpf.h"

CPU_MAP(tally_tcp_probe_cpu, struct tcp_probe_cpu);
KNOBS_MAP(tally_tcp_probe_knobs);

SEC("tp_btf/tcp_probe")
int BPF_PROG(tally_tcp_probe, const struct sock *sk)
{
	struct tcp_probe_cpu *c = THIS_CPU(tally_tcp_probe_cpu);
	__u64 begin, n;
	__u32 rtt;

	if (!c || IS_PAUSED(tally_tcp_probe_knobs))
		return 0;
	begin = own_begin(&c->own);
	n = sample_weight(&tally_tcp_probe_knobs, &c->left);
	rtt = n ? smoothed_rtt(sk) : 0;
	if (rtt)
		histogram_add(c->rtt, &c->us, rtt, n, TCP_PROBE_LO, TCP_PROBE_HI);
	own_end_atomic(&c->own, begin);
	return 0;
}
