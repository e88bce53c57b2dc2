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

static void put(struct sink *k, const struct cgroup_key *key, uint64_t v)
{
	struct sink_label labels[2] = {
		{key->label, key->value, key->label ? strlen(key->value) : 0}, {NULL}};

	sink_put(k, key->metric, labels, v * (key->factor ? key->factor : 1));
}

/* Lines of a word and a number, of which those are taken that are in the list. */
static int walk_keys(struct proc_text t, struct sink *k, const struct cgroup_file *file)
{
	struct proc_text line, word;
	uint64_t v;

	while (next_line(&t, &line)) {
		const struct cgroup_key *key = file->keys;

		if (!next_word(&line, &word))
			return -EBADMSG;
		while (key->metric && !is_word(&word, key->word))
			key++;
		if (!key->metric)
			continue;
		if (!next_number(&line, &v))
			return -EBADMSG;
		put(k, key, v);
	}
	return 0;
}

static int walk_number(struct proc_text t, struct sink *k, const struct cgroup_file *file)
{
	struct proc_text line;
	uint64_t v;

	if (!next_line(&t, &line) || !next_number(&line, &v) || !at_end(&line))
		return -EBADMSG;
	put(k, file->keys, v);
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

static const struct cgroup_key cpu_v2[] = {
	{"usage_usec", &cpu_seconds, NULL, NULL, 1000},
	{"user_usec", &cpu_mode_seconds, "mode", "user", 1000},
	{"system_usec", &cpu_mode_seconds, "mode", "system", 1000},
	{"nr_periods", &cpu_periods},
	{"nr_throttled", &throttled_periods},
	{"throttled_usec", &throttled_seconds, NULL, NULL, 1000},
	{NULL},
};
static const struct cgroup_key cpu_v1[] = {
	{"nr_periods", &cpu_periods},
	{"nr_throttled", &throttled_periods},
	{"throttled_time", &throttled_seconds},
	{NULL},
};
static const struct cgroup_key cpu_usage[] = {{NULL, &cpu_seconds}, {NULL}};
static const struct cgroup_key cpu_user[] = {{NULL, &cpu_mode_seconds, "mode", "user"}, {NULL}};
static const struct cgroup_key cpu_system[] = {{NULL, &cpu_mode_seconds, "mode", "system"}, {NULL}};

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

static const struct cgroup_key memory_current[] = {{NULL, &memory_bytes}, {NULL}};
static const struct cgroup_key swap_current[] = {{NULL, &swap_bytes}, {NULL}};
static const struct cgroup_key events[] = {
	{"low", &memory_events, "event", "low"},
	{"high", &memory_events, "event", "high"},
	{"max", &memory_events, "event", "max"},
	{"oom", &memory_events, "event", "oom"},
	{"oom_kill", &memory_events, "event", "oom_kill"},
	{NULL},
};
static const struct cgroup_key failcnt[] = {{NULL, &memory_events, "event", "max"}, {NULL}};
static const struct cgroup_key memory_v2[] = {
	{"anon", &memory_type_bytes, "type", "anon"},
	{"file", &memory_type_bytes, "type", "file"},
	{"kernel", &memory_type_bytes, "type", "kernel"},
	{"slab", &memory_type_bytes, "type", "slab"},
	{"sock", &memory_type_bytes, "type", "sock"},
	{"shmem", &memory_type_bytes, "type", "shmem"},
	{"file_dirty", &memory_type_bytes, "type", "dirty"},
	{"pgfault", &page_faults, "kind", "all"},
	{"pgmajfault", &page_faults, "kind", "major"},
	{NULL},
};
static const struct cgroup_key memory_v1[] = {
	{"total_cache", &memory_type_bytes, "type", "file"},
	{"total_rss", &memory_type_bytes, "type", "anon"},
	{"total_shmem", &memory_type_bytes, "type", "shmem"},
	{"total_dirty", &memory_type_bytes, "type", "dirty"},
	{"total_swap", &swap_bytes},
	{"total_pgfault", &page_faults, "kind", "all"},
	{"total_pgmajfault", &page_faults, "kind", "major"},
	{NULL},
};

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

/* name: of the disk, the label that the file has besides. */
static void put_disk(struct sink *k, const struct cgroup_file *file, const char *name,
	const struct cgroup_key *key, uint64_t v)
{
	sink_put(k, key->metric,
		(struct sink_label[]){{file->label, name, strlen(name)},
			{key->label, key->value, strlen(key->value)}, {NULL}},
		v);
}

static const struct cgroup_key io_v2[] = {
	{"rbytes=", &io_bytes, "op", "read"},
	{"wbytes=", &io_bytes, "op", "write"},
	{"dbytes=", &io_bytes, "op", "discard"},
	{"rios=", &io_operations, "op", "read"},
	{"wios=", &io_operations, "op", "write"},
	{"dios=", &io_operations, "op", "discard"},
	{NULL},
};

/* "8:0 rbytes=90112 wbytes=0 rios=10 wios=0 dbytes=0 dios=0" */
static int walk_io_v2(struct proc_text t, struct sink *k, const struct cgroup_file *file)
{
	struct proc_text line, number, word;
	char name[DISK_NAME_SIZE];
	uint64_t v;

	while (next_line(&t, &line)) {
		if (!next_word(&line, &number))
			return -EBADMSG;
		name_disk(&number, name);
		while (next_word(&line, &word)) {
			for (const struct cgroup_key *key = file->keys; key->metric; key++) {
				if (!begins(&word, key->word))
					continue;
				word.p += strlen(key->word);
				if (!next_number(&word, &v))
					return -EBADMSG;
				put_disk(k, file, name, key, v);
				break;
			}
		}
	}
	return 0;
}

static const struct cgroup_key blkio_bytes[] = {
	{"Read", &io_bytes, "op", "read"},
	{"Write", &io_bytes, "op", "write"},
	{"Discard", &io_bytes, "op", "discard"},
	{NULL},
};
static const struct cgroup_key blkio_operations[] = {
	{"Read", &io_operations, "op", "read"},
	{"Write", &io_operations, "op", "write"},
	{"Discard", &io_operations, "op", "discard"},
	{NULL},
};

/* "8:0 Read 90112", also Write, Sync, Async, Discard and Total, which are other sums; at last "Total 90112". */
static int walk_blkio(struct proc_text t, struct sink *k, const struct cgroup_file *file)
{
	struct proc_text line, number, word;
	char name[DISK_NAME_SIZE];
	uint64_t v;

	while (next_line(&t, &line)) {
		if (!next_word(&line, &number) || !next_word(&line, &word))
			return -EBADMSG;
		for (const struct cgroup_key *key = file->keys; key->metric; key++) {
			if (!is_word(&word, key->word))
				continue;
			if (!next_number(&line, &v))
				return -EBADMSG;
			name_disk(&number, name);
			put_disk(k, file, name, key, v);
		}
	}
	return 0;
}

/* --- the rest ----------------------------------------------------------------------------------------- */

static const struct sink_metric tasks = {
	"cgroup_tasks", "", "Processes and threads (cadvisor: container_threads)", GAUGE};
static const struct sink_metric pressure_seconds = {"cgroup_pressure_seconds", "seconds",
	"Time that some or all tasks of the group waited for a resource "
	"(cadvisor: container_pressure_*_seconds_total)",
	COUNTER, -6};

static const struct cgroup_key pids[] = {{NULL, &tasks}, {NULL}};
static const struct cgroup_key pressure_cpu[] = {
	{NULL, &pressure_seconds, "resource", "cpu"}, {NULL}};
static const struct cgroup_key pressure_memory[] = {
	{NULL, &pressure_seconds, "resource", "memory"}, {NULL}};
static const struct cgroup_key pressure_io[] = {
	{NULL, &pressure_seconds, "resource", "io"}, {NULL}};
static const struct cgroup_key pressure_irq[] = {
	{NULL, &pressure_seconds, "resource", "irq"}, {NULL}};

static int walk_pressure(struct proc_text t, struct sink *k, const struct cgroup_file *file)
{
	return proc_walk_pressure(t, k, file->keys->metric, file->keys->value);
}

const struct cgroup_file cgroup_files_v2[] = {
	{"", "cpu.stat", walk_keys, cpu_v2, .key = true},
	{"", "memory.current", walk_number, memory_current},
	{"", "memory.swap.current", walk_number, swap_current},
	{"", "memory.events", walk_keys, events},
	{"", "io.stat", walk_io_v2, io_v2, "device"},
	{"", "pids.current", walk_number, pids},
	{"", "memory.stat", walk_keys, memory_v2, .slow = true},
	{"", "cpu.pressure", walk_pressure, pressure_cpu, "kind", .slow = true},
	{"", "memory.pressure", walk_pressure, pressure_memory, "kind", .slow = true},
	{"", "io.pressure", walk_pressure, pressure_io, "kind", .slow = true},
	{"", "irq.pressure", walk_pressure, pressure_irq, "kind", .slow = true},
	{NULL},
};

const struct cgroup_file cgroup_files_v1[] = {
	{"cpuacct", "cpuacct.usage", walk_number, cpu_usage, .key = true},
	{"cpuacct", "cpuacct.usage_user", walk_number, cpu_user},
	{"cpuacct", "cpuacct.usage_sys", walk_number, cpu_system},
	{"cpu", "cpu.stat", walk_keys, cpu_v1},
	{"memory", "memory.usage_in_bytes", walk_number, memory_current},
	{"memory", "memory.failcnt", walk_number, failcnt},
	{"memory", "memory.oom_control", walk_keys, events},
	{"blkio", "blkio.throttle.io_service_bytes", walk_blkio, blkio_bytes, "device"},
	{"blkio", "blkio.throttle.io_serviced", walk_blkio, blkio_operations, "device"},
	{"pids", "pids.current", walk_number, pids},
	{"memory", "memory.stat", walk_keys, memory_v1, .slow = true},
	/* where systemd has a tree of version 2 beside those of version 1 */
	{"unified", "cpu.pressure", walk_pressure, pressure_cpu, "kind", .slow = true},
	{"unified", "memory.pressure", walk_pressure, pressure_memory, "kind", .slow = true},
	{"unified", "io.pressure", walk_pressure, pressure_io, "kind", .slow = true},
	{"unified", "irq.pressure", walk_pressure, pressure_irq, "kind", .slow = true},
	{NULL},
};
