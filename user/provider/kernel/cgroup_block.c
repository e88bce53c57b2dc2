/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "cgroup_block": how long requests to disks take, by cgroup, by bpf/cgroup_block.bpf.c. */
#include "bpf/cgroup_block.h"
#include "bpf/cgroup_block.skel.h"
#include "user/provider/kernel/modules.h"

static const struct load_member members[] = {
	{"request", "start_time_ns", "CONFIG_BLOCK"},
	{"bio", "bi_blkg", "CONFIG_BLK_CGROUP"},
	{NULL, NULL, NULL},
};

static const struct module_program programs[] = {
	{.needs = {"tally_cgroup_block", "block_rq_complete", members},
		.own = offsetof(struct cgroup_block_cpu, own),
		.runs = "at the end of each request to a disk"},
};

static const struct module_metric metrics[] = {
	{.name = "cgroup_block_latency_seconds",
		.unit = "seconds",
		.help = "Time that requests to disks took, by the cgroup that caused them, or the "
			"nearest one above it that has the controller `io`; what is written back "
			"later is of the cgroup that owns the pages (version 2, with the "
			"controllers `io` and `memory`), else of the root",
		.source = "clock minus request.start_time_ns; bio.bi_blkg",
		.type = METRIC_HISTOGRAM,
		.scale = -9,
		.lo = BLOCK_LO,
		.hi = BLOCK_HI,
		.slotted = true,
		.offset = offsetof(struct cgroup_block_cell, ops[0].total),
		.sum = offsetof(struct cgroup_block_cell, ops[0].total_ns),
		.label = "op",
		.values = block_ops,
		.n = BLOCK_OPS,
		.stride = sizeof(struct cgroup_block_times)},
	{.name = "block_without_cgroup_seconds",
		.unit = "seconds",
		.help = "Time that requests to disks took which belong to no cgroup: flushes",
		.source = "clock minus request.start_time_ns, without a bio.bi_blkg",
		.type = METRIC_HISTOGRAM,
		.scale = -9,
		.lo = BLOCK_LO,
		.hi = BLOCK_HI,
		.offset = offsetof(struct cgroup_block_cpu, none[0].total),
		.sum = offsetof(struct cgroup_block_cpu, none[0].total_ns),
		.label = "op",
		.values = block_ops,
		.n = BLOCK_OPS,
		.stride = sizeof(struct cgroup_block_times)},
};

static const struct module_slots slots = {.map = "tally_cgroup_block",
	.size = sizeof(struct cgroup_block_cell),
	MODULE_CGROUP_NAMES,
	.count = cgroup_count_half};

const struct module module_cgroup_block = {
	.ops = {.name = "cgroup_block",
		.help = "time that requests to disks take, by cgroup (BPF)",
		.opt_in = "a second program at each request to a disk",
		MODULE_FUNCTIONS},
	.elf = cgroup_block_bpf__elf_bytes,
	.cpu_map = "tally_cgroup_block_cpu",
	.cpu_size = sizeof(struct cgroup_block_cpu),
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
