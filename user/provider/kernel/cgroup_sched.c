/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "cgroup_sched": time on CPU, run-queue latency and moves by cgroup, by bpf/cgroup_sched.bpf.c. */
#include "bpf/cgroup_sched.h"
#include "bpf/cgroup_sched.skel.h"
#include "user/provider/kernel/modules.h"

static const struct load_member members[] = {
	{"sched_info", "last_queued", "CONFIG_SCHED_INFO"},
	{"sched_entity", "cfs_rq", "CONFIG_FAIR_GROUP_SCHED"},
	{"cfs_rq", "rq", "CONFIG_FAIR_GROUP_SCHED"},
	{"task_struct", "cgroups", "CONFIG_CGROUPS"},
	{NULL, NULL, NULL},
};

enum { SWITCH, MOVE };
static const struct module_program programs[] = {
	[SWITCH] = {.needs = {"tally_cgroup_switch", "sched_switch", members},
		.own = offsetof(struct cgroup_sched_cpu, own),
		.runs = "at each context switch"},
	[MOVE] = {.needs = {"tally_cgroup_move", "sched_migrate_task", members},
		.own = offsetof(struct cgroup_sched_cpu, move),
		.runs = "whenever a task changes its CPU"},
};

static const struct module_metric metrics[] = {
	{.name = "cgroup_oncpu_seconds",
		.unit = "seconds",
		.help = "Time that tasks of a cgroup were on the CPU, added when they leave it",
		.source = "run queue's clock between two switches",
		.type = METRIC_COUNTER,
		.scale = -9,
		.slotted = true,
		.offset = offsetof(struct cgroup_sched_cell, run_ns)},
	{.name = "cgroup_switches",
		.unit = "",
		.help = "How often a task of a cgroup got a CPU",
		.source = "the tracepoint",
		.type = METRIC_COUNTER,
		.slotted = true,
		.offset = offsetof(struct cgroup_sched_cell, switches)},
	{.name = "cgroup_migrations",
		.unit = "",
		.help = "Tasks of a cgroup moved to another CPU",
		.source = "the tracepoint",
		.type = METRIC_COUNTER,
		.slotted = true,
		.program = MOVE,
		.offset = offsetof(struct cgroup_sched_cell, moves)},
	{.name = "cgroup_runq_latency_seconds",
		.unit = "seconds",
		.help = "Time that tasks of a cgroup were runnable before they got a CPU",
		.source = "run queue's clock minus sched_info.last_queued of the task that gets "
			  "the CPU",
		.type = METRIC_HISTOGRAM,
		.scale = -9,
		.lo = CGROUP_WAIT_LO,
		.hi = CGROUP_WAIT_HI,
		.slotted = true,
		.offset = offsetof(struct cgroup_sched_cell, waits),
		.sum = offsetof(struct cgroup_sched_cell, wait_ns)},
};

static const struct module_slots slots = {.map = "tally_cgroup_sched",
	.size = sizeof(struct cgroup_sched_cell),
	MODULE_CGROUP_NAMES,
	.count = cgroup_count_half};

const struct module module_cgroup_sched = {
	.ops = {.name = "cgroup_sched",
		.help = "time on CPU and run-queue latency by cgroup (BPF)",
		.opt_in = "looks up a cgroup at each context switch",
		.samples = true,
		MODULE_FUNCTIONS},
	.elf = cgroup_sched_bpf__elf_bytes,
	.cpu_map = "tally_cgroup_sched_cpu",
	.knobs_map = "tally_cgroup_sched_knobs",
	.pauses = true,
	.cpu_size = sizeof(struct cgroup_sched_cpu),
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
