/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Producer "tasks". A poll reads the iterator, sums threads into a table of processes, ranks them by
 * what they used since the poll before, and gives the top of each criterion a seat.
 *
 *   iterator -> processes (what each had at the last poll, and has now) -> top -> seats
 *                                                                           \--> others
 *
 * When somebody takes a seat his cgroup is looked up in /proc.
 */
#include "user/provider/kernel/tasks.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bpf/tasks.skel.h"
#include "user/lib/util.h"
#include "user/provider/cgroup_names.h"
#include "user/provider/kernel/ended.h"
#include "user/provider/kernel/load.h"
#include "user/provider/seat.h"
#include "user/provider/top.h"

#define READ_BYTES 65536u /* of records, a few hundred */

/* In the order of a seat's series; the counters are those of enum task_counter. */
enum { SEAT_MEMORY = TASK_COUNTERS, SEAT_THREADS, SEAT_SERIES };
static const struct seat_metric seat_metrics[SEAT_SERIES] = {
	[TASK_CPU] = {.name = "task_cpu_seconds",
		.unit = "seconds",
		.help = "CPU time of a process since it began",
		.source = "se.sum_exec_runtime of its threads",
		.type = METRIC_COUNTER,
		.scale = -9},
	[TASK_DELAY] = {.name = "task_run_delay_seconds",
		.unit = "seconds",
		.help = "Time that threads of a process were runnable and had no CPU",
		.source = "sched_info.run_delay of its threads",
		.type = METRIC_COUNTER,
		.scale = -9},
	[TASK_READ] = {.name = "task_read_bytes",
		.unit = "bytes",
		.help = "Bytes that a process had read from disks",
		.source = "ioac.read_bytes of its threads",
		.type = METRIC_COUNTER},
	[TASK_WRITTEN] = {.name = "task_written_bytes",
		.unit = "bytes",
		.help = "Bytes that a process had written to disks",
		.source = "ioac.write_bytes of its threads",
		.type = METRIC_COUNTER},
	[TASK_FAULTS] = {.name = "task_page_faults",
		.unit = "",
		.help = "Page faults of a process, with and without input",
		.source = "min_flt and maj_flt of its threads",
		.type = METRIC_COUNTER},
	[TASK_SWITCHES] = {.name = "task_context_switches",
		.unit = "",
		.help = "Context switches of a process, of its own will and not",
		.source = "nvcsw and nivcsw of its threads",
		.type = METRIC_COUNTER},
	[SEAT_MEMORY] = {.name = "task_memory_bytes",
		.unit = "bytes",
		.help = "Resident memory of a process",
		.source = "mm.rss_stat",
		.type = METRIC_GAUGE},
	[SEAT_THREADS] = {.name = "task_threads",
		.unit = "",
		.help = "Threads of a process",
		.source = "signal.nr_threads",
		.type = METRIC_GAUGE},
};

enum own { OWN_PROCESSES, OWN_SHOWN, OWN_UNTRACKED, OWN_METRICS };
static const struct seat_metric own_metrics[OWN_METRICS] = {
	[OWN_PROCESSES] = {.name = "tasks_processes",
		.unit = "",
		.help = "Living processes",
		.source = "the iterator",
		.type = METRIC_GAUGE},
	[OWN_SHOWN] = {.name = "tasks_shown",
		.unit = "",
		.help = "Processes with series of their own",
		.source = "the producer",
		.type = METRIC_GAUGE},
	[OWN_UNTRACKED] = {.name = "tasks_untracked",
		.unit = "",
		.help = "Processes that can't be shown, since there are too many",
		.source = "the producer",
		.type = METRIC_GAUGE},
};

struct process {
	uint32_t pid, threads;
	uint64_t start_ns; /* since boot; 0: its first thread was not seen */
	uint64_t before[TASK_COUNTERS], now[TASK_COUNTERS];
	uint64_t pages;
	char comm[16];
};

