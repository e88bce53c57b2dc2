/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "oom": tasks killed because there was no memory, by bpf/oom.bpf.c. */
#include <stdio.h>

#include "bpf/oom.h"
#include "bpf/oom.skel.h"
#include "user/lib/schema.h"
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
			"name and cgroup (node_exporter: node_vmstat_oom_kill, without labels)",
		.source = "the tracepoint",
		.type = METRIC_COUNTER,
		.slotted = true,
		.offset = offsetof(struct oom_cell, kills)},
};

static uint32_t count_names(void)
{
	return OOM_NAMES;
}

static void label_victim(const void *name, struct slot_labels *ret)
{
	const struct oom_name *victim = name;
	char *comm = ret->text + sizeof(ret->text) - sizeof(victim->comm);

	_Static_assert(
		MODULE_CGROUP_PATH + sizeof(victim->comm) <= sizeof(ret->text), "room for both");
	snprintf(comm, sizeof(victim->comm), "%.*s", (int)sizeof(victim->comm), victim->comm);
	text_make_valid(comm);
	ret->values[ret->n++] = comm;
	module_cgroup_labels(&victim->cgroup, ret);
}

static const struct module_slots slots = {.map = "tally_oom",
	.size = sizeof(struct oom_cell),
	.label = "comm",
	.more = "`cgroup`, `unit`, `container`",
	.count = count_names,
	.labels = label_victim,
	.name_size = sizeof(struct oom_name)};

const struct module module_oom = {
	.ops = {.name = "oom",
		.help = "tasks killed for want of memory, by name and cgroup (BPF)",
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
