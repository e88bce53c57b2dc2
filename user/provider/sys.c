/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The producer "sys": what /sys/devices/system tells of each CPU and each node of memory, through descriptors that
 * are kept. They are looked for again when another CPU is on, or one is off.
 *
 *	cpu/cpuN/cpuidle/stateK/{time,usage}    Documentation/admin-guide/pm/cpuidle.rst
 *	cpu/cpuN/cpufreq/scaling_cur_freq       Documentation/admin-guide/pm/cpufreq.rst
 *	node/nodeN/{meminfo,numastat}           Documentation/admin-guide/numastat.rst
 *
 * Nodes only where there are several: one alone has what /proc/meminfo says.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/lib/diag.h"
#include "user/lib/util.h"
#include "user/provider/proc_scan.h"
#include "user/provider/producer.h"

#define TEXT_SIZE  16384u
#define ONLINE_MAX 512u
/* Files that are kept open; CPUs and nodes that find no room are counted. */
#define FILES_MAX  4096u
#define STATES_MAX 16u /* of a CPU */

enum { IDLE, FREQUENCY, NODES, GROUPS };
static const char *const group_names[GROUPS] = {
	[IDLE] = "sys.cpuidle", [FREQUENCY] = "sys.cpufreq", [NODES] = "sys.node"};

enum kind { IDLE_TIME, IDLE_ENTRIES, CUR_FREQ, NODE_MEMORY, NODE_ALLOCATIONS };

struct sys_file {
	int fd;
	enum kind kind;
	char number[12]; /* of the CPU or node */
	char state[32];
};

struct sys_group {
	struct group group;
	struct sink sink;
	struct sys_file *files;
	size_t n;
};

struct sys {
	int dir, online; /* descriptors; online: which CPUs are on, or -1 */
	char were_online[ONLINE_MAX];
	struct sys_group groups[GROUPS];
	size_t files, left_out;
	char text[TEXT_SIZE];
	bool failing[GROUPS];
};

/* --- finding files ---------------------------------------------------------------------------- */

static int add_file(struct sys *s, int group, enum kind kind, const char *number, const char *state,
	const char *path)
{
	struct sys_group *g = &s->groups[group];
	struct sys_file *grown;
	int fd;

	if (s->files == FILES_MAX)
		return -ENOSPC;
	fd = openat(s->dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	grown = reallocarray(g->files, g->n + 1, sizeof(*grown));
	if (!grown) {
		close(fd);
		return -ENOMEM;
	}
	g->files = grown;
	grown[g->n] = (struct sys_file){.fd = fd, .kind = kind};
	snprintf(grown[g->n].number, sizeof(grown[0].number), "%s", number);
	snprintf(grown[g->n].state, sizeof(grown[0].state), "%s", state);
	g->n++;
	s->files++;
	return 0;
}

/* A short text of one line; false if it can't be read. */
static bool read_line(int dirfd, const char *path, char *out, size_t size)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return n > 0;
}

/* What is lacking is no error: a CPU need have neither. */
static int add_cpu(struct sys *s, const char *number)
{
	char path[96], name[32];
	int err = 0;

	for (unsigned k = 0; k < STATES_MAX && (!err || err == -ENOENT); k++) {
		snprintf(path, sizeof(path), "cpu/cpu%s/cpuidle/state%u/name", number, k);
		if (!read_line(s->dir, path, name, sizeof(name)))
			break;
		snprintf(path, sizeof(path), "cpu/cpu%s/cpuidle/state%u/time", number, k);
		err = add_file(s, IDLE, IDLE_TIME, number, name, path);
		if (err)
			continue;
		snprintf(path, sizeof(path), "cpu/cpu%s/cpuidle/state%u/usage", number, k);
		err = add_file(s, IDLE, IDLE_ENTRIES, number, name, path);
	}
	if (err && err != -ENOENT)
		return err;
	snprintf(path, sizeof(path), "cpu/cpu%s/cpufreq/scaling_cur_freq", number);
	err = add_file(s, FREQUENCY, CUR_FREQ, number, "", path);
	return err == -ENOENT || err == -EACCES ? 0 : err;
}

static int add_node(struct sys *s, const char *number)
{
	char path[64];
	int err;

	snprintf(path, sizeof(path), "node/node%s/meminfo", number);
	err = add_file(s, NODES, NODE_MEMORY, number, "", path);
	if (err)
		return err;
	snprintf(path, sizeof(path), "node/node%s/numastat", number);
	err = add_file(s, NODES, NODE_ALLOCATIONS, number, "", path);
	return err == -ENOENT ? 0 : err;
}