struct sitter {
	struct group group;
	uint32_t pid; /* 0: the seat is free */
	uint64_t start_ns;
	char comm[16];
	uint64_t last[TASK_COUNTERS]; /* of the poll before */
	uint64_t wanted; /* the last poll at which it was among the top */
	bool shown; /* at the poll before */
	const struct process *process; /* at this poll; NULL: gone */
	bool named; /* at this poll its labels are right */
};

struct tasks {
	struct producer ended; /* ours, if nobody else has opened it */
	const struct producer *sums; /* the one that is read */
	int program, link;
	uint64_t boot_ns, polls, page_size;
	uint32_t interval_ms;
	size_t top, nseats;
	struct sitter *seats;
	struct process *list; /* sorted by nothing */
	size_t n, capacity, untracked, nprocesses;
	bool *chosen; /* of the list */
	uint32_t *slots; /* hash table by pid: index + 1; a power of two */
	size_t nslots;
	uint64_t living[TASK_COUNTERS]; /* sums of this poll */
	uint64_t total[TASK_COUNTERS]; /* of the poll before, with those that ended */
	int64_t rest
		[TASK_COUNTERS]; /* the others'; may step back for a poll, and is not shown then */
	uint64_t pages, threads; /* of all, and in the end of the others */
	struct group others, own;
	char *bytes; /* READ_BYTES, of the iterator */
	int proc; /* the directory */
	bool hidden; /* it does not show the processes of others, or not by the ids that BPF has */
};

/* --- the table of processes ---------------------------------------------------------------------- */

static uint32_t *slot_of(const struct tasks *t, uint32_t pid)
{
	size_t at = hash_index(HASH_START, &pid, sizeof(pid)) & (t->nslots - 1);

	while (t->slots[at] && t->list[t->slots[at] - 1].pid != pid)
		at = (at + 1) & (t->nslots - 1);
	return &t->slots[at];
}

static void index_all(struct tasks *t)
{
	memset(t->slots, 0, t->nslots * sizeof(*t->slots));
	for (size_t i = 0; i < t->n; i++)
		*slot_of(t, t->list[i].pid) = (uint32_t)i + 1;
}

static int grow(struct tasks *t)
{
	size_t n = t->capacity ? 2 * t->capacity : 128;
	struct process *list = reallocarray(t->list, n, sizeof(*list));
	bool *chosen;
	uint32_t *slots;

	if (list)
		t->list = list;
	chosen = reallocarray(t->chosen, n, sizeof(*chosen));
	if (chosen)
		t->chosen = chosen;
	slots = reallocarray(t->slots, 2 * n, sizeof(*slots));
	if (slots)
		t->slots = slots;
	if (!list || !chosen || !slots)
		return -ENOMEM;
	t->capacity = n;
	t->nslots = 2 * n;
	index_all(t);
	return 0;
}

/* Finds or makes; NULL if there are too many. */
static struct process *process_of(struct tasks *t, uint32_t pid)
{
	uint32_t *slot = t->nslots ? slot_of(t, pid) : NULL;

	if (slot && *slot)
		return &t->list[*slot - 1];
	if (t->n == TASKS_TRACKED_MAX)
		return NULL;
	if (t->n == t->capacity && grow(t))
		return NULL;
	t->list[t->n++] = (struct process){.pid = pid};
	*slot_of(t, pid) = (uint32_t)t->n;
	return &t->list[t->n - 1];
}

static void table_begin(struct tasks *t)
{
	for (size_t i = 0; i < t->n; i++) {
		struct process *p = &t->list[i];

		memcpy(p->before, p->now, sizeof(p->before));
		memset(p->now, 0, sizeof(p->now));
		p->threads = 0;
	}
	memset(t->living, 0, sizeof(t->living));
	t->pages = t->threads = t->untracked = t->nprocesses = 0;
}

/* Who was not seen is gone; threads without a first one are of a process that begins or ends just now. */
static void table_end(struct tasks *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		if (t->list[i].threads)
			t->list[n++] = t->list[i];
	t->n = n;
	if (t->nslots)
		index_all(t);
}

/* --- reading the iterator ----------------------------------------------------------------------- */

