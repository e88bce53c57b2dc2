/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "cgroup_rtt": round-trip times of TCP connections that end, by cgroup, by bpf/cgroup_rtt.bpf.c. */
#include "bpf/cgroup_rtt.h"
#include "bpf/cgroup_rtt.skel.h"
#include "user/provider/kernel/modules.h"

static const struct load_member members[] = {
	{"sock", "sk_cgrp_data", "CONFIG_SOCK_CGROUP_DATA"},
	{"tcp_sock", "srtt_us", "CONFIG_INET"},
	{NULL, NULL, NULL},
};

static const struct module_program programs[] = {
	{.needs = {"tally_cgroup_rtt", "inet_sock_set_state", members},
		.own = offsetof(struct cgroup_rtt_cpu, own),
		.runs = "at each end of a connection"},
};

static const struct module_metric metrics[] = {
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
		.offset = offsetof(struct cgroup_rtt_cell, rtt),
		.sum = offsetof(struct cgroup_rtt_cell, us)},
};

static const struct module_slots slots = {.map = "tally_cgroup_rtt",
	.size = sizeof(struct cgroup_rtt_cell),
	MODULE_CGROUP_NAMES,
	.count = cgroup_count_half};

const struct module module_cgroup_rtt = {
	.ops = {.name = "cgroup_rtt",
		.help = "round-trip times of TCP connections by cgroup (BPF)",
		.opt_in = "a histogram for each cgroup that has connections",
		MODULE_FUNCTIONS},
	.elf = cgroup_rtt_bpf__elf_bytes,
	.cpu_map = "tally_cgroup_rtt_cpu",
	.cpu_size = sizeof(struct cgroup_rtt_cpu),
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
