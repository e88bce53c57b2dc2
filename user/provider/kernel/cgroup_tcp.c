/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "cgroup_tcp": TCP segments sent again, by cgroup, by bpf/cgroup_tcp.bpf.c. */
#include "bpf/cgroup_tcp.h"
#include "bpf/cgroup_tcp.skel.h"
#include "user/provider/kernel/modules.h"

static const struct load_member members[] = {
	{"sock", "sk_cgrp_data", "CONFIG_SOCK_CGROUP_DATA"},
	{NULL, NULL, NULL},
};

static const struct module_program programs[] = {
	{.needs = {"tally_cgroup_again", "tcp_retransmit_skb", members},
		.own = offsetof(struct cgroup_tcp_cpu, own),
		.runs = "at each segment sent again"},
};

static const struct module_metric metrics[] = {
	{.name = "cgroup_tcp_retransmits",
		.unit = "",
		.help = "TCP segments sent again, by the cgroup in which the socket was made",
		.source = "the tracepoint; the socket's cgroup of version 2",
		.type = METRIC_COUNTER,
		.slotted = true,
		.offset = offsetof(struct cgroup_tcp_cell, retransmits)},
};

static const struct module_slots slots = {.map = "tally_cgroup_tcp",
	.size = sizeof(struct cgroup_tcp_cell),
	MODULE_CGROUP_NAMES,
	.count = cgroup_count_slots};

const struct module module_cgroup_tcp = {
	.ops = {.name = "cgroup_tcp", .help = "TCP retransmits by cgroup (BPF)", MODULE_FUNCTIONS},
	.elf = cgroup_tcp_bpf__elf_bytes,
	.cpu_map = "tally_cgroup_tcp_cpu",
	.cpu_size = sizeof(struct cgroup_tcp_cpu),
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
