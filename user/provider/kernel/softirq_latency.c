/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "softirq_latency": how long soft interrupts wait, by bpf/softirq_latency.bpf.c. */
#include "bpf/softirq_latency.h"
#include "bpf/softirq_latency.skel.h"
#include "user/provider/kernel/modules.h"

static const struct module_program programs[] = {
	{.needs = {"tally_softirq_raise", "softirq_raise", NULL},
		.own = offsetof(struct softirq_latency_cpu, raise),
		.begins = true,
		.runs = "whenever a soft interrupt is asked for"},
	{.needs = {"tally_softirq_served", "softirq_entry", NULL},
		.own = offsetof(struct softirq_latency_cpu, entry),
		.runs = "at each soft interrupt"},
};

static const struct module_metric metrics[] = {
	{.name = "softirq_latency_seconds",
		.unit = "seconds",
		.help = "Time that soft interrupts waited before they ran",
		.source = "clock where one is asked for and where it begins",
		.type = METRIC_HISTOGRAM,
		.scale = -9,
		.lo = SOFTIRQ_LATENCY_LO,
		.hi = SOFTIRQ_LATENCY_HI,
		.program = 1,
		.offset = offsetof(struct softirq_latency_cpu, types[0].waits),
		.sum = offsetof(struct softirq_latency_cpu, types[0].ns),
		.label = "type",
		.values = softirq_types,
		.n = SOFTIRQ_TYPES,
		.stride = sizeof(struct softirq_waits)},
};

const struct module module_softirq_latency = {
	.ops = {.name = "softirq_latency",
		.help = "how long soft interrupts wait (BPF)",
		.opt_in = "reads the clock twice at each soft interrupt",
		MODULE_FUNCTIONS},
	.elf = softirq_latency_bpf__elf_bytes,
	.cpu_map = "tally_softirq_latency_cpu",
	.cpu_size = sizeof(struct softirq_latency_cpu),
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
