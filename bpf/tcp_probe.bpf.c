/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The round-trip time of TCP connections while they live: the kernel's own smoothed one, at each segment that an
 * established connection gets.
 */
#include "bpf/module.bpf.h"
#include "bpf/tcp_probe.h"

CPU_MAP(tally_tcp_probe_cpu, struct tcp_probe_cpu);

SEC("tp_btf/tcp_probe")
int BPF_PROG(tally_tcp_probe, const struct sock *sk)
{
	struct tcp_probe_cpu *c = THIS_CPU(tally_tcp_probe_cpu);
	__u32 rtt = BPF_CORE_READ((const struct tcp_sock *)sk, srtt_us) >> 3;
	__u64 begin;

	if (!c)
		return 0;
	begin = own_begin(&c->own);
	if (rtt)
		histogram_count(c->rtt, &c->us, rtt, TCP_PROBE_LO, TCP_PROBE_HI);
	own_end_atomic(&c->own, begin);
	return 0;
}
