/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Producer "ended": processes that have ended, summed by name and cgroup, from the rows that the program of
 * bpf/sched.bpf.c leaves for each (bpf/ended.h).
 *
 *   rows of each CPU     tail               head
 *   ... | read before ... | not read yet ... |          what is further back than the array is long is lost
 *
 * Rows are mapped only while they are read, and only those that are new: a poll without them takes no system
 * call, and their memory is none of ours. Sums over all processes are kept by the program apart, so they
 * are exact whatever is lost: what of them is not in a series of its own is in those of "other".
 */
#include "user/provider/kernel/ended.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "user/lib/sharedtext.h"
#include "user/lib/util.h"
#include "user/provider/cgroup_names.h"
#include "user/provider/kernel/modules.h"
#include "user/provider/kernel/endlog.h"
#include "user/provider/seat.h"
#include "user/provider/segments.h"

#define ROWS_ALL     4096u /* of all CPUs together, */
#define ROWS_CPU_MIN 64u /* but at least these of each */
#define RECENT       256u
#define IDLE_NS      (600 * NSEC_PER_SEC) /* a seat may be taken from who has not come for so long */

/* In the order of a seat's series. */
enum figure {
	END_OK, /* and the others of enum ended_how */
	END_CPU = ENDED_HOWS,
	END_READ,
	END_WRITTEN,
	END_PEAK, /* the highest; all others are sums */
	END_FIGURES
};

#define ENDS(text)                                                                             \
	{                                                                                      \
		.name = "ended_processes", .unit = "", .help = "Processes that ended, by how", \
		.source = "exit_code", .type = METRIC_COUNTER, .label = "how", .value = text   \
	}
static const struct seat_metric figures[END_FIGURES] = {
	ENDS("success"),
	ENDS("failure"),
	ENDS("signal"),
	[END_CPU] = {.name = "ended_cpu_seconds",
		.unit = "seconds",
		.help = "CPU time of processes that ended, all of it",
		.source = "se.sum_exec_runtime of its threads",
		.type = METRIC_COUNTER,
		.scale = -9},
	[END_READ] = {.name = "ended_read_bytes",
		.unit = "bytes",
		.help = "Bytes that processes that ended had read from disks",
		.source = "ioac.read_bytes of its threads",
		.type = METRIC_COUNTER},
	[END_WRITTEN] = {.name = "ended_written_bytes",
		.unit = "bytes",
		.help = "Bytes that processes that ended had written to disks",
		.source = "ioac.write_bytes of its threads",
		.type = METRIC_COUNTER},
	[END_PEAK] = {.name = "ended_peak_memory_bytes",
		.unit = "bytes",
		.help = "The most resident memory that one of the processes that ended ever had",
		.source = "signal.maxrss",
		.type = METRIC_GAUGE},
};

/* About ourselves. */
enum own { OWN_DROPPED, OWN_LATE, OWN_RUNS, OWN_NS, OWN_METRICS };
static const struct seat_metric own_metrics[OWN_METRICS] = {
	[OWN_DROPPED] = {.name = "ended_dropped_rows",
		.help = "Processes that ended, and were overwritten before they were read, or "
			"found no memory: they are in \"other\"",
		.unit = "",
		.source = "the producer",
		.type = METRIC_COUNTER},
	[OWN_LATE] = {.name = "ended_late_threads",
		.help = "Threads that ended after their process had been told",
		.unit = "",
		.source = "the program",
		.type = METRIC_COUNTER},
	[OWN_RUNS] = {MODULE_PROGRAM_RUNS, .value = "tally_ended"},
	[OWN_NS] = {MODULE_PROGRAM_SECONDS, .value = "tally_ended"},
};

struct sitter {
	struct group group;
	char comm[sizeof(((struct ended_figures *)0)->comm)];
	uint64_t cgroup, last_ns; /* last_ns: when one of them ended last; monotonic */
};

