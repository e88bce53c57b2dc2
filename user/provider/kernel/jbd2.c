/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "jbd2": how long commits of journals take, by bpf/jbd2.bpf.c. */
#include "bpf/jbd2.h"

#include <stdio.h>
#include <string.h>

#include "bpf/jbd2.skel.h"
#include "user/provider/kernel/modules.h"

static const struct module_program programs[] = {
	{.needs = {"tally_commit_begin", "jbd2_start_commit", NULL},
		.own = offsetof(struct jbd2_cpu, start),
		.begins = true,
		.runs = "at each commit of a journal"},
	{.needs = {"tally_commit_end", "jbd2_end_commit", NULL},
		.own = offsetof(struct jbd2_cpu, end),
		.runs = "at each commit of a journal"},
};

static const struct module_metric metrics[] = {
	{.name = "jbd2_commit_seconds",
		.unit = "seconds",
		.help = "Time that a journal of ext4 or ocfs2 took to commit a transaction",
		.source = "clock at the begin and end of each",
		.type = METRIC_HISTOGRAM,
		.scale = -9,
		.lo = JBD2_LO,
		.hi = JBD2_HI,
		.slotted = true,
		.program = 1,
		.offset = offsetof(struct jbd2_cell, commits),
		.sum = offsetof(struct jbd2_cell, ns)},
	{.name = "jbd2_unknown_commits",
		.unit = "",
		.help = "Commits that jbd2_commit_seconds lacks, there being over 1024 at once",
		.source = "insertions into a map that failed",
		.type = METRIC_COUNTER,
		.offset = offsetof(struct jbd2_cpu, unknown)},
};

/* The journal's name is that of its device and the number of its inode: "vda1-8". */
static void device_labels(const void *name, struct slot_labels *ret)
{
	const struct tally_slot *slot = name;
	char *number;

	snprintf(ret->text, sizeof(ret->text), "%.*s", (int)sizeof(slot->name), slot->name);
	number = strrchr(ret->text, '-');
	if (number)
		*number = '\0';
	ret->values[ret->n++] = ret->text;
}

static const struct module_slots slots = {.map = "tally_jbd2",
	.size = sizeof(struct jbd2_cell),
	.label = "device",
	.count = block_count_disks,
	.labels = device_labels,
	.name_size = sizeof(struct tally_slot)};

const struct module module_jbd2 = {
	.ops = {.name = "jbd2",
		.help = "how long commits of file systems' journals take (BPF)",
		MODULE_FUNCTIONS},
	.elf = jbd2_bpf__elf_bytes,
	.cpu_map = "tally_jbd2_cpu",
	.cpu_size = sizeof(struct jbd2_cpu),
	.knobs_map = "tally_jbd2_knobs",
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
