/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes and packets by the cgroup that made the socket. The programs are attached to the root of all cgroups; what
 * they return lets every packet pass.
 *
 * What the network card is to cut, or has put together, comes as one: it is counted as the packets that were on the
 * wire. What the programs get is the kernel's own struct sk_buff, which only they may not read by themselves.
 */
#include "bpf/cgroup_net.h"
#include "bpf/cgroup_of.bpf.h"
#include "bpf/cgroup_slot.bpf.h"

#define PASS 1

enum { TCP = 6, TCP_OFFSET_AT = 12, UDP_HEADER = 8 };

CPU_MAP(tally_cgroup_net_cpu, struct cgroup_net_cpu);
CGROUP_SLOT_MAPS(tally_cgroup_net, struct cgroup_net_cell);
KNOBS_MAP(tally_cgroup_net_knobs);

/* Bytes of headers that each of the packets has which skb stands for. */
static __always_inline __u32 header_bytes(struct __sk_buff *ctx, const struct sk_buff *skb)
{
	__u32 ip =
		(__u16)(BPF_CORE_READ(skb, transport_header) - BPF_CORE_READ(skb, network_header));
	__u8 offset = 0;

	if (BPF_CORE_READ(skb, sk, sk_protocol) != TCP)
		return ip + UDP_HEADER;
	bpf_skb_load_bytes(ctx, ip + TCP_OFFSET_AT, &offset, sizeof(offset));
	return ip + offset / 16 * 4;
}

static __always_inline const struct kernfs_node *kernfs_of(const struct sk_buff *skb)
{
	const struct cgroup *cgroup = cgroup_of_socket(BPF_CORE_READ(skb, sk));

	return BPF_CORE_READ(cgroup, kn);
}

/*
 * Those that take turns on a CPU are few: they are found here without a look into a map. Ids are never used again. A
 * run may interrupt another one, so id and slot are one word.
 */
static __always_inline __u32 slot_of(
	struct cgroup_net_cpu *own, struct __sk_buff *ctx, const struct sk_buff *skb)
{
	__u64 id = bpf_skb_cgroup_id(ctx), at = id % CGROUP_NET_LAST, last = own->last[at];

	if (last / TALLY_SLOTS_MAX != id) {
		last = id * TALLY_SLOTS_MAX +
		       CGROUP_SLOT_OF_ID(tally_cgroup_net, id, kernfs_of(skb));
		own->last[at] = last;
	}
	return last % TALLY_SLOTS_MAX;
}

static __always_inline void count(struct __sk_buff *ctx, enum cgroup_net_direction direction)
{
	const struct sk_buff *skb = (const void *)ctx;
	struct cgroup_net_cpu *own = THIS_CPU(tally_cgroup_net_cpu);
	__u64 begin, bytes = ctx->len;
	__u32 packets = ctx->gso_segs;
	struct cgroup_net_cell *c;

	if (!own || IS_PAUSED(tally_cgroup_net_knobs))
		return;
	begin = own_begin(&own->own[direction]);
	if (packets > 1)
		bytes += (packets - 1) * header_bytes(ctx, skb);
	else
		packets = 1;
	c = SLOT_CELL(tally_cgroup_net, slot_of(own, ctx, skb));
	if (c) {
		__sync_fetch_and_add(&c->bytes[direction], bytes);
		__sync_fetch_and_add(&c->packets[direction], packets);
	}
	own_end_atomic(&own->own[direction], begin);
}

SEC("cgroup_skb/ingress")
int tally_cgroup_receive(struct __sk_buff *skb)
{
	count(skb, CGROUP_NET_RECEIVE);
	return PASS;
}

SEC("cgroup_skb/egress")
int tally_cgroup_transmit(struct __sk_buff *skb)
{
	count(skb, CGROUP_NET_TRANSMIT);
	return PASS;
}
