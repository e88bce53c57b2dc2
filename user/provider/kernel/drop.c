/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "drop": packets dropped, by reason, by bpf/drop.bpf.c. */
#include "bpf/drop.h"
#include "bpf/drop.skel.h"
#include "user/provider/kernel/modules.h"

static const struct module_program programs[] = {
	{.needs = {"tally_drop", "kfree_skb", NULL, .args = 3},
		.own = offsetof(struct drop_cpu, own),
		.runs = "at each packet dropped"},
};

static const struct module_metric metrics[] = {
	{.name = "network_drops",
		.unit = "",
		.help = "Packets dropped, by the kernel's reason; some are of healthy traffic",
		.source = "the tracepoint; reasons are the kernel's enum skb_drop_reason",
		.type = METRIC_COUNTER,
		.offset = offsetof(struct drop_cpu, reasons),
		.label = "reason",
		.values_enum = "skb_drop_reason",
		.values_prefix = "SKB_DROP_REASON_",
		.n = DROP_REASONS,
		.stride = sizeof(uint64_t)},
};

const struct module module_drop = {
	.ops = {.name = "drop", .help = "packets dropped, by reason (BPF)", MODULE_FUNCTIONS},
	.elf = drop_bpf__elf_bytes,
	.cpu_map = "tally_drop_cpu",
	.cpu_size = sizeof(struct drop_cpu),
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