/* A row of the program, without what only it needs. */
struct ending {
	struct ended_figures figures;
	uint64_t cgroup; /* identity of its path */
	char *path; /* of its cgroup, as it is shown; of text_dup() */
};

struct ended {
	struct producer sched; /* ours, if nobody else has opened it */
	const struct ended_cpu *cpus; /* ncpus, written by the kernel */
	uint32_t ncpus, nrows;
	int rows_fd;
	uint64_t *tails; /* of each CPU: rows that were read or lost */
	uint64_t dropped, page_size;
	long ticks; /* a second */
	struct group others, own; /* of "other", and about ourselves */
	struct sitter *sitters; /* nsitters of ENDED_SEATS */
	size_t nsitters;
	uint64_t seated[END_FIGURES]; /* all that was ever added to seats */
	uint64_t other_peak;
	struct ending *recent; /* the last RECENT processes: number n at n % RECENT */
	uint64_t nrecent, nlisted,
		ready; /* in the list are those before nlisted; soon those before ready */
	struct endlog *list; /* NULL: none is kept */
	const struct registry *registry;
	struct ending *late; /* of this poll */
	size_t nlate, late_capacity;
	uint64_t start_ns;
	uint32_t interval_ms;
};

/* --- settings of the program ------------------------------------------------------------------ */

static uint32_t rows_per_cpu(uint32_t ncpus)
{
	uint32_t n = ROWS_CPU_MIN;

	while (2 * n * ncpus <= ROWS_ALL)
		n *= 2;
	return n;
}

int ended_prepare(struct bpf_object *object, uint32_t ncpus)
{
	struct ended_settings settings = {.rows = rows_per_cpu(ncpus)};
	struct timespec up;
	int rc;

	clock_gettime(CLOCK_BOOTTIME, &up);
	settings.since_ns =
		(uint64_t)up.tv_sec * NSEC_PER_SEC + (uint64_t)up.tv_nsec + NSEC_PER_SEC;
	rc = bpf_map__set_max_entries(bpf_object__find_map_by_name(object, ENDED_CPU_MAP), ncpus);
	if (!rc)
		rc = bpf_map__set_max_entries(bpf_object__find_map_by_name(object, ENDED_ROWS_MAP),
			ncpus * settings.rows);
	if (!rc)
		rc = bpf_map__set_initial_value(
			bpf_object__find_map_by_name(object, ".rodata.ended"), &settings,
			sizeof(settings));
	return rc;
}

/* --- seats ------------------------------------------------------------------------------------ */

static bool sits(const struct sitter *s, const struct ending *ending)
{
	return s->cgroup == ending->cgroup &&
	       !strncmp(s->comm, ending->figures.comm, sizeof(s->comm));
}

/* The one that came last the longest ago, if that is long enough. */
static struct sitter *idle_sitter(struct ended *e, uint64_t now)
{
	struct sitter *oldest = &e->sitters[0];

	for (size_t i = 1; i < e->nsitters; i++)
		if (e->sitters[i].last_ns < oldest->last_ns)
			oldest = &e->sitters[i];
	return now - oldest->last_ns > IDLE_NS ? oldest : NULL;
}

static int name_seat(
	struct ended *e, struct sitter *s, const struct ending *ending, uint64_t start_ns)
{
	char name[32];
	struct cgroup_names_text of_path;
	const struct seat_label labels[] = {{"comm", ending->figures.comm},
		{"cgroup", ending->path}, {"unit", of_path.unit}, {"container", of_path.container}};

	cgroup_names_copy(ending->path, &of_path);
	snprintf(name, sizeof(name), "ended.%zu", (size_t)(s - e->sitters));
	return seat_take(&s->group, name, figures, END_FIGURES, labels,
		sizeof(labels) / sizeof(labels[0]), start_ns, e->interval_ms);
}

static struct sitter *take_seat(struct ended *e, const struct ending *ending, uint64_t now)
{
	bool is_new = e->nsitters < ENDED_SEATS;
	struct sitter *s = is_new ? &e->sitters[e->nsitters] : idle_sitter(e, now);

