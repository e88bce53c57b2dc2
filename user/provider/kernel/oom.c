/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "oom": tasks killed because there was no memory, by bpf/oom.bpf.c. */
#include "bpf/oom.h"
#include "bpf/oom.skel.h"
#include "user/provider/kernel/modules.h"

static const struct module_program programs[] = {
	{.needs = {"tally_oom_victim", "mark_victim", NULL},
		.own = offsetof(struct oom_cpu, own),
		.runs = "at each victim"},
};

static const struct module_metric metrics[] = {
	{.name = "oom_kills",
		.unit = "",
		.help = "Tasks killed for want of memory, of the machine or of their cgroup, by "
			"name "
			"(node_exporter: node_vmstat_oom_kill, without names)",
		.source = "the tracepoint",
		.type = METRIC_COUNTER,
		.slotted = true,
		.offset = offsetof(struct oom_cell, kills)},
};

static uint32_t count_names(void)
{
	return OOM_NAMES;
}

static const struct module_slots slots = {
	.map = "tally_oom", .size = sizeof(struct oom_cell), .label = "comm", .count = count_names};

const struct module module_oom = {
	.ops = {.name = "oom",
		.help = "tasks killed for want of memory, by name (BPF)",
		MODULE_FUNCTIONS},
	.elf = oom_bpf__elf_bytes,
	.cpu_map = "tally_oom_cpu",
	.cpu_size = sizeof(struct oom_cpu),
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
