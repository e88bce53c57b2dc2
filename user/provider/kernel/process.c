/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "process": processes, threads and signals, by bpf/process.bpf.c. */
#include "bpf/process.h"
#include "bpf/process.skel.h"
#include "user/provider/kernel/modules.h"

enum { FORK, EXEC, EXIT, SIGNAL };

static const struct module_program programs[] = {
	[FORK] = {.needs = {"tally_fork", "sched_process_fork", NULL},
		.own = offsetof(struct process_cpu, fork),
		.runs = "at each new process or thread"},
	[EXEC] = {.needs = {"tally_exec", "sched_process_exec", NULL},
		.own = offsetof(struct process_cpu, exec),
		.runs = "at each execve"},
	[EXIT] = {.needs = {"tally_exit", "sched_process_exit", NULL},
		.own = offsetof(struct process_cpu, exit),
		.runs = "at each end of a process or thread"},
	[SIGNAL] = {.needs = {"tally_signal", "signal_generate", NULL},
		.own = offsetof(struct process_cpu, signal),
		.runs = "at each signal sent"},
};

static const char *const starts[PROCESS_STARTS] = {
	[PROCESS_NEW] = "process", [PROCESS_THREAD] = "thread"};
static const char *const ends[PROCESS_ENDS] = {
	[PROCESS_OK] = "success", [PROCESS_FAILED] = "failure", [PROCESS_KILLED] = "signal"};
/* The numbers of x86 and arm; 0 asks only whether it could be sent, and is never. */
static const char *const signals[PROCESS_SIGNALS] = {"0", "HUP", "INT", "QUIT", "ILL", "TRAP",
	"ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT",
	"CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
	"WINCH", "IO", "PWR", "SYS", "RT"};
static const char *const fatal[PROCESS_FATAL] = {[PROCESS_ILL] = "ILL",
	[PROCESS_ABRT] = "ABRT",
	[PROCESS_BUS] = "BUS",
	[PROCESS_FPE] = "FPE",
	[PROCESS_KILL] = "KILL",
	[PROCESS_SEGV] = "SEGV",
	[PROCESS_TERM] = "TERM",
	[PROCESS_SYS] = "SYS"};

static const struct module_metric metrics[] = {
	{.name = "process_starts",
		.unit = "",
		.help = "Processes and threads made",
		.source = "the tracepoint: the events of processes in /proc/stat, by kind",
		.type = METRIC_COUNTER,
		.program = FORK,
		.offset = offsetof(struct process_cpu, starts),
		.label = "kind",
		.values = starts,
		.n = PROCESS_STARTS,
		.stride = sizeof(uint64_t)},
	{.name = "process_execs",
		.unit = "",
		.help = "Programs started in a process (execve that succeeded)",
		.source = "the tracepoint",
		.type = METRIC_COUNTER,
		.program = EXEC,
		.offset = offsetof(struct process_cpu, exec.runs)},
	{.name = "process_ends",
		.unit = "",
		.help = "Processes that ended: exit code 0, another one, or by a signal",
		.source = "exit_code of the last thread, or of the group where it ended as one",
		.type = METRIC_COUNTER,
		.program = EXIT,
		.offset = offsetof(struct process_cpu, ends),
		.label = "how",
		.values = ends,
		.n = PROCESS_ENDS,
		.stride = sizeof(uint64_t)},
	{.name = "process_signals",
		.unit = "",
		.help = "Signals sent, also those that were ignored; RT stands for all from 32 on",
		.source = "the tracepoint",
		.type = METRIC_COUNTER,
		.program = SIGNAL,
		.offset = offsetof(struct process_cpu, signals),
		.label = "signal",
		.values = signals,
		.n = PROCESS_SIGNALS,
		.stride = sizeof(uint64_t)},
	{.name = "process_fatal_signals",
		.unit = "",
		.help = "Signals that usually end a process, by the name of the process they were "
			"sent to",
		.source = "the tracepoint; the name of the process's first thread",
		.type = METRIC_COUNTER,
		.program = SIGNAL,
		.slotted = true,
		.offset = offsetof(struct process_cell, fatal),
		.label = "signal",
		.values = fatal,
		.n = PROCESS_FATAL,
		.stride = sizeof(uint64_t)},
};

static uint32_t count_names(void)
{
	return PROCESS_NAMES;
}

static const struct module_slots slots = {.map = "tally_process",
	.size = sizeof(struct process_cell),
	.label = "comm",
	.count = count_names};

const struct module module_process = {
	.ops = {.name = "process",
		.help = "processes, threads and signals (BPF)",
		MODULE_FUNCTIONS},
	.elf = process_bpf__elf_bytes,
	.cpu_map = "tally_process_cpu",
	.cpu_size = sizeof(struct process_cpu),
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
