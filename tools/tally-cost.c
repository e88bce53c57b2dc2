/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tally cost: what the provider of this machine costs, by producer and by BPF program, between two snapshots of its
 * ring. Its own figures say it (tallyd_*, bpf_program_*); --audit has the kernel time every run of the programs
 * beside that, as it only does while somebody holds a descriptor for it.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/ringdir.h"
#include "tools/table.h"
#include "tools/tally.h"
#include "tools/text.h"
#include "user/lib/util.h"

#define STATE_DIR "/var/lib/tally"
#define ROWS_MAX  256u
#define NAME_SIZE 64u

/* What is known of a producer or of a program. */
enum figure {
	CPU, /* ns */
	POLLS,
	SERIES,
	BYTES, /* of the stream */
	OPEN,
	HELD, /* ns that its budget kept it from working, or had it sampled */
	COARSE,
	MEMORY, /* of maps */
	KERNEL, /* ns of its programs */
	RUNS,
	ID,
	MISSES,
	FIGURES
};

static const struct {
	const char *metric, *label;
	enum figure figure;
} sources[] = {
	{"tallyd_producer_cpu_seconds", "producer", CPU},
	{"tallyd_producer_polls", "producer", POLLS},
	{"tallyd_producer_series", "producer", SERIES},
	{"tallyd_producer_stream_bytes", "producer", BYTES},
	{"tallyd_producer_open", "producer", OPEN},
	{"tallyd_producer_held_seconds", "producer", HELD},
	{"tallyd_producer_coarse_seconds", "producer", COARSE},
	{"bpf_memory_bytes", "module", MEMORY},
	{"bpf_program_seconds", "program", CPU},
	{"bpf_program_runs", "program", RUNS},
	{"bpf_program_id", "program", ID},
	{"bpf_program_misses", "program", MISSES},
};

struct row {
	char name[NAME_SIZE], module[NAME_SIZE]; /* module: of a program */
	bool is_program;
	uint64_t v[FIGURES];
};

/* All of a snapshot. */
struct look {
	uint64_t incarnation, monotonic_ns, cpu_ns; /* cpu_ns: of the provider */
	size_t n;
	struct row rows[ROWS_MAX];
};

static struct row *find_row(struct look *l, bool is_program, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->rows[i].is_program == is_program && !strcmp(l->rows[i].name, name))
			return &l->rows[i];
	if (l->n == ROWS_MAX)
		return NULL;
	l->rows[l->n] = (struct row){.is_program = is_program};
	snprintf(l->rows[l->n].name, NAME_SIZE, "%s", name);
	return &l->rows[l->n++];
}

static void take_series(struct look *l, const char *group, const struct series *s, uint64_t value)
{
	char name[NAME_SIZE];

	if (!strcmp(s->name, "tallyd_cpu_seconds"))
		l->cpu_ns = value;
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		struct row *r;

		if (strcmp(s->name, sources[i].metric) != 0 ||
			labels_get(s->labels, sources[i].label, name, sizeof(name)))
			continue;
		r = find_row(l, !strcmp(sources[i].label, "program"), name);
		if (r && r->is_program)
			snprintf(r->module, NAME_SIZE, "%s", group);
		if (r)
			r->v[sources[i].figure] = value;
	}
}

static void take_look(struct look *l, const struct snapshot_view *v)
{
	l->incarnation = v->incarnation;
	l->monotonic_ns = v->monotonic_ns;
	l->n = 0;
	for (size_t i = 0; i < v->ngroups; i++) {
		const struct group_view *g = &v->groups[i];

		for (size_t k = 0; k < g->schema->n; k++)
			take_series(l, g->schema->group, &g->schema->series[k], g->values[k]);
	}
}

/* --- two looks ------------------------------------------------------------------------------------ */

struct search {
	uint64_t incarnation, newest_ns, from_ns, interval_ns;
	struct look *first, *last; /* first->n is 0 until it is found */
};

