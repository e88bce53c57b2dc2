/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "contention": how long locks of the kernel are waited for, by bpf/contention.bpf.c. */
#include "bpf/contention.h"
#include "bpf/contention.skel.h"
#include "user/provider/kernel/modules.h"

static const struct module_program programs[] = {
	{.needs = {"tally_lock_begin", "contention_begin", NULL},
		.own = offsetof(struct contention_cpu, begin),
		.begins = true,
		.runs = "where a lock is taken already"},
	{.needs = {"tally_lock_end", "contention_end", NULL},
		.own = offsetof(struct contention_cpu, end),
		.runs = "where it was waited for"},
};

static const char *const types[CONTENTION_TYPES] = {[CONTENTION_SPINLOCK] = "spinlock",
	[CONTENTION_RWLOCK_READ] = "rwlock_read",
	[CONTENTION_RWLOCK_WRITE] = "rwlock_write",
	[CONTENTION_MUTEX] = "mutex",
	[CONTENTION_RWSEM_READ] = "rwsem_read",
	[CONTENTION_RWSEM_WRITE] = "rwsem_write",
	[CONTENTION_PERCPU_RWSEM] = "percpu_rwsem",
	[CONTENTION_RTMUTEX] = "rtmutex",
	[CONTENTION_OTHER] = "other"};

static const struct module_metric metrics[] = {
	{.name = "lock_contention_seconds",
		.unit = "seconds",
		.help = "Time that tasks and interrupts waited for locks of the kernel, by type",
		.source = "clock at the begin and end of each wait",
		.type = METRIC_HISTOGRAM,
		.scale = -9,
		.lo = CONTENTION_LO,
		.hi = CONTENTION_HI,
		.program = 1,
		.offset = offsetof(struct contention_cpu, types[0].waits),
		.sum = offsetof(struct contention_cpu, types[0].ns),
		.label = "type",
		.values = types,
		.n = CONTENTION_TYPES,
		.stride = sizeof(struct contention_times)},
	{.name = "lock_unknown_contentions",
		.unit = "",
		.help = "Waits that lock_contention_seconds lacks, there being over 8192 at once",
		.source = "insertions into a map that failed",
		.type = METRIC_COUNTER,
		.offset = offsetof(struct contention_cpu, unknown)},
};

const struct module module_contention = {
	.ops = {.name = "contention",
		.help = "how long locks of the kernel are waited for (BPF)",
		.opt_in = "reads the clock twice and looks into a map at each wait",
		MODULE_FUNCTIONS},
	.elf = contention_bpf__elf_bytes,
	.cpu_map = "tally_contention_cpu",
	.cpu_size = sizeof(struct contention_cpu),
	.knobs_map = "tally_contention_knobs",
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
