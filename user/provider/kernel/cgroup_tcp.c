/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "cgroup_tcp": TCP segments sent again and round-trip times, by cgroup, by bpf/cgroup_tcp.bpf.c. */
#include "bpf/cgroup_tcp.h"
#include "bpf/cgroup_tcp.skel.h"
#include "user/provider/kernel/modules.h"

enum { RETRANSMIT, END };

static const struct load_member cgroup_members[] = {
	{"sock", "sk_cgrp_data", "CONFIG_SOCK_CGROUP_DATA"},
	{NULL, NULL, NULL},
};

static const struct load_member rtt_members[] = {
	{"sock", "sk_cgrp_data", "CONFIG_SOCK_CGROUP_DATA"},
	{"tcp_sock", "srtt_us", "CONFIG_INET"},
	{NULL, NULL, NULL},
};

static const struct module_program programs[] = {
	[RETRANSMIT] = {.needs = {"tally_cgroup_again", "tcp_retransmit_skb", cgroup_members},
		.own = offsetof(struct cgroup_tcp_cpu, retransmit),
		.runs = "at each segment sent again"},
	[END] = {.needs = {"tally_cgroup_rtt", "inet_sock_set_state", rtt_members},
		.own = offsetof(struct cgroup_tcp_cpu, end),
		.runs = "at each end of a connection"},
};

static const struct module_metric metrics[] = {
	{.name = "cgroup_tcp_retransmits",
		.unit = "",
		.help = "TCP segments sent again, by the cgroup in which the socket was made",
		.source = "the tracepoint; the socket's cgroup of version 2",
		.type = METRIC_COUNTER,
		.slotted = true,
		.program = RETRANSMIT,
		.offset = offsetof(struct cgroup_tcp_cell, retransmits)},
	{.name = "cgroup_tcp_rtt_seconds",
		.unit = "seconds",
		.help = "Round-trip time of a TCP connection, smoothed, when it ended, by the "
			"cgroup in which the socket was made, or the one that listened for it",
		.source = "tcp_sock.srtt_us at the change of state to CLOSE; the socket's cgroup "
			  "of version 2",
		.type = METRIC_HISTOGRAM,
		.scale = -6,
		.lo = CGROUP_RTT_LO,
		.hi = CGROUP_RTT_HI,
		.slotted = true,
		.program = END,
		.offset = offsetof(struct cgroup_tcp_cell, rtt),
		.sum = offsetof(struct cgroup_tcp_cell, rtt_us)},
};

static const struct module_slots slots = {.map = "tally_cgroup_tcp",
	.size = sizeof(struct cgroup_tcp_cell),
	MODULE_CGROUP_NAMES,
	.count = cgroup_count_slots};

const struct module module_cgroup_tcp = {
	.ops = {.name = "cgroup_tcp",
		.help = "TCP retransmits and round-trip times by cgroup (BPF)",
		MODULE_FUNCTIONS},
	.elf = cgroup_tcp_bpf__elf_bytes,
	.cpu_map = "tally_cgroup_tcp_cpu",
	.cpu_size = sizeof(struct cgroup_tcp_cpu),
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