static int note_newest(void *arg, const struct snapshot_view *v)
{
	struct search *s = arg;

	s->interval_ns = s->incarnation == v->incarnation ? v->monotonic_ns - s->newest_ns : 0;
	s->incarnation = v->incarnation;
	s->newest_ns = v->monotonic_ns;
	return 0;
}

static int take_both(void *arg, const struct snapshot_view *v)
{
	struct search *s = arg;

	if (v->incarnation != s->incarnation || v->monotonic_ns < s->from_ns ||
		v->monotonic_ns > s->newest_ns)
		return 0;
	if (!s->first->n)
		take_look(s->first, v);
	if (v->monotonic_ns == s->newest_ns)
		take_look(s->last, v);
	return 0;
}

/*
 * The newest snapshot, and the first one of its incarnation that is at most `window` before it; -EAGAIN if they are
 * the same. from_ns: not before that, on the monotonic clock.
 */
static int find_looks(const char *state_dir, uint64_t window_ns, uint64_t from_ns, struct search *s,
	struct errmsg *e)
{
	int err = ringdir_read(state_dir, RINGDIR_NEWEST, note_newest, s, e);

	if (err)
		return err;
	s->from_ns = s->newest_ns > window_ns ? s->newest_ns - window_ns : 0;
	if (from_ns > s->from_ns)
		s->from_ns = from_ns;
	s->first->n = s->last->n = 0;
	err = ringdir_read(state_dir, RINGDIR_NEWEST, take_both, s, e);
	if (err)
		return err;
	if (!s->last->n || s->first->monotonic_ns == s->last->monotonic_ns)
		return err_set(e, -EAGAIN,
			"%s/ring: no two snapshots of the same run of the provider in that time",
			state_dir);
	return 0;
}

/* --- the audit -------------------------------------------------------------------------------------- */

struct audit {
	int fd; /* of the program; -1: it is not there */
	uint64_t runs, ns; /* in that time */
};

static int sys_bpf(int command, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static int read_stats(int fd, uint64_t *runs, uint64_t *ns)
{
	struct bpf_prog_info info = {0};
	union bpf_attr attr = {0};

	attr.info.bpf_fd = (uint32_t)fd;
	attr.info.info_len = sizeof(info);
	attr.info.info = (uint64_t)(uintptr_t)&info;
	if (sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr))
		return -errno;
	*runs = info.run_cnt;
	*ns = info.run_time_ns;
	return 0;
}

/* The kernel times all runs of all BPF programs of the machine while this descriptor is open. */
static int enable_stats(struct errmsg *e)
{
	union bpf_attr attr = {0};
	int fd;

	attr.enable_stats.type = BPF_STATS_RUN_TIME;
	fd = sys_bpf(BPF_ENABLE_STATS, &attr);
	return fd >= 0 ? fd
		       : err_set(e, errno == EPERM ? -EACCES : -errno,
				 "the kernel's statistics of BPF programs: %s; --audit needs root",
				 strerror(errno));
}

/* audits: one for each row of l. */
static int run_audit(const struct look *l, uint64_t time_ns, struct audit *audits, struct errmsg *e)
{
	int stats = enable_stats(e), found = 0;

	if (stats < 0)
		return stats;
	for (size_t i = 0; i < l->n; i++) {
		union bpf_attr attr = {0};

		audits[i] = (struct audit){.fd = -1};
		if (!l->rows[i].is_program || !l->rows[i].v[ID])
			continue;
		attr.prog_id = (uint32_t)l->rows[i].v[ID];
		audits[i].fd = sys_bpf(BPF_PROG_GET_FD_BY_ID, &attr);
		found += audits[i].fd >= 0 &&
			 !read_stats(audits[i].fd, &audits[i].runs, &audits[i].ns);
	}
	if (found)
		usleep((useconds_t)(time_ns / 1000));
	for (size_t i = 0; i < l->n; i++) {
		uint64_t runs = 0, ns = 0;

		if (audits[i].fd < 0)
			continue;
		read_stats(audits[i].fd, &runs, &ns);
		audits[i].runs = runs - audits[i].runs;
		audits[i].ns = ns - audits[i].ns;
		close(audits[i].fd);
	}
	close(stats);
	return found ? 0
		     : err_set(e, -ESRCH,
			       "none of the provider's programs is in this kernel; does it run?");
}

