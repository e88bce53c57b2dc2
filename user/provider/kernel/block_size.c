/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "block_size": how large requests to disks are, and in what order, by bpf/block_size.bpf.c. */
#include "bpf/block_size.h"
#include "bpf/block_size.skel.h"
#include "user/provider/kernel/modules.h"

static const struct module_program programs[] = {
	{.needs = {"tally_block_size", "block_rq_complete", NULL},
		.own = offsetof(struct block_size_cpu, own),
		.runs = "at the end of each request to a disk"},
};

static const char *const ops[BLOCK_SIZE_OPS] = {
	[BLOCK_SIZE_READ] = "read", [BLOCK_SIZE_WRITE] = "write"};
static const char *const orders[BLOCK_SIZE_ORDERS] = {
	[BLOCK_SIZE_SEQUENTIAL] = "sequential", [BLOCK_SIZE_RANDOM] = "random"};

static const struct module_metric metrics[] = {
	{.name = "block_request_bytes",
		.unit = "bytes",
		.help = "Size of requests to a disk, or of the parts of one that end apart",
		.source = "the tracepoint",
		.type = METRIC_HISTOGRAM,
		.lo = BLOCK_SIZE_LO,
		.hi = BLOCK_SIZE_HI,
		.slotted = true,
		.offset = offsetof(struct block_size_cell, ops[0].sizes),
		.sum = offsetof(struct block_size_cell, ops[0].bytes),
		.label = "op",
		.values = ops,
		.n = BLOCK_SIZE_OPS,
		.stride = sizeof(struct block_sizes)},
	{.name = "block_requests",
		.unit = "",
		.help = "Requests to a disk that began where the one that ended before them did "
			"(sequential), or elsewhere (random)",
		.source = "request.__sector, in the order of their ends",
		.type = METRIC_COUNTER,
		.slotted = true,
		.offset = offsetof(struct block_size_cell, order),
		.label = "order",
		.values = orders,
		.n = BLOCK_SIZE_ORDERS,
		.stride = sizeof(uint64_t)},
};

static const struct module_slots slots = {.map = "tally_block_size",
	.size = sizeof(struct block_size_cell),
	.label = "device",
	.count = block_count_disks};

const struct module module_block_size = {
	.ops = {.name = "block_size",
		.help = "size and order of requests to disks (BPF)",
		.opt_in = "a second program at each request to a disk",
		MODULE_FUNCTIONS},
	.elf = block_size_bpf__elf_bytes,
	.cpu_map = "tally_block_size_cpu",
	.cpu_size = sizeof(struct block_size_cpu),
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