static void take_record(struct tasks *t, const struct tasks_thread *thread)
{
	const struct tasks_first *f = (const void *)thread;
	bool first = thread->size == sizeof(*f);
	struct process *p;

	if (first && f->ended)
		return;
	for (size_t i = 0; i < TASK_COUNTERS; i++)
		t->living[i] += thread->counters[i];
	p = process_of(t, thread->pid);
	if (first) {
		t->nprocesses++;
		t->untracked += !p;
		t->pages += f->pages;
		t->threads += f->threads;
	}
	if (!p)
		return;
	for (size_t i = 0; i < TASK_COUNTERS; i++)
		p->now[i] += thread->counters[i];
	if (!first)
		return;
	if (p->start_ns != f->start_ns)
		memset(p->before, 0,
			sizeof(p->before)); /* it is new, or has the id of one that is gone */
	p->start_ns = f->start_ns;
	p->threads = f->threads;
	p->pages = f->pages;
	memcpy(p->comm, f->comm, sizeof(p->comm));
}

/* Takes each whole record of n bytes. Returns how many bytes they took; -EPROTO. */
static ssize_t take_bytes(struct tasks *t, size_t n)
{
	struct tasks_thread thread;
	union {
		struct tasks_first first;
		struct tasks_thread thread;
	} record;
	size_t at = 0;

	while (n - at >= sizeof(thread)) {
		memcpy(&thread, t->bytes + at, sizeof(thread));
		if (thread.size != sizeof(record.first) && thread.size != sizeof(thread))
			return -EPROTO;
		if (n - at < thread.size)
			break;
		memcpy(&record, t->bytes + at, thread.size);
		take_record(t, &record.thread);
		at += thread.size;
	}
	return (ssize_t)at;
}

/* Reads on until there is no more, or no room. Returns how many bytes there are; negative errno. */
static ssize_t fill_bytes(struct tasks *t, int fd, size_t n)
{
	ssize_t got;

	do {
		got = read(fd, t->bytes + n, READ_BYTES - n);
		n += got > 0 ? (size_t)got : 0;
	} while ((got > 0 && n < READ_BYTES) || (got < 0 && (errno == EAGAIN || errno == EINTR)));
	return got < 0 ? -errno : (ssize_t)n;
}

static int read_tasks(struct tasks *t)
{
	size_t left = 0; /* of a record whose end is still to come */
	ssize_t n, taken;
	int fd = bpf_iter_create(t->link);

	if (fd < 0)
		return -errno;
	for (;;) {
		n = fill_bytes(t, fd, left);
		taken = n < 0 ? n : take_bytes(t, (size_t)n);
		if (taken <= 0 || (size_t)n < READ_BYTES)
			break;
		left = (size_t)(n - taken);
		memmove(t->bytes, t->bytes + taken, left);
	}
	close(fd);
	return taken < 0 ? (int)taken : 0;
}

/* --- the top ------------------------------------------------------------------------------------ */

static uint64_t used(const struct process *p, enum task_counter i)
{
	return p->now[i] > p->before[i] ? p->now[i] - p->before[i] : 0;
}

static uint64_t criterion_of(void *arg, size_t i, unsigned criterion)
{
	const struct process *p = &((struct tasks *)arg)->list[i];
	static const enum task_counter counters[] = {
		TASK_CPU, TASK_DELAY, TASK_FAULTS, TASK_SWITCHES};

	if (criterion < sizeof(counters) / sizeof(counters[0]))
		return used(p, counters[criterion]);
	return criterion == 4 ? used(p, TASK_READ) + used(p, TASK_WRITTEN) : p->pages;
}

/* --- seats ------------------------------------------------------------------------------------- */

static void seats_find(struct tasks *t)
{
	for (size_t i = 0; i < t->nseats; i++) {
		struct sitter *s = &t->seats[i];
		uint32_t slot = s->pid && t->nslots ? *slot_of(t, s->pid) : 0;
		const struct process *p = slot ? &t->list[slot - 1] : NULL;

		s->process = p && p->start_ns == s->start_ns ? p : NULL;
		if (!s->process)
			s->pid = 0;
		else if (t->chosen[slot - 1])
			s->wanted = t->polls;
		if (t->polls - s->wanted > TASKS_STAY)
			s->pid = 0;
		s->shown &= s->pid != 0;
		s->named = s->pid && !strcmp(s->comm, s->process->comm);
	}
}