	if (!s || name_seat(e, s, ending, is_new ? e->start_ns : (uint64_t)clock_realtime_ns()))
		return NULL;
	e->nsitters += is_new;
	memcpy(s->comm, ending->figures.comm, sizeof(s->comm));
	s->cgroup = ending->cgroup;
	return s;
}

/* NULL: it is one of the others. */
static struct sitter *find_seat(struct ended *e, const struct ending *ending, uint64_t now)
{
	for (size_t i = 0; i < e->nsitters; i++)
		if (sits(&e->sitters[i], ending))
			return &e->sitters[i];
	return take_seat(e, ending, now);
}

static void add_row(struct ended *e, const struct ending *ending, uint64_t now)
{
	const struct ended_figures *r = &ending->figures;
	struct sitter *s = find_seat(e, ending, now);
	uint64_t add[END_FIGURES] = {[END_CPU] = r->sums[ENDED_CPU],
		[END_READ] = r->sums[ENDED_READ],
		[END_WRITTEN] = r->sums[ENDED_WRITTEN]};
	uint64_t peak = r->peak_pages * e->page_size;

	if (!r->late)
		add[END_OK + ended_how(r->code)] = 1;
	if (!s) {
		e->other_peak = peak > e->other_peak ? peak : e->other_peak;
		return;
	}
	s->last_ns = now;
	for (size_t i = 0; i < END_PEAK; i++) {
		s->group.values[i] += add[i];
		e->seated[i] += add[i];
	}
	if (!r->late && peak > s->group.values[END_PEAK])
		s->group.values[END_PEAK] = peak;
}

/* --- rows ------------------------------------------------------------------------------------- */

/* With what it counted itself, if its segment has been folded by now. */
static void list_next(struct ended *e)
{
	const struct ending *ending = &e->recent[e->nlisted++ % RECENT];
	const struct ended_figures *r = &ending->figures;
	const struct segment_last_words *w = segments_last_words(
		e->registry, r->pid, r->uid, r->start_ns / (NSEC_PER_SEC / (uint64_t)e->ticks));

	if (e->list)
		endlog_add(e->list, r, ending->path, w ? w->program : NULL, w ? w->counted : NULL);
}

/* It is ours from here on. */
static void take_process(struct ended *e, const struct ending *ending, uint64_t now)
{
	struct ending *recent = &e->recent[e->nrecent % RECENT];

	if (e->nrecent - e->nlisted == RECENT)
		list_next(e);
	e->nrecent++;
	text_free(recent->path);
	*recent = *ending;
	add_row(e, ending, now);
}

/* A thread's row goes where its process's went, if that is still known. */
static void take_late(struct ended *e, struct ending *thread, uint64_t now)
{
	struct ending as_process = *thread;

	for (uint64_t i = 0; i < RECENT && i < e->nrecent; i++) {
		struct ending *process = &e->recent[(e->nrecent - 1 - i) % RECENT];

		if (process->figures.pid != thread->figures.pid)
			continue;
		for (size_t k = 0; k < ENDED_SUMS; k++)
			process->figures.sums[k] += thread->figures.sums[k];
		memcpy(as_process.figures.comm, process->figures.comm,
			sizeof(as_process.figures.comm));
		as_process.cgroup = process->cgroup;
		as_process.path = process->path;
		break;
	}
	add_row(e, &as_process, now);
	text_free(thread->path);
}

/* It is ours from here on. */
static void keep_late(struct ended *e, struct ending *thread, uint64_t now)
{
	if (e->nlate == e->late_capacity) {
		size_t n = e->late_capacity ? 2 * e->late_capacity : 16;
		struct ending *late = reallocarray(e->late, n, sizeof(*late));

		if (!late) {
			add_row(e, thread, now); /* by its own name, then */
			text_free(thread->path);
			return;
		}
		e->late = late;
		e->late_capacity = n;
	}
	e->late[e->nlate++] = *thread;
}

