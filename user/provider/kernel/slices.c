/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "slices": how long tasks have a CPU at a time, by bpf/slices.bpf.c. */
#include "bpf/slices.h"
#include "bpf/slices.skel.h"
#include "user/provider/kernel/modules.h"

static const struct module_program programs[] = {
	{.needs = {"tally_slices", "sched_switch", sched_members},
		.own = offsetof(struct slices_cpu, own),
		.runs = "at each context switch"},
};

static const struct module_metric metrics[] = {
	{.name = "sched_slice_seconds",
		.unit = "seconds",
		.help = "Time that tasks had a CPU until they left it, of their own will or not",
		.source = "run queue's clock between two switches, without the idle task",
		.type = METRIC_HISTOGRAM,
		.scale = -9,
		.lo = SLICES_LO,
		.hi = SLICES_HI,
		.offset = offsetof(struct slices_cpu, slices),
		.sum = offsetof(struct slices_cpu, run_ns)},
};

const struct module module_slices = {
	.ops = {.name = "slices",
		.help = "how long tasks have a CPU at a time (BPF)",
		.opt_in = "a second program at each context switch",
		MODULE_FUNCTIONS},
	.elf = slices_bpf__elf_bytes,
	.cpu_map = "tally_slices_cpu",
	.cpu_size = sizeof(struct slices_cpu),
	.knobs_map = "tally_slices_knobs",
	.pauses = true,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