static bool has_seat(const struct tasks *t, const struct process *p)
{
	for (size_t i = 0; i < t->nseats; i++)
		if (t->seats[i].pid == p->pid && t->seats[i].process == p)
			return true;
	return false;
}

/* A free one, or else that of who was among the top the longest ago. There are enough for the whole top. */
static struct sitter *free_seat(struct tasks *t)
{
	struct sitter *s = &t->seats[0];

	for (size_t i = 0; i < t->nseats; i++) {
		if (!t->seats[i].pid)
			return &t->seats[i];
		if (t->seats[i].wanted < s->wanted)
			s = &t->seats[i];
	}
	return s;
}

static void seats_give(struct tasks *t)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct process *p = &t->list[i];
		struct sitter *s;

		if (!t->chosen[i] || has_seat(t, p))
			continue;
		s = free_seat(t);
		s->pid = p->pid;
		s->start_ns = p->start_ns;
		s->process = p;
		s->wanted = t->polls;
		s->shown = s->named = false;
	}
}

static int label_seat(struct tasks *t, struct sitter *s, const char *path)
{
	char pid[16], name[32];
	struct cgroup_names_text of_path;
	const struct seat_label labels[] = {{"pid", pid}, {"comm", s->process->comm},
		{"cgroup", path}, {"unit", of_path.unit}, {"container", of_path.container}};

	snprintf(pid, sizeof(pid), "%u", s->pid);
	snprintf(name, sizeof(name), "tasks.%zu", (size_t)(s - t->seats));
	cgroup_names_copy(path, &of_path);
	return seat_take(&s->group, name, seat_metrics, SEAT_SERIES, labels,
		sizeof(labels) / sizeof(labels[0]), t->boot_ns + s->start_ns, t->interval_ms);
}

/* Labels for who has just come, or has another name than before. Who has ended meanwhile gets none. */
static int take_name(struct tasks *t, struct sitter *s)
{
	struct buf text = BUF_INIT;
	char file[32];
	int rc;

	snprintf(file, sizeof(file), "%u/cgroup", s->pid);
	rc = t->hidden ? 0 : read_file_at(t->proc, file, READ_BYTES, &text);
	buf_put_u8(&text, 0);
	if (!rc)
		rc = buf_error(&text);
	if (!rc)
		rc = label_seat(
			t, s, t->hidden ? "" : cgroup_names_path((char *)text.data, "memory"));
	buf_release(&text);
	if (rc)
		return rc;
	memcpy(s->comm, s->process->comm, sizeof(s->comm));
	s->named = true;
	return 0;
}

/* Who has no labels is one of the others. */
static void seats_name(struct tasks *t)
{
	for (size_t i = 0; i < t->nseats; i++) {
		struct sitter *s = &t->seats[i];

		if (s->pid && !s->named && take_name(t, s)) {
			s->pid = 0;
			s->shown = false;
		}
	}
}

/* --- values ------------------------------------------------------------------------------------ */

/*
 * What a counter has come to. Threads that end take their delay with them, and a figure that is read while it
 * is written may be older than the one before: it is never shown to go back.
 */
static void put_seat(struct tasks *t, struct sitter *s)
{
	uint64_t *v = s->group.values;

	for (size_t i = 0; i < TASK_COUNTERS; i++) {
		uint64_t now = s->process->now[i];

		if (s->shown) {
			now = now > s->last[i] ? now : s->last[i];
			t->rest[i] -= (int64_t)(now - s->last[i]);
		}
		v[i] = s->last[i] = now > v[i] ? now : v[i];
	}
	v[SEAT_MEMORY] = s->process->pages * t->page_size;
	v[SEAT_THREADS] = s->process->threads;
	t->pages -= s->process->pages;
	t->threads -= s->process->threads;
	s->shown = true;
}

