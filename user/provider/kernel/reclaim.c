/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "reclaim": how long tasks wait for memory, by bpf/reclaim.bpf.c. */
#include "bpf/reclaim.h"
#include "bpf/reclaim.skel.h"
#include "user/provider/kernel/modules.h"

#define PAIR(name, kind, before, after, what)                                \
	{.needs = {name "_begin", before, NULL},                             \
		.own = offsetof(struct reclaim_cpu, begin[kind]),            \
		.begins = true,                                              \
		.runs = what},                                               \
	{                                                                    \
		.needs = {name "_end", after, NULL},                         \
		.own = offsetof(struct reclaim_cpu, end[kind]), .runs = what \
	}

static const struct module_program programs[] = {
	PAIR("tally_direct", RECLAIM_GLOBAL, "mm_vmscan_direct_reclaim_begin",
		"mm_vmscan_direct_reclaim_end", "where the machine is short of memory"),
	PAIR("tally_memcg", RECLAIM_CGROUP, "mm_vmscan_memcg_reclaim_begin",
		"mm_vmscan_memcg_reclaim_end", "where a cgroup is at its limit"),
	PAIR("tally_compact", RECLAIM_COMPACTION, "mm_compaction_begin", "mm_compaction_end",
		"where memory is in pieces"),
};

static const char *const kinds[RECLAIM_KINDS] = {[RECLAIM_GLOBAL] = "global",
	[RECLAIM_CGROUP] = "cgroup",
	[RECLAIM_COMPACTION] = "compaction"};

static const struct module_metric metrics[] = {
	{.name = "memory_stall_seconds",
		.unit = "seconds",
		.help = "Time that tasks took to win back or to compact memory that they asked for",
		.source = "clock at the begin and end of each",
		.type = METRIC_HISTOGRAM,
		.scale = -9,
		.lo = RECLAIM_LO,
		.hi = RECLAIM_HI,
		.offset = offsetof(struct reclaim_cpu, kinds[0].waits),
		.sum = offsetof(struct reclaim_cpu, kinds[0].ns),
		.label = "kind",
		.values = kinds,
		.n = RECLAIM_KINDS,
		.stride = sizeof(struct reclaim_times)},
	{.name = "memory_unknown_stalls",
		.unit = "",
		.help = "Stalls that memory_stall_seconds lacks, there being over 4096 at once",
		.source = "insertions into a map that failed",
		.type = METRIC_COUNTER,
		.offset = offsetof(struct reclaim_cpu, unknown)},
	{.name = "cgroup_memory_stalls",
		.unit = "",
		.help = "Times that tasks of a cgroup had to win back or to compact memory",
		.source = "as memory_stall_seconds; the cgroup of the task",
		.type = METRIC_COUNTER,
		.slotted = true,
		.offset = offsetof(struct reclaim_cell, stalls),
		.label = "kind",
		.values = kinds,
		.n = RECLAIM_KINDS,
		.stride = sizeof(uint64_t)},
	{.name = "cgroup_memory_stall_seconds",
		.unit = "seconds",
		.help = "Time that tasks of a cgroup took to win back or to compact memory",
		.source = "as memory_stall_seconds; the cgroup of the task",
		.type = METRIC_COUNTER,
		.scale = -9,
		.slotted = true,
		.offset = offsetof(struct reclaim_cell, ns),
		.label = "kind",
		.values = kinds,
		.n = RECLAIM_KINDS,
		.stride = sizeof(uint64_t)},
};

static const struct module_slots slots = {.map = "tally_reclaim",
	.size = sizeof(struct reclaim_cell),
	MODULE_CGROUP_NAMES,
	.count = cgroup_count_half};

const struct module module_reclaim = {
	.ops = {.name = "reclaim",
		.help = "how long tasks wait for memory, and by cgroup (BPF)",
		MODULE_FUNCTIONS},
	.elf = reclaim_bpf__elf_bytes,
	.cpu_map = "tally_reclaim_cpu",
	.cpu_size = sizeof(struct reclaim_cpu),
	.knobs_map = "tally_reclaim_knobs",
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
