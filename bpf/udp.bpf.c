/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UDP datagrams that a socket's receive buffer had no room for, by the socket's port. */
#include "bpf/module.bpf.h"
#include "bpf/udp.h"

CPU_MAP(tally_udp_cpu, struct udp_cpu);
SLOT_MAPS(tally_udp, struct udp_cell, struct tally_slot_number);

SEC("tp_btf/udp_fail_queue_rcv_skb")
int BPF_PROG(tally_udp_full, int error, const struct sock *sk)
{
	struct udp_cpu *own = THIS_CPU(tally_udp_cpu);
	struct udp_cell *c;
	__u64 begin, port;

	if (!own)
		return 0;
	begin = own_begin(&own->own);
	port = sk->__sk_common.skc_num;
	c = SLOT_CELL(tally_udp, SLOT(tally_udp, port, SLOT_NUMBER(port)));
	if (c)
		__sync_fetch_and_add(&c->drops, 1);
	own_end_atomic(&own->own, begin);
	return 0;
}
