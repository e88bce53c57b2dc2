/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "cgroup_net": bytes and packets by cgroup, by bpf/cgroup_net.bpf.c. */
#include <linux/capability.h>

#include "bpf/cgroup_net.h"
#include "bpf/cgroup_net.skel.h"
#include "user/provider/kernel/modules.h"

static const struct load_member members[] = {
	{"sock", "sk_cgrp_data", "CONFIG_SOCK_CGROUP_DATA"},
	{"cgroup_bpf", "effective", "CONFIG_CGROUP_BPF"},
	{NULL, NULL, NULL},
};

static const struct module_program programs[] = {
	{.needs = {"tally_cgroup_receive", .members = members, .cgroup_hook = "cgroup_skb/ingress"},
		.own = offsetof(struct cgroup_net_cpu, own[CGROUP_NET_RECEIVE]),
		.runs = "at each packet that a socket gets"},
	{.needs = {"tally_cgroup_transmit", .members = members, .cgroup_hook = "cgroup_skb/egress"},
		.own = offsetof(struct cgroup_net_cpu, own[CGROUP_NET_TRANSMIT]),
		.runs = "at each packet that a socket sends"},
};

static const char *const directions[CGROUP_NET_DIRECTIONS] = {
	[CGROUP_NET_RECEIVE] = "receive", [CGROUP_NET_TRANSMIT] = "transmit"};

static const struct module_metric metrics[] = {
	{.name = "cgroup_network_bytes",
		.unit = "bytes",
		.help = "Bytes of IP packets, headers included, of sockets made in a cgroup",
		.source = "sk_buff.len, and a header for each packet but one of gso_segs",
		.type = METRIC_COUNTER,
		.slotted = true,
		.offset = offsetof(struct cgroup_net_cell, bytes),
		.label = "direction",
		.values = directions,
		.n = CGROUP_NET_DIRECTIONS,
		.stride = sizeof(uint64_t)},
	{.name = "cgroup_network_packets",
		.unit = "",
		.help = "IP packets of sockets made in a cgroup",
		.source = "sk_buff; gso_segs where that stands for several",
		.type = METRIC_COUNTER,
		.slotted = true,
		.offset = offsetof(struct cgroup_net_cell, packets),
		.label = "direction",
		.values = directions,
		.n = CGROUP_NET_DIRECTIONS,
		.stride = sizeof(uint64_t)},
};

static const struct module_capability net_admin = {CAP_NET_ADMIN, "CAP_NET_ADMIN"};

static const struct module_slots slots = {.map = "tally_cgroup_net",
	.size = sizeof(struct cgroup_net_cell),
	MODULE_CGROUP_NAMES,
	.count = cgroup_count_slots};

const struct module module_cgroup_net = {
	.ops = {.name = "cgroup_net",
		.help = "bytes and packets by cgroup (BPF)",
		.opt_in = "runs at each packet",
		MODULE_FUNCTIONS},
	.elf = cgroup_net_bpf__elf_bytes,
	.cpu_map = "tally_cgroup_net_cpu",
	.cpu_size = sizeof(struct cgroup_net_cpu),
	.slots = &slots,
	.capability = &net_admin,
	.knobs_map = "tally_cgroup_net_knobs",
	.pauses = true,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
