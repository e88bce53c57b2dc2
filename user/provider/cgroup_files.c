/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files of a control group, as Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ describe them. Figures
 * that both versions have get one name. Those of version 2, and the ones of version 1 that are taken here,
 * are of a group with all below it.
 */
#include "user/provider/cgroup_files.h"

#include <stdio.h>
#include <unistd.h>

#include "user/provider/proc_scan.h"

#define COUNTER METRIC_COUNTER
#define GAUGE   METRIC_GAUGE

/* One number of a file: the word before it, the metric, and a label that tells it from others. */
struct key {
	const char *word;
	const struct sink_metric *metric;
	const char *label, *value;
	uint64_t factor; /* 0: 1 */
};

static void put(struct sink *k, const struct sink_metric *m, const char *label, const char *value,
	uint64_t v)
{
	struct sink_label labels[2] = {{label, value, label ? strlen(value) : 0}, {NULL}};

	sink_put(k, m, labels, v);
}

/* Lines of a word and a number, of which those are taken that are in the list, up to a NULL word. */
static int walk_keys(struct proc_text t, struct sink *k, const struct key *keys)
{
	struct proc_text line, word;
	uint64_t v;

	while (next_line(&t, &line)) {
		const struct key *key = keys;

		if (!next_word(&line, &word))
			return -EBADMSG;
		while (key->word && !is_word(&word, key->word))
			key++;
		if (!key->word)
			continue;
		if (!next_number(&line, &v))
			return -EBADMSG;
		put(k, key->metric, key->label, key->value, v * (key->factor ? key->factor : 1));
	}
	return 0;
}

static int walk_number(struct proc_text t, struct sink *k, const struct sink_metric *m,
	const char *label, const char *value)
{
	struct proc_text line;
	uint64_t v;

	if (!next_line(&t, &line) || !next_number(&line, &v) || !at_end(&line))
		return -EBADMSG;
	put(k, m, label, value, v);
	return 0;
}

/* --- CPU ------------------------------------------------------------------------------------------ */

static const struct sink_metric cpu_seconds = {"cgroup_cpu_seconds", "seconds",
	"CPU time of a control group (cadvisor: container_cpu_usage_seconds_total)", COUNTER, -9};
static const struct sink_metric cpu_mode_seconds = {"cgroup_cpu_mode_seconds", "seconds",
	"The same by mode, as exact as the kernel splits it "
	"(cadvisor: container_cpu_user_seconds_total, container_cpu_system_seconds_total)",
	COUNTER, -9};
static const struct sink_metric cpu_periods = {"cgroup_cpu_periods", "",
	"Periods in which a quota of CPU time applied (cadvisor: container_cpu_cfs_periods_total)",
	COUNTER};
static const struct sink_metric throttled_periods = {"cgroup_cpu_throttled_periods", "",
	"Periods in which the quota was used up (cadvisor: "
	"container_cpu_cfs_throttled_periods_total)",
	COUNTER};
static const struct sink_metric throttled_seconds = {"cgroup_cpu_throttled_seconds", "seconds",
	"Time that tasks waited for the next period, summed over CPUs "
	"(cadvisor: container_cpu_cfs_throttled_seconds_total)",
	COUNTER, -9};

static int walk_cpu_v2(struct proc_text t, struct sink *k)
{
	static const struct key keys[] = {
		{"usage_usec", &cpu_seconds, NULL, NULL, 1000},
		{"user_usec", &cpu_mode_seconds, "mode", "user", 1000},
		{"system_usec", &cpu_mode_seconds, "mode", "system", 1000},
		{"nr_periods", &cpu_periods, NULL, NULL, 0},
		{"nr_throttled", &throttled_periods, NULL, NULL, 0},
		{"throttled_usec", &throttled_seconds, NULL, NULL, 1000},
		{NULL, NULL, NULL, NULL, 0},
	};

	return walk_keys(t, k, keys);
}

static int walk_cpu_v1(struct proc_text t, struct sink *k)
{
	static const struct key keys[] = {
		{"nr_periods", &cpu_periods, NULL, NULL, 0},
		{"nr_throttled", &throttled_periods, NULL, NULL, 0},
		{"throttled_time", &throttled_seconds, NULL, NULL, 0},
		{NULL, NULL, NULL, NULL, 0},
	};

	return walk_keys(t, k, keys);
}

static int walk_cpuacct_usage(struct proc_text t, struct sink *k)
{
	return walk_number(t, k, &cpu_seconds, NULL, NULL);
}

static int walk_cpuacct_user(struct proc_text t, struct sink *k)
{
	return walk_number(t, k, &cpu_mode_seconds, "mode", "user");
}

static int walk_cpuacct_sys(struct proc_text t, struct sink *k)
{
	return walk_number(t, k, &cpu_mode_seconds, "mode", "system");
}

/* --- memory ----------------------------------------------------------------------------------------- */

static const struct sink_metric memory_bytes = {"cgroup_memory_bytes", "bytes",
	"Memory of a control group, with its page cache (cadvisor: container_memory_usage_bytes)",
	GAUGE};
