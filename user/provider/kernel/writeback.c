/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "writeback": how long tasks that write are made to wait, by bpf/writeback.bpf.c. */
#include "bpf/writeback.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bpf/writeback.skel.h"
#include "user/provider/kernel/modules.h"

static const struct module_program programs[] = {
	{.needs = {"tally_throttle", "balance_dirty_pages", NULL},
		.own = offsetof(struct writeback_cpu, own),
		.runs = "at each pause of a task that writes more than its disk"},
};

static const struct module_metric metrics[] = {
	{.name = "writeback_throttle_seconds",
		.unit = "seconds",
		.help = "Pauses of tasks that wrote, for too much of it was not on its disk yet",
		.source = "the kernel's own figure, in jiffies, before each pause",
		.type = METRIC_HISTOGRAM,
		.scale = -9,
		.lo = WRITEBACK_LO,
		.hi = WRITEBACK_HI,
		.slotted = true,
		.offset = offsetof(struct writeback_cell, pauses),
		.sum = offsetof(struct writeback_cell, ns)},
};

/* "7:0" of a disk becomes its name; what is no disk, a network's file system for one, stays as it is. */
static void device_labels(const void *name, struct slot_labels *ret)
{
	const struct tally_slot *slot = name;
	char path[64], target[256];
	const char *device;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/dev/block/%.*s", (int)sizeof(slot->name), slot->name);
	n = readlink(path, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	device = strrchr(target, '/');
	snprintf(ret->text, sizeof(ret->text), "%.*s", (int)sizeof(slot->name), slot->name);
	if (device)
		snprintf(ret->text, sizeof(ret->text), "%s", device + 1);
	ret->values[ret->n++] = ret->text;
}

static const struct module_slots slots = {.map = "tally_writeback",
	.size = sizeof(struct writeback_cell),
	.label = "device",
	.count = block_count_disks,
	.labels = device_labels,
	.name_size = sizeof(struct tally_slot)};

const struct module module_writeback = {
	.ops = {.name = "writeback",
		.help = "how long tasks that write must wait for disks (BPF)",
		MODULE_FUNCTIONS},
	.elf = writeback_bpf__elf_bytes,
	.cpu_map = "tally_writeback_cpu",
	.cpu_size = sizeof(struct writeback_cpu),
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