static uint64_t head_of(const struct ended *e, uint32_t cpu)
{
	return __atomic_load_n(&e->cpus[cpu].rows, __ATOMIC_ACQUIRE);
}

static void take_row(struct ended *e, struct ended_row *row, uint64_t now)
{
	struct ending ending = {.figures = row->figures, .cgroup = row->cgroup.identity};
	char path[MODULE_CGROUP_PATH];

	ending.figures.comm[sizeof(ending.figures.comm) - 1] = '\0';
	text_make_valid(ending.figures.comm);
	cgroup_slot_path(&row->cgroup, path);
	ending.path = text_dup(path);
	if (!ending.path)
		e->dropped++;
	else if (ending.figures.late)
		keep_late(e, &ending, now);
	else
		take_process(e, &ending, now);
}

/* Takes rows [from, to) of a CPU. Returns how many it could, the last ones being not there yet. */
static uint64_t take_rows(struct ended *e, uint32_t cpu, const struct ended_row *rows,
	uint64_t from, uint64_t to, uint64_t now)
{
	struct ended_row row;

	for (uint64_t i = from; i < to; i++) {
		memcpy(&row, &rows[i - from], sizeof(row));
		if (head_of(e, cpu) - i >= e->nrows) {
			e->dropped++; /* it may have been written over while it was read */
			continue;
		}
		if (row.figures.number != i + 1)
			return i - from;
		take_row(e, &row, now);
	}
	return to - from;
}

/* Rows [from, to) of a CPU, which do not wrap. Only their pages are mapped, for as long as that takes: all are many. */
static int read_part(struct ended *e, uint32_t cpu, uint64_t from, uint64_t to, uint64_t now)
{
	size_t row = sizeof(struct ended_row), first = (cpu * e->nrows + from % e->nrows) * row,
	       begin = first / e->page_size * e->page_size,
	       size = first - begin + (to - from) * row;
	char *pages = mmap(NULL, size, PROT_READ, MAP_SHARED, e->rows_fd, (off_t)begin);

	if (pages == MAP_FAILED)
		return -errno;
	e->tails[cpu] = from + take_rows(e, cpu, (void *)(pages + (first - begin)), from, to, now);
	munmap(pages, size);
	return 0;
}

static int read_cpu(struct ended *e, uint32_t cpu, uint64_t now)
{
	uint64_t head = head_of(e, cpu), tail = e->tails[cpu], end;
	int err = 0;

	if (head - tail >= e->nrows) {
		e->dropped += head - tail - e->nrows + 1;
		tail = head - e->nrows + 1;
	}
	while (tail < head && !err) {
		end = tail - tail % e->nrows + e->nrows; /* of the array */
		end = end < head ? end : head;
		err = read_part(e, cpu, tail, end, now);
		if (e->tails[cpu] != end)
			break;
		tail = end;
	}
	return err;
}

static int read_rows(struct ended *e, uint64_t now)
{
	int err = 0;

	e->nlate = 0;
	for (uint32_t cpu = 0; cpu < e->ncpus; cpu++) {
		int rc = read_cpu(e, cpu, now);

		err = rc ? rc : err;
	}
	for (size_t i = 0; i < e->nlate; i++)
		take_late(e, &e->late[i], now);
	return err;
}

/* --- sums ------------------------------------------------------------------------------------- */

static uint64_t sum_of(const struct ended *e, size_t offset)
{
	uint64_t sum = 0;

	for (uint32_t cpu = 0; cpu < e->ncpus; cpu++)
		sum += __atomic_load_n(
			(const uint64_t *)(const void *)((const char *)&e->cpus[cpu] + offset),
			__ATOMIC_RELAXED);
	return sum;
}

void ended_sums(const struct producer *p, uint64_t *out)
{
	for (size_t i = 0; i < ENDED_SUMS; i++)
		out[i] = sum_of(p->state, offsetof(struct ended_cpu, sums) + i * sizeof(uint64_t));
}