/* --- printing ---------------------------------------------------------------------------------------- */

struct report {
	struct look *first, *last;
	const struct audit *audits; /* one for each row of last; NULL: none */
	double seconds;
};

static uint64_t grown(const struct report *r, const struct row *row, enum figure f)
{
	const struct row *before = find_row(r->first, row->is_program, row->name);

	return before && before->v[f] <= row->v[f] ? row->v[f] - before->v[f] : row->v[f];
}

static double per_run(uint64_t ns, uint64_t runs)
{
	return runs ? (double)ns / (double)runs : 0;
}

/* Of those in that time; if none of these was timed, of all since the provider began. 0: none was ever. */
static double run_ns(const struct report *r, const struct row *row)
{
	uint64_t ns = grown(r, row, CPU);

	return ns ? per_run(ns, grown(r, row, RUNS)) : per_run(row->v[CPU], row->v[RUNS]);
}

static uint64_t program_ns(const struct report *r, const struct row *row)
{
	return (uint64_t)(run_ns(r, row) * (double)grown(r, row, RUNS));
}

/* CPU time of the programs of a module. */
static uint64_t kernel_ns(const struct report *r, const char *module)
{
	uint64_t ns = 0;

	for (size_t i = 0; i < r->last->n; i++)
		if (r->last->rows[i].is_program && !strcmp(r->last->rows[i].module, module))
			ns += program_ns(r, &r->last->rows[i]);
	return ns;
}

static char *share(const struct report *r, uint64_t ns, char out[32])
{
	snprintf(out, 32, "%.4f %%", (double)ns / r->seconds / 1e7);
	return out;
}

/* What its budget did to it, in shares of the time: "held 40 %, sampled 13 %". */
static char *limits(const struct report *r, const struct row *row, char out[64])
{
	double held = (double)grown(r, row, HELD) / r->seconds / 1e7,
	       coarse = (double)grown(r, row, COARSE) / r->seconds / 1e7;
	int n = 0;

	out[0] = '\0';
	if (held > 0)
		n = snprintf(out, 64, "held %.0f %%", held);
	if (coarse > 0)
		snprintf(out + n, 64 - (size_t)n, "%ssampled %.0f %%", n ? ", " : "", coarse);
	return out;
}

static int print_producers(const struct report *r)
{
	static const char *const heading[] = {"PRODUCER", "CPU", "A POLL", "IN KERNEL", "SERIES",
		"BYTES A POLL", "MAPS", "BUDGET"};
	uint64_t all = r->last->cpu_ns - r->first->cpu_ns, producers = 0;
	char cpu[32], poll[32], kernel[32], series[32], bytes[32], maps[32], budget[64];
	struct table t;
	int err;

	table_init(&t, 0x7e, 8, heading);
	for (size_t i = 0; i < r->last->n; i++) {
		const struct row *row = &r->last->rows[i];
		uint64_t ns = grown(r, row, CPU), polls = grown(r, row, POLLS);

		if (row->is_program || !row->v[OPEN])
			continue;
		producers += ns;
		snprintf(poll, sizeof(poll), "%.1f us", per_run(ns, polls) / 1e3);
		snprintf(series, sizeof(series), "%lu", (unsigned long)row->v[SERIES]);
		snprintf(bytes, sizeof(bytes), "%.0f", per_run(grown(r, row, BYTES), polls));
		snprintf(
			maps, sizeof(maps), "%lu K", (unsigned long)(row->v[MEMORY] + 1023) / 1024);
		table_add(&t, (const char *[]){row->name, share(r, ns, cpu), poll,
				      share(r, kernel_ns(r, row->name), kernel), series, bytes,
				      row->v[MEMORY] ? maps : "", limits(r, row, budget)});
	}
	table_add(&t, (const char *[]){"encoding, ring, link",
			      share(r, all > producers ? all - producers : 0, cpu), "", "", "", "",
			      "", ""});
	table_add(&t, (const char *[]){"tallyd", share(r, all, cpu), "", "", "", "", "", ""});
	err = table_print(&t, stdout);
	table_release(&t);
	return err;
}

