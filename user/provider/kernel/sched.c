/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "sched": context switches, time on CPU and run-queue latency, by bpf/sched.bpf.c. */
#include "bpf/ended.h"
#include "bpf/sched.h"
#include "bpf/sched.skel.h"
#include "user/provider/kernel/ended.h"
#include "user/provider/kernel/modules.h"

const struct load_member sched_members[] = {
	{"sched_info", "last_queued", "CONFIG_SCHED_INFO"},
	{"sched_entity", "cfs_rq", "CONFIG_FAIR_GROUP_SCHED"},
	{"cfs_rq", "rq", "CONFIG_FAIR_GROUP_SCHED"},
	{NULL, NULL, NULL},
};

static const struct module_program programs[] = {
	{.needs = {"tally_sched", "sched_switch", sched_members},
		.own = offsetof(struct sched_cpu, own),
		.runs = "at each context switch"},
};

static const struct module_metric metrics[] = {
	{.name = "sched_oncpu_seconds",
		.unit = "seconds",
		.help = "Time that tasks were on the CPU, added when they leave it",
		.source = "run queue's clock between two switches, without the idle task",
		.type = METRIC_COUNTER,
		.scale = -9,
		.per_cpu = true,
		.offset = offsetof(struct sched_cpu, run_ns)},
	{.name = "sched_switches",
		.unit = "",
		.help = "Context switches",
		.source = "the tracepoint: the events of ctxt in /proc/stat, per CPU",
		.type = METRIC_COUNTER,
		.per_cpu = true,
		.offset = offsetof(struct sched_cpu, own.runs)},
	{.name = "sched_runq_wait_seconds",
		.unit = "seconds",
		.help = "Time that tasks were runnable before they got this CPU: the sum of "
			"sched_runq_latency_seconds, by CPU",
		.source = "run queue's clock minus sched_info.last_queued of the task that gets "
			  "the CPU",
		.type = METRIC_COUNTER,
		.scale = -9,
		.per_cpu = true,
		.offset = offsetof(struct sched_cpu, wait_ns)},
	{.name = "sched_runq_latency_seconds",
		.unit = "seconds",
		.help = "Time that tasks were runnable before they got a CPU",
		.source = "run queue's clock minus sched_info.last_queued of the task that gets "
			  "the CPU",
		.type = METRIC_HISTOGRAM,
		.scale = -9,
		.lo = SCHED_WAIT_LO,
		.hi = SCHED_WAIT_HI,
		.offset = offsetof(struct sched_cpu, waits),
		.sum = offsetof(struct sched_cpu, wait_ns)},
};

const struct module module_sched = {
	.ops = {.name = "sched",
		.help = "context switches, time on CPU and run-queue latency (BPF)",
		MODULE_FUNCTIONS},
	.elf = sched_bpf__elf_bytes,
	.cpu_map = "tally_sched_cpu",
	.knobs_map = "tally_sched_knobs",
	.pauses = true,
	.cpu_size = sizeof(struct sched_cpu),
	.prepare = ended_prepare,
	.kept = {ENDED_CPU_MAP, ENDED_ROWS_MAP},
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
