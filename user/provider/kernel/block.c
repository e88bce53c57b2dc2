/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "block": how long requests to disks take, and which fail, by bpf/block.bpf.c. */
#include "bpf/block.h"
#include "bpf/block.skel.h"
#include "user/provider/kernel/modules.h"

static const struct load_member members[] = {
	{"request", "start_time_ns", "CONFIG_BLOCK"},
	{NULL, NULL, NULL},
};

static const struct module_program programs[] = {
	{.needs = {"tally_block", "block_rq_complete", members},
		.own = offsetof(struct block_cpu, own),
		.runs = "at the end of each request to a disk"},
};

const char *const block_ops[BLOCK_OPS] = {
	[BLOCK_READ] = "read", [BLOCK_WRITE] = "write", [BLOCK_OTHER] = "other"};
/* After the constants BLK_STS_* of include/linux/blk_types.h. */
static const char *const statuses[BLOCK_STATUSES] = {"0", "notsupp", "timeout", "nospc",
	"transport", "target", "resv_conflict", "medium", "protection", "resource", "ioerr",
	"other"};

static const struct module_metric metrics[] = {
	{.name = "block_io_latency_seconds",
		.unit = "seconds",
		.help = "Time that requests to a disk took, in queues and in the device",
		.source = "clock minus request.start_time_ns",
		.type = METRIC_HISTOGRAM,
		.scale = -9,
		.lo = BLOCK_LO,
		.hi = BLOCK_HI,
		.slotted = true,
		.offset = offsetof(struct block_cell, ops[0].total),
		.sum = offsetof(struct block_cell, ops[0].total_ns),
		.label = "op",
		.values = block_ops,
		.n = BLOCK_OPS,
		.stride = sizeof(struct block_times)},
	{.name = "block_queue_seconds",
		.unit = "seconds",
		.help = "Time that requests waited for the device, where the kernel notes when it "
			"got them",
		.source = "request.io_start_time_ns minus request.start_time_ns",
		.type = METRIC_HISTOGRAM,
		.scale = -9,
		.lo = BLOCK_LO,
		.hi = BLOCK_HI,
		.slotted = true,
		.offset = offsetof(struct block_cell, ops[0].queue),
		.sum = offsetof(struct block_cell, ops[0].queue_ns),
		.label = "op",
		.values = block_ops,
		.n = BLOCK_OPS,
		.stride = sizeof(struct block_times)},
	{.name = "block_device_seconds",
		.unit = "seconds",
		.help = "Time that requests were in the device, where the kernel notes when it got "
			"them",
		.source = "clock minus request.io_start_time_ns",
		.type = METRIC_HISTOGRAM,
		.scale = -9,
		.lo = BLOCK_LO,
		.hi = BLOCK_HI,
		.slotted = true,
		.offset = offsetof(struct block_cell, ops[0].device),
		.sum = offsetof(struct block_cell, ops[0].device_ns),
		.label = "op",
		.values = block_ops,
		.n = BLOCK_OPS,
		.stride = sizeof(struct block_times)},
	{.name = "block_errors",
		.unit = "",
		.help = "Requests to a disk that failed",
		.source = "the tracepoint's status",
		.type = METRIC_COUNTER,
		.slotted = true,
		.offset = offsetof(struct block_cell, errors),
		.label = "status",
		.values = statuses,
		.n = BLOCK_STATUSES,
		.stride = sizeof(uint64_t)},
};

uint32_t block_count_disks(void)
{
	FILE *f = fopen("/proc/diskstats", "re");
	unsigned long long reads, writes;
	uint32_t disks = 0;
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*u %*u %*s %llu %*u %*u %*u %llu", &reads, &writes) == 2)
			disks += reads || writes;
	if (f)
		fclose(f);
	disks += disks / 2;
	return disks < 8 ? 8 : disks > 63 ? 63 : disks;
}

static const struct module_slots slots = {.map = "tally_block",
	.size = sizeof(struct block_cell),
	.label = "device",
	.count = block_count_disks};

const struct module module_block = {
	.ops = {.name = "block",
		.help = "time that requests to disks take, and errors (BPF)",
		MODULE_FUNCTIONS},
	.elf = block_bpf__elf_bytes,
	.cpu_map = "tally_block_cpu",
	.cpu_size = sizeof(struct block_cpu),
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