/* The program adds to its sums before it writes the row: there is never more in seats. */
static void put_others(struct ended *e)
{
	uint64_t *v = e->others.values;
	static const size_t offsets[END_PEAK] = {
		[END_OK + ENDED_OK] = offsetof(struct ended_cpu, ends[ENDED_OK]),
		[END_OK + ENDED_FAILED] = offsetof(struct ended_cpu, ends[ENDED_FAILED]),
		[END_OK + ENDED_KILLED] = offsetof(struct ended_cpu, ends[ENDED_KILLED]),
		[END_CPU] = offsetof(struct ended_cpu, sums[ENDED_CPU]),
		[END_READ] = offsetof(struct ended_cpu, sums[ENDED_READ]),
		[END_WRITTEN] = offsetof(struct ended_cpu, sums[ENDED_WRITTEN]),
	};

	for (size_t i = 0; i < END_PEAK; i++)
		v[i] = sum_of(e, offsets[i]) - e->seated[i];
	v[END_PEAK] = e->other_peak;
	v = e->own.values;
	v[OWN_DROPPED] = e->dropped;
	v[OWN_LATE] = sum_of(e, offsetof(struct ended_cpu, late));
	v[OWN_RUNS] = sum_of(e, offsetof(struct ended_cpu, own.runs));
	v[OWN_NS] = sum_of(e, offsetof(struct ended_cpu, own.ns)) * TALLY_OWN_EVERY;
}

/* --- the interface ---------------------------------------------------------------------------- */

/* The module whose program counts: the one that is open, or else one of our own. */
static int find_sched(struct ended *e, const struct provider_env *env, const struct producer **ret,
	struct errmsg *err)
{
	const struct registry *r = env->registry;

	for (size_t i = 0; r && i < r->n; i++) {
		if (r->producers[i].ops == &module_sched.ops && r->producers[i].is_open) {
			*ret = &r->producers[i];
			return 0;
		}
	}
	e->sched.ops = &module_sched.ops;
	*ret = &e->sched;
	return e->sched.ops->open(&e->sched, env, err);
}

static int map_rows(struct ended *e, const struct producer *sched)
{
	int cpus = module_map(sched, ENDED_CPU_MAP);
	void *view;

	e->rows_fd = module_map(sched, ENDED_ROWS_MAP);
	if (cpus < 0 || e->rows_fd < 0)
		return -ENOENT;
	view = mmap(NULL, e->ncpus * sizeof(*e->cpus), PROT_READ, MAP_SHARED, cpus, 0);
	if (view == MAP_FAILED)
		return -errno;
	e->cpus = view;
	for (uint32_t cpu = 0; cpu < e->ncpus; cpu++)
		e->tails[cpu] = head_of(e, cpu);
	return 0;
}

static int make_groups(struct ended *e)
{
	const struct seat_label other = {"comm", "other"};
	int rc = seat_take(
		&e->others, "ended", figures, END_FIGURES, &other, 1, e->start_ns, e->interval_ms);

	if (!rc)
		rc = seat_take(&e->own, "ended.rows", own_metrics, OWN_METRICS, NULL, 0,
			e->start_ns, e->interval_ms);
	return rc;
}

static void ended_free(struct ended *e)
{
	if (e->cpus)
		munmap((void *)e->cpus, e->ncpus * sizeof(*e->cpus));
	if (e->sched.state)
		e->sched.ops->close(&e->sched);
	for (size_t i = 0; e->sitters && i < ENDED_SEATS; i++)
		group_release(&e->sitters[i].group);
	group_release(&e->others);
	group_release(&e->own);
	endlog_free(e->list);
	for (size_t i = 0; e->recent && i < RECENT; i++)
		text_free(e->recent[i].path);
	free(e->sitters);
	free(e->recent);
	free(e->late);
	free(e->tails);
	free(e);
}

