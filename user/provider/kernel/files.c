/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "files": operations on files by kind of file system, by bpf/files.bpf.c. */
#include "bpf/files.h"
#include "bpf/files.skel.h"
#include "user/provider/kernel/modules.h"

#define PAIR(program, number, what, ...)                                     \
	{.needs = {program "_begin", __VA_ARGS__},                           \
		.own = offsetof(struct files_cpu, begin[number]),            \
		.begins = true,                                              \
		.runs = what},                                               \
	{                                                                    \
		.needs = {program "_end", __VA_ARGS__},                      \
		.own = offsetof(struct files_cpu, end[number]), .runs = what \
	}

static const struct module_program programs[] = {
	PAIR("tally_read", FILES_VFS_READ, "at each read", .function = "vfs_read"),
	PAIR("tally_write", FILES_VFS_WRITE, "at each write", .function = "vfs_write"),
	PAIR("tally_readv", FILES_VFS_READV, "at each readv and the like", .function = "vfs_readv"),
	PAIR("tally_writev", FILES_VFS_WRITEV, "at each writev and the like",
		.function = "vfs_writev"),
	PAIR("tally_open", FILES_DO_OPEN, "at each open and exec", .function = "do_filp_open",
		.renamed = "do_file_open"),
	PAIR("tally_fsync", FILES_SYS_FSYNC, "at each fsync", .function = "__x64_sys_fsync"),
	PAIR("tally_fdatasync", FILES_SYS_FDATASYNC, "at each fdatasync",
		.function = "__x64_sys_fdatasync"),
};

static const char *const ops[FILES_OPS] = {[FILES_READ] = "read",
	[FILES_WRITE] = "write",
	[FILES_OPEN] = "open",
	[FILES_FSYNC] = "fsync"};

#define BY_OP                                                          \
	.slotted = true, .label = "op", .values = ops, .n = FILES_OPS, \
	.stride = sizeof(struct files_figures)

static const struct module_metric metrics[] = {
	{.name = "file_operations",
		.unit = "",
		.help = "Reads, writes, opens and fsyncs of files that ended",
		.source = "the kernel's functions for all file systems",
		.type = METRIC_COUNTER,
		.offset = offsetof(struct files_cell, ops[0].operations),
		BY_OP},
	{.name = "file_errors",
		.unit = "",
		.help = "Operations of file_operations that failed; what would have had to wait, "
			"too",
		.source = "the result",
		.type = METRIC_COUNTER,
		.offset = offsetof(struct files_cell, ops[0].errors),
		BY_OP},
	{.name = "file_bytes",
		.unit = "bytes",
		.help = "Bytes that were read and written",
		.source = "the result",
		.type = METRIC_COUNTER,
		.offset = offsetof(struct files_cell, ops[0].bytes),
		BY_OP},
	{.name = "file_operation_seconds",
		.unit = "seconds",
		.help = "Time that operations took, with what they waited for: each fsync, and one "
			"of 64 of all others",
		.source = "clock at the begin and end of those",
		.type = METRIC_HISTOGRAM,
		.scale = -9,
		.lo = FILES_LO,
		.hi = FILES_HI,
		.offset = offsetof(struct files_cell, ops[0].times),
		.sum = offsetof(struct files_cell, ops[0].ns),
		BY_OP},
};

/* Kinds that are in use, those of the kernel's own with them: a machine has a dozen or so. */
static uint32_t count_kinds(void)
{
	return 23;
}

static const struct module_slots slots = {.map = "tally_files",
	.size = sizeof(struct files_cell),
	.label = "fs",
	.count = count_kinds};

const struct module module_files = {
	.ops = {.name = "files",
		.help = "operations on files and their times, by file system (BPF)",
		.opt_in = "runs twice at each read, write, open and fsync",
		MODULE_FUNCTIONS},
	.elf = files_bpf__elf_bytes,
	.cpu_map = "tally_files_cpu",
	.cpu_size = sizeof(struct files_cpu),
	.knobs_map = "tally_files_knobs",
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