static int print_programs(const struct report *r)
{
	static const char *const heading[] = {"PROGRAM", "RUNS/S", "NS A RUN", "CPU", "MISSED",
		"AUDIT RUNS/S", "AUDIT NS", "DIFFERENCE"};
	char rate[32], ns[32], cpu[32], missed[32], audit_rate[32], audit_ns[32], difference[32];
	struct table t;
	int err;

	table_init(&t, 0xfe, r->audits ? 8 : 5, heading);
	for (size_t i = 0; i < r->last->n; i++) {
		const struct row *row = &r->last->rows[i];
		const struct audit *a = r->audits ? &r->audits[i] : NULL;
		uint64_t runs = grown(r, row, RUNS);
		double ours = run_ns(r, row), theirs = 0;

		if (!row->is_program)
			continue;
		snprintf(rate, sizeof(rate), "%.1f", (double)runs / r->seconds);
		snprintf(ns, sizeof(ns), ours > 0 ? "%.0f" : "-", ours);
		snprintf(missed, sizeof(missed), "%lu", (unsigned long)grown(r, row, MISSES));
		if (a) {
			theirs = per_run(a->ns, a->runs);
			snprintf(audit_rate, sizeof(audit_rate), "%.1f",
				(double)a->runs / r->seconds);
			snprintf(audit_ns, sizeof(audit_ns), theirs > 0 ? "%.0f" : "-", theirs);
			snprintf(difference, sizeof(difference),
				ours > 0 && theirs > 0 ? "%+.1f %%" : "-",
				(ours / theirs - 1) * 100);
		}
		table_add(
			&t, (const char *[]){row->name, rate, ns, share(r, grown(r, row, CPU), cpu),
				    missed, audit_rate, audit_ns, difference});
	}
	err = table_print(&t, stdout);
	table_release(&t);
	return err;
}

static void print_json(const struct report *r)
{
	const char *comma = "";

	printf("{\"seconds\": %.6f, \"cpu_ns\": %lu,\n\"producers\": [", r->seconds,
		(unsigned long)(r->last->cpu_ns - r->first->cpu_ns));
	for (size_t i = 0; i < r->last->n; i++) {
		const struct row *row = &r->last->rows[i];

		if (row->is_program || !row->v[OPEN])
			continue;
		printf("%s\n{\"producer\": ", comma);
		text_put_json(stdout, row->name);
		printf(", \"cpu_ns\": %lu, \"polls\": %lu, \"series\": %lu, \"stream_bytes\": %lu, "
		       "\"kernel_cpu_ns\": %lu, \"map_bytes\": %lu, \"held_ns\": %lu, "
		       "\"sampled_ns\": %lu}",
			(unsigned long)grown(r, row, CPU), (unsigned long)grown(r, row, POLLS),
			(unsigned long)row->v[SERIES], (unsigned long)grown(r, row, BYTES),
			(unsigned long)kernel_ns(r, row->name), (unsigned long)row->v[MEMORY],
			(unsigned long)grown(r, row, HELD), (unsigned long)grown(r, row, COARSE));
		comma = ",";
	}
	printf("],\n\"programs\": [");
	comma = "";
	for (size_t i = 0; i < r->last->n; i++) {
		const struct row *row = &r->last->rows[i];

		if (!row->is_program)
			continue;
		printf("%s\n{\"program\": ", comma);
		text_put_json(stdout, row->name);
		printf(", \"producer\": ");
		text_put_json(stdout, row->module);
		printf(", \"runs\": %lu, \"cpu_ns\": %lu, \"misses\": %lu",
			(unsigned long)grown(r, row, RUNS), (unsigned long)program_ns(r, row),
			(unsigned long)grown(r, row, MISSES));
		if (r->audits)
			printf(", \"audit_runs\": %lu, \"audit_cpu_ns\": %lu",
				(unsigned long)r->audits[i].runs, (unsigned long)r->audits[i].ns);
		printf("}");
		comma = ",";
	}
	printf("]}\n");
}