static const struct sink_metric swap_bytes = {"cgroup_swap_bytes", "bytes",
	"What is swapped out (cadvisor: container_memory_swap)", GAUGE};
static const struct sink_metric memory_type_bytes = {
	"cgroup_memory_type_bytes", "bytes", "Parts of the memory, which may overlap", GAUGE};
static const struct sink_metric memory_events = {"cgroup_memory_events", "",
	"How often the group came below its protection (low), was throttled (high), met its limit "
	"(max), was "
	"out of memory (oom), and processes killed for it (oom_kill; cadvisor: "
	"container_oom_events_total)",
	COUNTER};
static const struct sink_metric page_faults = {"cgroup_page_faults", "",
	"Page faults; major ones waited for a disk (cadvisor: container_memory_failures_total)",
	COUNTER};

static int walk_memory_current(struct proc_text t, struct sink *k)
{
	return walk_number(t, k, &memory_bytes, NULL, NULL);
}

static int walk_swap_current(struct proc_text t, struct sink *k)
{
	return walk_number(t, k, &swap_bytes, NULL, NULL);
}

static int walk_memory_events(struct proc_text t, struct sink *k)
{
	static const struct key keys[] = {
		{"low", &memory_events, "event", "low", 0},
		{"high", &memory_events, "event", "high", 0},
		{"max", &memory_events, "event", "max", 0},
		{"oom", &memory_events, "event", "oom", 0},
		{"oom_kill", &memory_events, "event", "oom_kill", 0},
		{NULL, NULL, NULL, NULL, 0},
	};

	return walk_keys(t, k, keys);
}

static int walk_memory_failcnt(struct proc_text t, struct sink *k)
{
	return walk_number(t, k, &memory_events, "event", "max");
}

static int walk_memory_stat_v2(struct proc_text t, struct sink *k)
{
	static const struct key keys[] = {
		{"anon", &memory_type_bytes, "type", "anon", 0},
		{"file", &memory_type_bytes, "type", "file", 0},
		{"kernel", &memory_type_bytes, "type", "kernel", 0},
		{"slab", &memory_type_bytes, "type", "slab", 0},
		{"sock", &memory_type_bytes, "type", "sock", 0},
		{"shmem", &memory_type_bytes, "type", "shmem", 0},
		{"file_dirty", &memory_type_bytes, "type", "dirty", 0},
		{"pgfault", &page_faults, "kind", "all", 0},
		{"pgmajfault", &page_faults, "kind", "major", 0},
		{NULL, NULL, NULL, NULL, 0},
	};

	return walk_keys(t, k, keys);
}

static int walk_memory_stat_v1(struct proc_text t, struct sink *k)
{
	static const struct key keys[] = {
		{"total_cache", &memory_type_bytes, "type", "file", 0},
		{"total_rss", &memory_type_bytes, "type", "anon", 0},
		{"total_shmem", &memory_type_bytes, "type", "shmem", 0},
		{"total_dirty", &memory_type_bytes, "type", "dirty", 0},
		{"total_swap", &swap_bytes, NULL, NULL, 0},
		{"total_pgfault", &page_faults, "kind", "all", 0},
		{"total_pgmajfault", &page_faults, "kind", "major", 0},
		{NULL, NULL, NULL, NULL, 0},
	};

	return walk_keys(t, k, keys);
}

/* --- disks ------------------------------------------------------------------------------------------ */

static const struct sink_metric io_bytes = {"cgroup_io_bytes", "bytes",
	"Read from and written to disks (cadvisor: container_fs_reads_bytes_total, "
	"container_fs_writes_bytes_total)",
	COUNTER};
static const struct sink_metric io_operations = {"cgroup_io_operations", "",
	"Requests to disks (cadvisor: container_fs_reads_total, container_fs_writes_total)",
	COUNTER};

#define DISK_NAME_SIZE 64u

/* "8:0" as others call it, "sda"; as it is, if nobody does. */
static void name_disk(const struct proc_text *number, char out[DISK_NAME_SIZE])
{
	char path[64], target[256];
	const char *name;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/dev/block/%.*s", (int)length(number), number->p);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0) {
		snprintf(out, DISK_NAME_SIZE, "%.*s", (int)length(number), number->p);
		return;
	}
	target[n] = '\0';
	name = strrchr(target, '/');
	snprintf(out, DISK_NAME_SIZE, "%.60s", name ? name + 1 : target);
}

static void put_disk(
	struct sink *k, const struct sink_metric *m, const char *name, const char *op, uint64_t v)
{
	sink_put(k, m,
		(struct sink_label[]){
			{"device", name, strlen(name)}, {"op", op, strlen(op)}, {NULL}},
		v);
}

