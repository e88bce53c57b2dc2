/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "fsync": how long ext4 takes to have files on the disk, by bpf/fsync.bpf.c. */
#include "bpf/fsync.h"
#include "bpf/fsync.skel.h"
#include "user/provider/kernel/modules.h"

static const struct module_program programs[] = {
	{.needs = {"tally_fsync_enter", "ext4_sync_file_enter", NULL},
		.own = offsetof(struct fsync_cpu, enter),
		.begins = true,
		.runs = "at each fsync and fdatasync"},
	{.needs = {"tally_fsync_exit", "ext4_sync_file_exit", NULL},
		.own = offsetof(struct fsync_cpu, exit),
		.runs = "at each fsync and fdatasync"},
};

static const char *const ops[FSYNC_OPS] = {[FSYNC_ALL] = "fsync", [FSYNC_DATA] = "fdatasync"};

static const struct module_metric metrics[] = {
	{.name = "ext4_fsync_seconds",
		.unit = "seconds",
		.help = "Time that ext4 took to have a file on the disk: fsync and fdatasync, and "
			"writes "
			"with O_SYNC and O_DSYNC",
		.source = "clock at the begin and end of each",
		.type = METRIC_HISTOGRAM,
		.scale = -9,
		.lo = FSYNC_LO,
		.hi = FSYNC_HI,
		.slotted = true,
		.program = 1,
		.offset = offsetof(struct fsync_cell, ops[0].times),
		.sum = offsetof(struct fsync_cell, ops[0].ns),
		.label = "op",
		.values = ops,
		.n = FSYNC_OPS,
		.stride = sizeof(struct fsync_times)},
	{.name = "ext4_fsync_errors",
		.unit = "",
		.help = "Calls of those that failed: data may be lost",
		.source = "the result",
		.type = METRIC_COUNTER,
		.slotted = true,
		.program = 1,
		.offset = offsetof(struct fsync_cell, errors),
		.label = "op",
		.values = ops,
		.n = FSYNC_OPS,
		.stride = sizeof(uint64_t)},
	{.name = "ext4_fsync_unknown",
		.unit = "",
		.help = "Calls that ext4_fsync_seconds lacks, there being over 4096 at once",
		.source = "insertions into a map that failed",
		.type = METRIC_COUNTER,
		.offset = offsetof(struct fsync_cpu, unknown)},
};

/* File systems that come later find room, and what finds none is counted as "other". */
static uint32_t count_devices(void)
{
	return 31;
}

static const struct module_slots slots = {.map = "tally_fsync",
	.size = sizeof(struct fsync_cell),
	.label = "device",
	.count = count_devices};

const struct module module_fsync = {
	.ops = {.name = "fsync",
		.help = "time that fsync and fdatasync take on ext4 (BPF)",
		.opt_in = "of ext4 only; reads the clock twice at each call",
		MODULE_FUNCTIONS},
	.elf = fsync_bpf__elf_bytes,
	.cpu_map = "tally_fsync_cpu",
	.cpu_size = sizeof(struct fsync_cpu),
	.knobs_map = "tally_fsync_knobs",
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
