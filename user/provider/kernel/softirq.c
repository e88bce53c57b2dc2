/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "softirq": how long soft interrupts run, by bpf/softirq.bpf.c. */
#include "bpf/softirq.h"
#include "bpf/softirq.skel.h"
#include "user/provider/kernel/modules.h"

static const struct module_program programs[] = {
	{.needs = {"tally_softirq_entry", "softirq_entry", NULL},
		.own = offsetof(struct softirq_cpu, entry),
		.begins = true,
		.runs = "at each soft interrupt"},
	{.needs = {"tally_softirq_exit", "softirq_exit", NULL},
		.own = offsetof(struct softirq_cpu, exit),
		.runs = "at each soft interrupt"},
};

/* As /proc/softirqs and the producer "proc" call them. */
const char *const softirq_types[SOFTIRQ_TYPES] = {"hi", "timer", "net_tx", "net_rx", "block",
	"irq_poll", "tasklet", "sched", "hrtimer", "rcu"};

static const struct module_metric metrics[] = {
	{.name = "softirq_seconds",
		.unit = "seconds",
		.help = "Time spent in soft interrupts, estimated from one of 16",
		.source = "clock at begin and end of one of 16 of each type, counted 16 times",
		.type = METRIC_COUNTER,
		.scale = -9,
		.per_cpu = true,
		.factor = SOFTIRQ_EVERY,
		.program = 1,
		.offset = offsetof(struct softirq_cpu, sampled_ns),
		.label = "type",
		.values = softirq_types,
		.n = SOFTIRQ_TYPES,
		.stride = sizeof(uint64_t)},
};

const struct module module_softirq = {
	.ops = {.name = "softirq", .help = "time in soft interrupts (BPF)", MODULE_FUNCTIONS},
	.elf = softirq_bpf__elf_bytes,
	.cpu_map = "tally_softirq_cpu",
	.knobs_map = "tally_softirq_knobs",
	.pauses = true,
	.cpu_size = sizeof(struct softirq_cpu),
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
