/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "hardirq": how long handlers of interrupts run, by bpf/hardirq.bpf.c. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/hardirq.h"
#include "bpf/hardirq.skel.h"
#include "user/provider/kernel/modules.h"

static const struct module_program programs[] = {
	{.needs = {"tally_hardirq_entry", "irq_handler_entry", NULL},
		.own = offsetof(struct hardirq_cpu, entry),
		.begins = true,
		.runs = "at each interrupt of a device"},
	{.needs = {"tally_hardirq_exit", "irq_handler_exit", NULL},
		.own = offsetof(struct hardirq_cpu, exit),
		.runs = "at each interrupt of a device"},
};

static const struct module_metric metrics[] = {
	{.name = "hardirq_seconds",
		.unit = "seconds",
		.help = "Time that a handler of a device's interrupt took, of which others wait",
		.source = "clock at the begin and end of each",
		.type = METRIC_HISTOGRAM,
		.scale = -9,
		.lo = HARDIRQ_LO,
		.hi = HARDIRQ_HI,
		.slotted = true,
		.program = 1,
		.offset = offsetof(struct hardirq_cell, times),
		.sum = offsetof(struct hardirq_cell, ns)},
	{.name = "hardirq_unclaimed",
		.unit = "",
		.help = "Calls of a handler whose device had asked for none: a shared or a broken "
			"interrupt",
		.source = "what the handler returned",
		.type = METRIC_COUNTER,
		.slotted = true,
		.program = 1,
		.offset = offsetof(struct hardirq_cell, unclaimed)},
};

/* Of a line of /proc/interrupts: a number, and any CPU has seen it. */
static bool line_is_used(const char *line)
{
	const char *at = strchr(line, ':');
	char *end;

	while (isspace((unsigned char)*line))
		line++;
	if (!at || !isdigit((unsigned char)*line))
		return false;
	for (at++;; at = end) {
		unsigned long long n = strtoull(at, &end, 10);

		if (end == at || !isspace((unsigned char)*end))
			return false;
		if (n)
			return true;
	}
}

/* As many as there were until now, and half as many again, at least 16. */
static uint32_t count_interrupts(void)
{
	FILE *f = fopen("/proc/interrupts", "re");
	uint32_t used = 0;
	char *line = NULL;
	size_t size = 0;

	while (f && getline(&line, &size, f) > 0)
		used += line_is_used(line);
	free(line);
	if (f)
		fclose(f);
	return used + used / 2 < 16 ? 16 : used + used / 2;
}

static void interrupt_labels(const void *name, struct slot_labels *ret)
{
	const struct hardirq_name *slot = name;
	size_t size = sizeof(ret->text) / 2;

	snprintf(ret->text, size, "%llu", (unsigned long long)slot->number);
	snprintf(ret->text + size, size, "%.*s", (int)sizeof(slot->name), slot->name);
	ret->values[0] = ret->text;
	ret->names[1] = "name";
	ret->values[1] = ret->text + size;
	ret->n = 2;
}

static const struct module_slots slots = {.map = "tally_hardirq",
	.size = sizeof(struct hardirq_cell),
	.label = "irq",
	.more = "name",
	.count = count_interrupts,
	.labels = interrupt_labels,
	.name_size = sizeof(struct hardirq_name)};

const struct module module_hardirq = {
	.ops = {.name = "hardirq",
		.help = "time in handlers of devices' interrupts (BPF)",
		.opt_in = "reads the clock twice at each interrupt",
		MODULE_FUNCTIONS},
	.elf = hardirq_bpf__elf_bytes,
	.cpu_map = "tally_hardirq_cpu",
	.cpu_size = sizeof(struct hardirq_cpu),
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
