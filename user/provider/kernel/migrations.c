/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "migrations": tasks moved between CPUs, by bpf/migrations.bpf.c. */
#include "bpf/migrations.h"
#include "bpf/migrations.skel.h"
#include "user/provider/kernel/modules.h"

static const struct module_program programs[] = {
	{.needs = {"tally_migrations", "sched_migrate_task", NULL},
		.own = offsetof(struct migrations_cpu, own),
		.runs = "at each move of a task"},
};

static const struct module_metric metrics[] = {
	{.name = "sched_migrations",
		.unit = "",
		.help = "Tasks moved to another CPU, by the CPU that they came to",
		.source = "the tracepoint",
		.type = METRIC_COUNTER,
		.per_cpu = true,
		.offset = offsetof(struct migrations_cpu, moves)},
};

const struct module module_migrations = {
	.ops = {.name = "migrations",
		.help = "tasks moved between CPUs (BPF)",
		.opt_in = "runs in the scheduler whenever a task changes its CPU",
		MODULE_FUNCTIONS},
	.elf = migrations_bpf__elf_bytes,
	.cpu_map = "tally_migrations_cpu",
	.cpu_size = sizeof(struct migrations_cpu),
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