/* --- the command ------------------------------------------------------------------------------------- */

/* The audit's time must be behind in the ring. */
static int wait_for(const char *dir, uint64_t until_ns, struct search *s, struct errmsg *e)
{
	uint64_t limit = until_ns + 3 * s->interval_ns + NSEC_PER_SEC;
	int err = 0;

	do {
		usleep(50000);
		err = ringdir_read(dir, RINGDIR_NEWEST, note_newest, s, e);
	} while (!err && s->newest_ns < until_ns && clock_monotonic_ns() < limit);
	return err;
}

static int look_and_audit(const char *dir, uint64_t window_ns, uint64_t audit_ns, struct report *r,
	struct audit *audits, struct errmsg *e)
{
	struct search s = {.first = r->first, .last = r->last};
	uint64_t begin = clock_monotonic_ns();
	int err = find_looks(dir, window_ns, 0, &s, e);

	if (!err && audit_ns) {
		err = run_audit(r->last, audit_ns, audits, e);
		if (!err)
			err = wait_for(dir, clock_monotonic_ns(), &s, e);
		if (!err)
			err = find_looks(dir, UINT64_MAX, begin - s.interval_ns, &s, e);
		r->audits = audits;
	}
	r->seconds = (double)(r->last->monotonic_ns - r->first->monotonic_ns) / 1e9;
	return err;
}

int cmd_cost(int argc, char **argv)
{
	char *dir = NULL;
	uint64_t window_ns = 60 * NSEC_PER_SEC, audit_ns = 0;
	bool json = false;
	const struct conf_option table[] = {
		{"state-dir", CONF_STRING, &dir, "DIR", "of tallyd; /var/lib/tally by default"},
		{"window", CONF_DURATION, &window_ns, "TIME",
			"how far back from the newest snapshot", .min = NSEC_PER_SEC / 10,
			.max = 86400 * NSEC_PER_SEC},
		{"audit", CONF_DURATION, &audit_ns, "TIME",
			"let the kernel time all runs of the programs for so long (needs root)",
			.min = NSEC_PER_SEC / 10, .max = 600 * NSEC_PER_SEC},
		{"json", CONF_BOOL, &json, NULL, "print JSON"},
		{0},
	};
	const struct conf_program prog = {
		.name = "tally cost",
		.summary = "Shows what the provider of this machine costs, by producer and by BPF "
			   "program.",
		.usage = "[OPTION]...",
		.options = table,
	};
	static struct look first, last;
	static struct audit audits[ROWS_MAX];
	struct report r = {.first = &first, .last = &last};
	struct errmsg e = {""};
	int operand, code, err;

	if (!tally_options(&prog, argc, argv, &operand, &code))
		return code;
	if (argv[operand]) {
		free(dir);
		return tally_usage("cost", "'%s': it takes no operands", argv[operand]);
	}
	err = look_and_audit(dir ? dir : STATE_DIR, window_ns, audit_ns, &r, audits, &e);
	if (!err && json) {
		print_json(&r);
	} else if (!err) {
		printf("%.1f s\n\n", r.seconds);
		err = print_producers(&r);
		printf("\n");
		err = err ? err : print_programs(&r);
	}
	free(dir);
	return err ? tally_fail(err, &e) : 0;
}