static struct ended *ended_new(const struct provider_env *env)
{
	struct ended *e = calloc(1, sizeof(*e));
	int ncpus = libbpf_num_possible_cpus();

	if (!e)
		return NULL;
	e->ncpus = ncpus > 0 ? (uint32_t)ncpus : 1;
	e->nrows = rows_per_cpu(e->ncpus);
	e->page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	e->ticks = sysconf(_SC_CLK_TCK);
	e->registry = env->registry;
	if (env->state_dir && !env->read_only)
		e->list = endlog_new(env->state_dir, env->boot_ns, e->page_size);
	e->interval_ms = (uint32_t)(env->interval_ns / NSEC_PER_MSEC);
	e->start_ns = (uint64_t)clock_realtime_ns();
	e->sitters = calloc(ENDED_SEATS, sizeof(*e->sitters));
	e->recent = calloc(RECENT, sizeof(*e->recent));
	e->tails = calloc(e->ncpus, sizeof(*e->tails));
	if (e->sitters && e->recent && e->tails)
		return e;
	ended_free(e);
	return NULL;
}

static int ended_open(struct producer *p, const struct provider_env *env, struct errmsg *err)
{
	struct ended *e = ended_new(env);
	const struct producer *sched;
	int rc;

	if (!e)
		return err_set(err, -ENOMEM, "ended: no memory");
	rc = find_sched(e, env, &sched, err);
	if (!rc) {
		rc = map_rows(e, sched);
		if (!rc)
			rc = make_groups(e);
		if (rc)
			err_set(err, rc, "ended: %s", strerror(-rc));
	}
	if (rc) {
		ended_free(e);
		return rc;
	}
	p->state = e;
	return 0;
}

/* Those that were known at the poll before: what they counted may have been folded since. */
static int write_list(struct ended *e)
{
	while (e->nlisted < e->ready)
		list_next(e);
	e->ready = e->nrecent;
	return e->list ? endlog_flush(e->list) : 0;
}

static int ended_get_stats(struct producer *p, struct snapshot *snap)
{
	struct ended *e = p->state;
	uint64_t begin = clock_monotonic_ns(), end;
	int rc, err = read_rows(e, begin), list_err = write_list(e);

	put_others(e);
	end = clock_monotonic_ns();
	rc = snapshot_add(snap, &e->others, begin, end);
	if (!rc)
		rc = snapshot_add(snap, &e->own, begin, end);
	for (size_t i = 0; i < e->nsitters && !rc; i++)
		rc = snapshot_add(snap, &e->sitters[i].group, begin, end);
	err = err ? err : list_err;
	return err ? err : rc;
}

/* Those of a program of our own; else they are booked to the module whose it is. */
static uint64_t ended_programs_ns(const struct producer *p)
{
	const struct ended *e = p->state;

	return e->sched.state ? module_programs_ns(&e->sched) : 0;
}

static int ended_set_level(struct producer *p, enum budget_level level)
{
	struct ended *e = p->state;

	return e->sched.state ? module_set_level(&e->sched, level) : 0;
}

static void ended_close(struct producer *p)
{
	struct ended *e = p->state;

	e->ready = e->nrecent;
	write_list(e);
	ended_free(p->state);
	p->state = NULL;
}

static void ended_describe(struct describer *d)
{
	seat_describe(d, figures, END_FIGURES, "comm, cgroup, unit, container");
	seat_describe(d, own_metrics, OWN_METRICS, NULL);
}

const struct producer_ops producer_ended = {
	.name = "ended",
	.help = "processes that ended, by name and cgroup (BPF)",
	.open = ended_open,
	.get_stats = ended_get_stats,
	.close = ended_close,
	.programs_ns = ended_programs_ns,
	.set_level = ended_set_level,
	.reads = "The program of module `sched` writes a row for each process at its end; a poll "
		 "reads those that are new, and takes no system call if there are none.",
	.describe = ended_describe,
};