/* "8:0 rbytes=90112 wbytes=0 rios=10 wios=0 dbytes=0 dios=0" */
static int walk_io_v2(struct proc_text t, struct sink *k)
{
	static const struct {
		const char *word;
		const struct sink_metric *metric;
		const char *op;
	} keys[] = {
		{"rbytes=", &io_bytes, "read"},
		{"wbytes=", &io_bytes, "write"},
		{"dbytes=", &io_bytes, "discard"},
		{"rios=", &io_operations, "read"},
		{"wios=", &io_operations, "write"},
		{"dios=", &io_operations, "discard"},
	};
	struct proc_text line, number, word;
	char name[DISK_NAME_SIZE];
	uint64_t v;

	while (next_line(&t, &line)) {
		if (!next_word(&line, &number))
			return -EBADMSG;
		name_disk(&number, name);
		while (next_word(&line, &word)) {
			for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
				if (!begins(&word, keys[i].word))
					continue;
				word.p += strlen(keys[i].word);
				if (!next_number(&word, &v))
					return -EBADMSG;
				put_disk(k, keys[i].metric, name, keys[i].op, v);
				break;
			}
		}
	}
	return 0;
}

/* "8:0 Read 90112", also Write, Sync, Async, Discard and Total, which are other sums; at last "Total 90112". */
static int walk_blkio(struct proc_text t, struct sink *k, const struct sink_metric *m)
{
	static const char *const ops[][2] = {
		{"Read", "read"}, {"Write", "write"}, {"Discard", "discard"}};
	struct proc_text line, number, word;
	char name[DISK_NAME_SIZE];
	uint64_t v;

	while (next_line(&t, &line)) {
		if (!next_word(&line, &number) || !next_word(&line, &word))
			return -EBADMSG;
		for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
			if (!is_word(&word, ops[i][0]))
				continue;
			if (!next_number(&line, &v))
				return -EBADMSG;
			name_disk(&number, name);
			put_disk(k, m, name, ops[i][1], v);
		}
	}
	return 0;
}

static int walk_blkio_bytes(struct proc_text t, struct sink *k)
{
	return walk_blkio(t, k, &io_bytes);
}

static int walk_blkio_operations(struct proc_text t, struct sink *k)
{
	return walk_blkio(t, k, &io_operations);
}

/* --- the rest ----------------------------------------------------------------------------------------- */

static const struct sink_metric tasks = {
	"cgroup_tasks", "", "Processes and threads (cadvisor: container_threads)", GAUGE};
static const struct sink_metric pressure_seconds = {"cgroup_pressure_seconds", "seconds",
	"Time that some or all tasks of the group waited for a resource "
	"(cadvisor: container_pressure_*_seconds_total)",
	COUNTER, -6};

static int walk_pids(struct proc_text t, struct sink *k)
{
	return walk_number(t, k, &tasks, NULL, NULL);
}

static int walk_pressure_cpu(struct proc_text t, struct sink *k)
{
	return proc_walk_pressure(t, k, &pressure_seconds, "cpu");
}

static int walk_pressure_memory(struct proc_text t, struct sink *k)
{
	return proc_walk_pressure(t, k, &pressure_seconds, "memory");
}

static int walk_pressure_io(struct proc_text t, struct sink *k)
{
	return proc_walk_pressure(t, k, &pressure_seconds, "io");
}

const struct cgroup_file cgroup_files_v2[] = {
	{"", "cpu.stat", walk_cpu_v2, .key = true},
	{"", "memory.current", walk_memory_current},
	{"", "memory.swap.current", walk_swap_current},
	{"", "memory.events", walk_memory_events},
	{"", "io.stat", walk_io_v2},
	{"", "pids.current", walk_pids},
	{"", "memory.stat", walk_memory_stat_v2, .slow = true},
	{"", "cpu.pressure", walk_pressure_cpu, .slow = true},
	{"", "memory.pressure", walk_pressure_memory, .slow = true},
	{"", "io.pressure", walk_pressure_io, .slow = true},
	{NULL},
};

const struct cgroup_file cgroup_files_v1[] = {
	{"cpuacct", "cpuacct.usage", walk_cpuacct_usage, .key = true},
	{"cpuacct", "cpuacct.usage_user", walk_cpuacct_user},
	{"cpuacct", "cpuacct.usage_sys", walk_cpuacct_sys},
	{"cpu", "cpu.stat", walk_cpu_v1},
	{"memory", "memory.usage_in_bytes", walk_memory_current},
	{"memory", "memory.failcnt", walk_memory_failcnt},
	{"memory", "memory.oom_control", walk_memory_events},
	{"blkio", "blkio.throttle.io_service_bytes", walk_blkio_bytes},
	{"blkio", "blkio.throttle.io_serviced", walk_blkio_operations},
	{"pids", "pids.current", walk_pids},
	{"memory", "memory.stat", walk_memory_stat_v1, .slow = true},
	/* where systemd has a tree of version 2 beside those of version 1 */
	{"unified", "cpu.pressure", walk_pressure_cpu, .slow = true},
	{"unified", "memory.pressure", walk_pressure_memory, .slow = true},
	{"unified", "io.pressure", walk_pressure_io, .slow = true},
	{NULL},
};
