/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "timers": which timers of the kernel expire, by bpf/timers.bpf.c. */
#include "bpf/timers.h"
#include "bpf/timers.skel.h"
#include "user/provider/kernel/modules.h"

static const struct module_program programs[] = {
	{.needs = {"tally_timer", "timer_expire_entry", NULL, .helper = "snprintf"},
		.own = offsetof(struct timers_cpu, jiffies),
		.runs = "at each timer in jiffies that expires"},
	{.needs = {"tally_hrtimer", "hrtimer_expire_entry", NULL, .helper = "snprintf"},
		.own = offsetof(struct timers_cpu, precise),
		.runs = "at each timer of high resolution that expires"},
};

static const char *const kinds[TIMERS_KINDS] = {
	[TIMERS_JIFFIES] = "timer", [TIMERS_PRECISE] = "hrtimer"};

static const struct module_metric metrics[] = {
	{.name = "timers_expired",
		.unit = "",
		.help = "Timers of the kernel that expired, by the function that they run",
		.source = "the timer",
		.type = METRIC_COUNTER,
		.slotted = true,
		.offset = offsetof(struct timers_cell, expired),
		.label = "kind",
		.values = kinds,
		.n = TIMERS_KINDS,
		.stride = sizeof(uint64_t)},
};

/* A kernel has some hundred such functions, and a machine uses some dozens of them. */
static uint32_t count_functions(void)
{
	return TALLY_SLOTS_MAX - 1;
}

static const struct module_slots slots = {.map = "tally_timers",
	.size = sizeof(struct timers_cell),
	.label = "function",
	.count = count_functions};

const struct module module_timers = {
	.ops = {.name = "timers",
		.help = "timers of the kernel that expire, by function (BPF)",
		.opt_in = "runs at each timer; since Linux 5.13",
		MODULE_FUNCTIONS},
	.elf = timers_bpf__elf_bytes,
	.cpu_map = "tally_timers_cpu",
	.cpu_size = sizeof(struct timers_cpu),
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
