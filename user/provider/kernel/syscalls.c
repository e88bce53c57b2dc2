/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "syscalls": system calls, their errors and their times, by bpf/syscalls.bpf.c. */
#include "bpf/syscalls.h"
#include "bpf/syscalls.skel.h"
#include "user/provider/kernel/modules.h"

static const struct module_program programs[] = {
	{.needs = {"tally_sys_enter", "sys_enter", NULL},
		.own = offsetof(struct syscalls_cpu, enter),
		.begins = true,
		.runs = "at each system call"},
	{.needs = {"tally_sys_exit", "sys_exit", NULL},
		.own = offsetof(struct syscalls_cpu, exit),
		.runs = "at each system call"},
};

/* All SYSCALLS of them; a number without a name is its own. */
static const char *const names[] = {
#include "user/provider/kernel/syscall_names.h"
};
_Static_assert(sizeof(names) / sizeof(names[0]) == SYSCALLS, "one for each number");

static const struct module_metric metrics[] = {
	{.name = "syscalls",
		.unit = "",
		.help = "System calls that ended; other stands for those of 32-bit programs",
		.source = "the tracepoint",
		.type = METRIC_COUNTER,
		.program = 1,
		.offset = offsetof(struct syscalls_cpu, calls),
		.label = "syscall",
		.values = names,
		.n = SYSCALLS,
		.stride = sizeof(uint64_t)},
	{.name = "syscall_errors",
		.unit = "",
		.help = "System calls that failed; those that a signal interrupted are not in it",
		.source = "the result",
		.type = METRIC_COUNTER,
		.program = 1,
		.offset = offsetof(struct syscalls_cpu, errors),
		.label = "syscall",
		.values = names,
		.n = SYSCALLS,
		.stride = sizeof(uint64_t)},
	{.name = "syscall_sampled_seconds",
		.unit = "seconds",
		.help = "Time that one of 64 system calls took, with what it waited for",
		.source = "clock at the begin and end of one of 64",
		.type = METRIC_HISTOGRAM,
		.scale = -9,
		.lo = SYSCALLS_LO,
		.hi = SYSCALLS_HI,
		.slotted = true,
		.program = 1,
		.offset = offsetof(struct syscalls_cell, times),
		.sum = offsetof(struct syscalls_cell, ns)},
};

static uint32_t count_timed(void)
{
	return 63;
}

static void call_labels(const void *name, struct slot_labels *ret)
{
	const struct tally_slot_number *slot = name;

	ret->values[ret->n++] = slot->number < SYSCALLS ? names[slot->number] : "other";
}

static const struct module_slots slots = {.map = "tally_syscalls",
	.size = sizeof(struct syscalls_cell),
	.label = "syscall",
	.count = count_timed,
	.labels = call_labels,
	.name_size = sizeof(struct tally_slot_number)};

const struct module module_syscalls = {
	.ops = {.name = "syscalls",
		.help = "system calls, their errors and times, by name (BPF)",
		.opt_in = "runs twice at each system call",
		.samples = true,
		MODULE_FUNCTIONS},
	.elf = syscalls_bpf__elf_bytes,
	.cpu_map = "tally_syscalls_cpu",
	.knobs_map = "tally_syscalls_knobs",
	.pauses = true,
	.cpu_size = sizeof(struct syscalls_cpu),
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
