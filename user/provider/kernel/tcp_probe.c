/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "tcp_probe": round-trip times of TCP connections that live, by bpf/tcp_probe.bpf.c. */
#include "bpf/tcp_probe.h"
#include "bpf/tcp_probe.skel.h"
#include "user/provider/kernel/modules.h"

static const struct load_member members[] = {
	{"tcp_sock", "srtt_us", "CONFIG_INET"},
	{NULL, NULL, NULL},
};

static const struct module_program programs[] = {
	{.needs = {"tally_tcp_probe", "tcp_probe", members},
		.own = offsetof(struct tcp_probe_cpu, own),
		.runs = "at each segment that an established connection gets"},
};

static const struct module_metric metrics[] = {
	{.name = "tcp_live_rtt_seconds",
		.unit = "seconds",
		.help = "Smoothed round-trip times of TCP connections, at each segment that one "
			"got",
		.source = "tcp_sock.srtt_us at the tracepoint",
		.type = METRIC_HISTOGRAM,
		.scale = -6,
		.lo = TCP_PROBE_LO,
		.hi = TCP_PROBE_HI,
		.offset = offsetof(struct tcp_probe_cpu, rtt),
		.sum = offsetof(struct tcp_probe_cpu, us)},
};

const struct module module_tcp_probe = {
	.ops = {.name = "tcp_probe",
		.help = "round-trip times of TCP connections that live (BPF)",
		.opt_in = "runs at each segment that comes",
		.samples = true,
		MODULE_FUNCTIONS},
	.elf = tcp_probe_bpf__elf_bytes,
	.cpu_map = "tally_tcp_probe_cpu",
	.knobs_map = "tally_tcp_probe_knobs",
	.pauses = true,
	.cpu_size = sizeof(struct tcp_probe_cpu),
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