static void put_others(struct tasks *t)
{
	uint64_t *v = t->others.values;

	for (size_t i = 0; i < TASK_COUNTERS; i++)
		if (t->rest[i] > (int64_t)v[i])
			v[i] = (uint64_t)t->rest[i];
	v[SEAT_MEMORY] = t->pages * t->page_size;
	v[SEAT_THREADS] = t->threads;
}

/* The growth of the sum over all goes to the others; seats take theirs back from it. */
static void add_growth(struct tasks *t, const uint64_t *ended)
{
	const uint64_t dead[TASK_COUNTERS] = {[TASK_CPU] = ended[ENDED_CPU],
		[TASK_DELAY] = ended[ENDED_DELAY],
		[TASK_READ] = ended[ENDED_READ],
		[TASK_WRITTEN] = ended[ENDED_WRITTEN],
		[TASK_FAULTS] = ended[ENDED_MINOR] + ended[ENDED_MAJOR],
		[TASK_SWITCHES] = ended[ENDED_VOLUNTARY] + ended[ENDED_INVOLUNTARY]};

	for (size_t i = 0; i < TASK_COUNTERS; i++) {
		uint64_t total = t->living[i] + dead[i];

		if (t->polls > 1)
			t->rest[i] += (int64_t)(total - t->total[i]);
		t->total[i] = total;
	}
}

static int add_groups(struct tasks *t, struct snapshot *snap, uint64_t begin)
{
	uint64_t end = clock_monotonic_ns(), *v = t->own.values;
	int rc = 0;

	v[OWN_PROCESSES] = t->nprocesses;
	v[OWN_UNTRACKED] = t->untracked;
	v[OWN_SHOWN] = 0;
	for (size_t i = 0; i < t->nseats && !rc; i++) {
		if (!t->seats[i].pid)
			continue;
		v[OWN_SHOWN]++;
		rc = snapshot_add(snap, &t->seats[i].group, begin, end);
	}
	if (!rc)
		rc = snapshot_add(snap, &t->others, begin, end);
	return rc ? rc : snapshot_add(snap, &t->own, begin, end);
}

/* --- the interface ------------------------------------------------------------------------------ */

static int tasks_get_stats(struct producer *p, struct snapshot *snap)
{
	uint64_t begin = clock_monotonic_ns(), ended[ENDED_SUMS];
	struct tasks *t = p->state;
	int rc;

	t->polls++;
	/* first: who ends meanwhile is rather missing for a poll than counted twice */
	ended_sums(t->sums, ended);
	table_begin(t);
	rc = read_tasks(t);
	table_end(t);
	if (rc)
		return rc;
	top_select(t->n, t->top, TASKS_CRITERIA, criterion_of, t, t->chosen);
	seats_find(t);
	seats_give(t);
	seats_name(t);
	add_growth(t, ended);
	for (size_t i = 0; i < t->nseats; i++)
		if (t->seats[i].pid)
			put_seat(t, &t->seats[i]);
	put_others(t);
	return add_groups(t, snap, begin);
}

static void tasks_free(struct tasks *t)
{
	if (t->link >= 0)
		close(t->link);
	if (t->program >= 0)
		close(t->program);
	if (t->proc >= 0)
		close(t->proc);
	if (t->ended.state)
		t->ended.ops->close(&t->ended);
	for (size_t i = 0; t->seats && i < t->nseats; i++)
		group_release(&t->seats[i].group);
	group_release(&t->others);
	group_release(&t->own);
	free(t->seats);
	free(t->list);
	free(t->chosen);
	free(t->slots);
	free(t->bytes);
	free(t);
}

/* BPF tells ids of the first pid namespace, whichever the provider's is. */
static bool shows_all(int proc)
{
	const ino_t first = 0xeffffffc; /* PROC_PID_INIT_INO of include/linux/proc_ns.h */
	struct stat st;

	return proc >= 0 && fstatat(proc, "self/ns/pid", &st, 0) == 0 && st.st_ino == first &&
	       faccessat(proc, "1/cgroup", R_OK, AT_EACCESS) == 0;
}