static int compare_numbers(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

/* The numbers in the names PREFIXn of a directory, ascending, which the caller frees; how many, 0 if none. */
static size_t find_numbers(const struct sys *s, const char *folder, unsigned **ret)
{
	DIR *dir = dir_open(s->dir, folder);
	size_t n = 0, prefix = strlen(folder);
	unsigned *numbers = NULL;
	const struct dirent *d;

	while (dir && (d = readdir(dir))) {
		unsigned *grown;
		char *end;

		if (strncmp(d->d_name, folder, prefix) ||
			!isdigit((unsigned char)d->d_name[prefix]))
			continue;
		grown = reallocarray(numbers, n + 1, sizeof(*grown));
		if (!grown)
			break;
		numbers = grown;
		numbers[n] = (unsigned)strtoul(d->d_name + prefix, &end, 10);
		n += !*end;
	}
	if (dir)
		closedir(dir);
	if (n)
		qsort(numbers, n, sizeof(*numbers), compare_numbers);
	*ret = numbers;
	return n;
}

static void add_all(struct sys *s, const char *folder, size_t at_least,
	int (*add)(struct sys *s, const char *number))
{
	unsigned *numbers;
	size_t n = find_numbers(s, folder, &numbers);

	for (size_t i = 0; n >= at_least && i < n; i++) {
		char number[12];

		snprintf(number, sizeof(number), "%u", numbers[i]);
		if (add(s, number))
			s->left_out++;
	}
	free(numbers);
}

static void close_files(struct sys *s)
{
	for (int i = 0; i < GROUPS; i++) {
		for (size_t k = 0; k < s->groups[i].n; k++)
			close(s->groups[i].files[k].fd);
		s->groups[i].n = 0;
	}
	s->files = s->left_out = 0;
}

static void find_files(struct sys *s)
{
	close_files(s);
	add_all(s, "cpu", 1, add_cpu);
	add_all(s, "node", 2, add_node);
}

/* Are there other CPUs than at the call before? */
static bool has_changed(struct sys *s)
{
	char now[ONLINE_MAX];
	ssize_t n = s->online < 0 ? 0 : pread(s->online, now, sizeof(now) - 1, 0);

	if (n <= 0)
		return false;
	now[n] = '\0';
	if (!strcmp(now, s->were_online))
		return false;
	strcpy(s->were_online, now);
	return true;
}

/* --- what stands in them ----------------------------------------------------------------------- */

static const struct sink_metric numbers[] = {
	[IDLE_TIME] = {"cpu_idle_state_seconds", "seconds", "Time that a CPU was in an idle state",
		METRIC_COUNTER, -6},
	[IDLE_ENTRIES] = {"cpu_idle_state_entries", "",
		"Times that a CPU was put into an idle state", METRIC_COUNTER},
	[CUR_FREQ] = {"cpu_frequency_hertz", "hertz",
		"Frequency that a CPU runs at (node_exporter: node_cpu_scaling_frequency_hertz)",
		METRIC_GAUGE},
};
static const struct sink_metric numa_allocations = {"numa_allocations", "",
	"Pages of memory allocated, by where they were wanted and come from "
	"(node_exporter: node_memory_numa_*_total)",
	METRIC_COUNTER};
static const struct sink_metric left_out = {"sys_left_out", "",
	"CPUs and nodes without figures, for want of descriptors", METRIC_GAUGE};

static int put_number(const struct sys_file *f, struct proc_text t, struct sink *k)
{
	const struct sink_label labels[3] = {{"cpu", f->number, strlen(f->number)},
		{f->kind == CUR_FREQ ? NULL : "state", f->state, strlen(f->state)}};
	struct proc_text line;
	uint64_t v;

	if (!next_line(&t, &line))
		return -EBADMSG;
	if (begins(&line, "<")) /* "<unknown>" */
		return 0;
	if (!next_number(&line, &v) || !at_end(&line))
		return -EBADMSG;
	if (f->kind == CUR_FREQ && __builtin_mul_overflow(v, 1000, &v))
		return -EBADMSG;
	sink_put(k, &numbers[f->kind], labels, v);
	return 0;
}

/* "Node 0 MemTotal:        7432396 kB" */
static int put_memory(const struct sys_file *f, struct proc_text t, struct sink *k)
{
	const struct sink_label node = {"node", f->number, strlen(f->number)};
	struct proc_text line, word;

	while (next_line(&t, &line))
		if (!next_word(&line, &word) || !is_word(&word, "Node") ||
			!next_word(&line, &word) || proc_walk_memory_line(line, &node, k))
			return -EBADMSG;
	return 0;
}

/* "numa_hit 164765071" */
static int put_allocations(const struct sys_file *f, struct proc_text t, struct sink *k)
{
	struct proc_text line, key;
	uint64_t v;

	while (next_line(&t, &line)) {
		if (!next_word(&line, &key) || !next_number(&line, &v) || !at_end(&line))
			return -EBADMSG;
		if (begins(&key, "numa_"))
			key.p += strlen("numa_");
		sink_put(k, &numa_allocations,
			(struct sink_label[]){{"kind", key.p, length(&key)},
				{"node", f->number, strlen(f->number)}, {NULL}},
			v);
	}
	return 0;
}

static int put_file(const struct sys_file *f, struct proc_text t, struct sink *k)
{
	switch (f->kind) {
	case NODE_MEMORY:
		return put_memory(f, t, k);
	case NODE_ALLOCATIONS:
		return put_allocations(f, t, k);
	default:
		return put_number(f, t, k);
	}
}

struct walk {
	struct sys *sys;
	int group;
};

/* A CPU that was turned off has no values; its files are closed at the next poll. */
static int walk_files(void *arg, struct sink *k)
{
	const struct walk *w = arg;
	struct sys *s = w->sys;
	const struct sys_group *g = &s->groups[w->group];

	for (size_t i = 0; i < g->n; i++) {
		ssize_t n = pread(g->files[i].fd, s->text, sizeof(s->text), 0);
		int err;

		if (n <= 0)
			continue;
		if ((size_t)n == sizeof(s->text) || s->text[n - 1] != '\n')
			return -EBADMSG;
		err = put_file(&g->files[i], (struct proc_text){s->text, s->text + n}, k);
		if (err)
			return err;
	}
	if (w->group == IDLE)
		sink_put(k, &left_out, NULL, s->left_out);
	return 0;
}

/* --- producer -------------------------------------------------------------------------------- */

static void sys_close(struct producer *producer)
{
	struct sys *s = producer->state;

	close_files(s);
	for (int i = 0; i < GROUPS; i++) {
		free(s->groups[i].files);
		sink_release(&s->groups[i].sink);
		group_release(&s->groups[i].group);
	}
	if (s->online >= 0)
		close(s->online);
	close(s->dir);
	free(s);
	producer->state = NULL;
}

static int sys_open(struct producer *producer, const struct provider_env *env, struct errmsg *e)
{
	int dir = open(env->sys_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct sys *s;

	if (dir < 0)
		return err_set(e, -errno, "%s: %s", env->sys_dir, strerror(errno));
	s = calloc(1, sizeof(*s));
	if (!s) {
		close(dir);
		return -ENOMEM;
	}
	s->dir = dir;
	s->online = openat(dir, "cpu/online", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < GROUPS; i++)
		s->groups[i].sink = (struct sink){.group = &s->groups[i].group,
			.interval_ms = (uint32_t)(env->interval_ns / NSEC_PER_MSEC),
			.start_ns = env->boot_ns};
	has_changed(s);
	find_files(s);
	producer->state = s;
	return 0;
}

static int take_group(struct sys *s, int i, struct snapshot *snap)
{
	struct walk w = {.sys = s, .group = i};
	uint64_t begin = clock_monotonic_ns();
	int err = sink_take(&s->groups[i].sink, group_names[i], walk_files, &w);

	if (!err)
		err = snapshot_add(snap, &s->groups[i].group, begin, clock_monotonic_ns());
	if (err && !s->failing[i])
		diag_warning("producer sys: %s can't be used: %s", group_names[i], strerror(-err));
	s->failing[i] = err != 0;
	return err;
}

static int sys_get_stats(struct producer *producer, struct snapshot *snap)
{
	struct sys *s = producer->state;
	int first_err = 0;

	if (has_changed(s))
		find_files(s);
	for (int i = 0; i < GROUPS; i++) {
		int err = i == IDLE || s->groups[i].n ? take_group(s, i, snap) : 0;

		first_err = first_err ? first_err : err;
	}
	return first_err;
}

static void sys_describe(struct describer *d)
{
	sink_describe(d, &numbers[IDLE_TIME], "cpu, state", "cpu/cpu*/cpuidle/state*/time", NULL);
	sink_describe(
		d, &numbers[IDLE_ENTRIES], "cpu, state", "cpu/cpu*/cpuidle/state*/usage", NULL);
	sink_describe(d, &numbers[CUR_FREQ], "cpu", "cpu/cpu*/cpufreq/scaling_cur_freq", NULL);
	proc_describe_memory(d, true, "node/node*/meminfo");
	sink_describe(d, &numa_allocations, "node, kind", "node/node*/numastat", NULL);
	sink_describe(d, &left_out, NULL, "the producer", NULL);
}

const struct producer_ops producer_sys = {
	.name = "sys",
	.help = "CPUs' idle states and frequencies, memory of nodes",
	.open = sys_open,
	.get_stats = sys_get_stats,
	.close = sys_close,
	.reads = "Files below /sys/devices/system, which are kept open: a poll reads two for each "
		 "idle state of a CPU, one for its frequency, and two for each node of memory if "
		 "there are several. What a machine lacks is left out.",
	.describe = sys_describe,
};