static struct tasks *tasks_new(const struct provider_env *env)
{
	const struct seat_label other = {"pid", "other"};
	struct tasks *t = calloc(1, sizeof(*t));
	uint64_t start_ns = (uint64_t)clock_realtime_ns();

	if (!t)
		return NULL;
	t->program = t->link = -1;
	t->proc = open(env->proc_dir ? env->proc_dir : "/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	t->hidden = !shows_all(t->proc);
	t->top = env->top ? env->top : TASKS_TOP_DEFAULT;
	t->nseats = t->top * TASKS_CRITERIA;
	t->boot_ns = env->boot_ns;
	t->page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	t->interval_ms = (uint32_t)(env->interval_ns / NSEC_PER_MSEC);
	t->seats = calloc(t->nseats, sizeof(*t->seats));
	t->bytes = malloc(READ_BYTES);
	if (t->seats && t->bytes && !grow(t) &&
		!seat_take(&t->others, "tasks", seat_metrics, SEAT_SERIES, &other, 1, start_ns,
			t->interval_ms) &&
		!seat_take(&t->own, "tasks.count", own_metrics, OWN_METRICS, NULL, 0, start_ns,
			t->interval_ms))
		return t;
	tasks_free(t);
	return NULL;
}

static int find_ended(struct tasks *t, const struct provider_env *env, struct errmsg *e)
{
	const struct registry *r = env->registry;

	for (size_t i = 0; r && i < r->n; i++) {
		t->sums = &r->producers[i];
		if (t->sums->ops == &producer_ended && t->sums->is_open)
			return 0;
	}
	t->ended.ops = &producer_ended;
	t->sums = &t->ended;
	return producer_ended.open(&t->ended, env, e);
}

static int load_program(struct tasks *t)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "tasks");
	struct bpf_object *object;
	const void *elf;
	size_t size;
	int rc;

	elf = tasks_bpf__elf_bytes(&size);
	object = bpf_object__open_mem(elf, size, &options);
	if (!object)
		return -errno;
	rc = bpf_object__load(object);
	if (!rc) {
		t->program = fcntl(
			bpf_program__fd(bpf_object__find_program_by_name(object, "tally_tasks")),
			F_DUPFD_CLOEXEC, 0);
		t->link =
			t->program < 0 ? -1 : bpf_link_create(t->program, 0, BPF_TRACE_ITER, NULL);
		rc = t->link < 0 ? -errno : 0;
	}
	bpf_object__close(object);
	return rc;
}

static int tasks_open(struct producer *p, const struct provider_env *env, struct errmsg *e)
{
	const struct load_needs needs = {.module = "tasks", .tracepoint = "sched_switch"};
	struct tasks *t = tasks_new(env);
	int rc;

	if (!t)
		return err_set(e, -ENOMEM, "tasks: no memory");
	rc = find_ended(t, env, e);
	if (!rc) {
		load_begin();
		rc = load_program(t);
		if (rc)
			rc = load_explain(rc, &needs, e);
		load_end();
	}
	if (rc) {
		tasks_free(t);
		return rc;
	}
	p->state = t;
	return 0;
}

static void tasks_close(struct producer *p)
{
	tasks_free(p->state);
	p->state = NULL;
}

static void tasks_describe(struct describer *d)
{
	seat_describe(d, seat_metrics, SEAT_SERIES, "pid, comm, cgroup, unit, container");
	seat_describe(d, own_metrics, OWN_METRICS, NULL);
}

const struct producer_ops producer_tasks = {
	.name = "tasks",
	.help = "processes that use the most, and all others (BPF)",
	.open = tasks_open,
	.get_stats = tasks_get_stats,
	.close = tasks_close,
	.reads =
		"A poll reads figures of all threads from an iterator of the kernel (a BPF program "
		"that runs only then): it costs more the more threads there are.",
	.describe = tasks_describe,
};
