/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tally live [DIR]: counters moving, straight from the segments. No daemon, no history, no root: the
 * first thing to try with a new counter.
 *
 * Each look opens the segments anew and sums them per program, user, cgroup and series. A histogram is
 * one line: how many values, and what its buckets say of them. On a terminal the view is redrawn in
 * place until interrupted; elsewhere one look is printed, or --count of them.
 */
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "include/tally/histogram.h"
#include "tools/table.h"
#include "tools/tally.h"
#include "tools/text.h"
#include "user/lib/quantile.h"
#include "user/lib/segfile.h"
#include "user/lib/util.h"
#include "user/lib/word.h"

#define SEGMENT_DIR "/run/tally/seg"

/* One line of the view: a series, or all of a histogram. */
struct line {
	char program[TALLY_SEGMENT_NAME_MAX + 1];
	char user[64];
	char *cgroup; /* "" if unknown */
	char *series; /* sample name with labels */
	char *help;
	bool seconds; /* is its unit */
	uid_t uid;
	uint8_t type; /* enum tally_type */
	int8_t scale;
	uint8_t flags;
	struct histogram_shape shape;
	unsigned living, dead; /* segments that hold it */
	const struct segfile *last; /* the one that was counted last; for comparison alone */
	uint64_t value; /* of a histogram how many values */
	uint64_t before; /* value at the look before */
	bool seen_before;
	uint64_t sum; /* of a histogram's values */
	uint64_t *buckets; /* of a histogram, else NULL */
	uint32_t nbuckets;
};

struct look {
	struct line *lines;
	size_t n, cap;
	uint64_t at_ns; /* monotonic */
	unsigned refused;
	char reason[600]; /* of the last one that was refused */
};

struct options {
	const char *dir;
	uint64_t interval_ns;
	uint32_t count;
	bool json;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* --- looking ---------------------------------------------------------------------------------- */

static void user_name(uid_t uid, char *out, size_t size)
{
	const struct passwd *pw = getpwuid(uid);

	if (pw)
		snprintf(out, size, "%s", pw->pw_name);
	else
		snprintf(out, size, "%u", (unsigned)uid);
}

static bool is_gauge(uint8_t type)
{
	return type == TALLY_TYPE_GAUGE || type == TALLY_TYPE_GAUGE_DOUBLE ||
	       type == TALLY_TYPE_INFO;
}

static void release_lines(struct look *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->lines[i].cgroup);
		free(l->lines[i].series);
		free(l->lines[i].help);
		free(l->lines[i].buckets);
	}
	free(l->lines);
}

/* The name of the sample, with labels, as OpenMetrics has it. */
static char *series_text(const struct segfile_metric *m)
{
	char name[TALLY_SEGMENT_NAME_MAX + 8], *text = NULL;
	const char *suffix = m->type == TALLY_TYPE_COUNTER     ? "_total"
			     : m->type == TALLY_TYPE_HISTOGRAM ? "_count"
			     : m->type == TALLY_TYPE_INFO      ? "_info"
							       : "";

	snprintf(name, sizeof(name), "%s%s", m->name, suffix);
	if (asprintf(&text, *m->labels ? "%s{%s}" : "%s", name, m->labels) < 0)
		return NULL;
	return text;
}

static struct line *find_line(
	struct look *l, const struct segfile *s, const struct segfile_metric *m, const char *series)
{
	for (size_t i = l->n; i-- > 0;) {
		struct line *line = &l->lines[i];

		if (line->uid == s->uid && line->type == m->type && line->scale == m->scale &&
			line->shape.lo == m->lo && line->shape.hi == m->hi &&
			line->shape.bits == m->bits && !strcmp(line->series, series) &&
			!strcmp(line->program, s->program) && !strcmp(line->cgroup, s->cgroup))
			return line;
	}
	return NULL;
}

/* A new line; it takes the text over, also if there is no memory for it. */
static struct line *add_line(
	struct look *l, const struct segfile *s, const struct segfile_metric *m, char *series)
{
	struct line *line;

	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		struct line *more = reallocarray(l->lines, cap, sizeof(*more));

		if (!more) {
			free(series);
			return NULL;
		}
		l->lines = more;
		l->cap = cap;
	}
	line = &l->lines[l->n++];
	*line = (struct line){.uid = s->uid,
		.type = m->type,
		.scale = m->scale,
		.flags = m->flags,
		.shape = {m->lo, m->hi, m->bits},
		.series = series,
		.cgroup = strdup(s->cgroup),
		.help = strdup(m->help),
		.seconds = strcmp(m->unit, "seconds") == 0};
	snprintf(line->program, sizeof(line->program), "%s", s->program);
	user_name(s->uid, line->user, sizeof(line->user));
	if (m->type == TALLY_TYPE_HISTOGRAM) {
		line->nbuckets = m->cells - 1;
		line->buckets = calloc(line->nbuckets, sizeof(*line->buckets));
	}
	return line->cgroup && line->help && (line->buckets || !line->nbuckets) ? line : NULL;
}

static void add_value(struct line *line, const struct segfile *s, const struct segfile_metric *m)
{
	const uint64_t *v = s->values + m->word;

	if (m->type == TALLY_TYPE_INFO)
		line->value = 1;
	else if (m->type == TALLY_TYPE_HISTOGRAM) {
		line->sum += v[0];
		for (uint32_t i = 0; i < line->nbuckets; i++)
			line->buckets[i] += v[1 + i];
		line->value += segfile_count(s, m);
	} else if (m->type == TALLY_TYPE_GAUGE_DOUBLE)
		line->value = word_of_double(double_of_word(line->value) + double_of_word(*v));
	else if (!(m->flags & TALLY_FLAG_PEAK))
		line->value += *v;
	else if ((int64_t)*v > (int64_t)line->value)
		line->value = *v;
}

static int add_metric(struct look *l, const struct segfile *s, const struct segfile_metric *m)
{
	char *series = series_text(m);
	struct line *line = series ? find_line(l, s, m, series) : NULL;

	if (line)
		free(series);
	else if (series)
		line = add_line(l, s, m, series);
	if (!line)
		return -ENOMEM;
	/* a gauge of the dead is over */
	if (!is_gauge(m->type) || !s->dead)
		add_value(line, s, m);
	/* the same name may stand twice in a file: its segment counts once */
	if (line->last != s)
		*(s->dead ? &line->dead : &line->living) += 1;
	line->last = s;
	return 0;
}

/* PROGRAM.UID.refused counts starts without a segment: it is none. */
static bool is_segment_name(const char *name)
{
	static const char end[] = ".refused";
	size_t n = strlen(name);

	return name[0] != '.' && (n < sizeof(end) || strcmp(name + n - sizeof(end) + 1, end) != 0);
}

static int add_file(struct look *l, int dirfd, const char *name, struct buf *scratch)
{
	struct errmsg e = {""};
	struct segfile *s;
	int r = segfile_open(dirfd, name, &s, &e);

	if (r == -EAGAIN || r == -ENOENT)
		return 0;
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		l->refused++;
		snprintf(l->reason, sizeof(l->reason), "%.80s: %s", name, e.text);
		return 0;
	}
	segfile_test_dead(s);
	r = segfile_read(s, scratch) < 0 ? 0 : 1; /* cut short just now: nothing to show */
	for (size_t i = 0; r == 1 && i < s->n; i++)
		r = add_metric(l, s, &s->metrics[i]) < 0 ? -ENOMEM : 1;
	for (size_t i = 0; i < l->n; i++)
		l->lines[i].last = NULL;
	segfile_close(s);
	return r < 0 ? r : 0;
}

static int compare_lines(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	int c = strcmp(x->program, y->program);

	if (c == 0)
		c = (x->uid > y->uid) - (x->uid < y->uid);
	if (c == 0)
		c = strcmp(x->cgroup, y->cgroup);
	if (c == 0)
		c = strcmp(x->series, y->series);
	return c ? c : (x->type > y->type) - (x->type < y->type);
}

static int look_at(const char *dir, struct look *ret, struct errmsg *e)
{
	struct look l = {.at_ns = clock_monotonic_ns()};
	struct buf scratch = BUF_INIT;
	DIR *d = opendir(dir);
	struct dirent *entry;
	int r = 0;

	if (!d)
		return err_set(e, -errno,
			"%s: %s. Name the directory of the segments, or set TALLY_DIR%s", dir,
			strerror(errno),
			errno == EACCES
				? "; the one of the system is listed by root and group tally"
				: "");
	while (r == 0 && (entry = readdir(d)))
		if (is_segment_name(entry->d_name))
			r = add_file(&l, dirfd(d), entry->d_name, &scratch);
	closedir(d);
	buf_release(&scratch);
	if (r < 0) {
		release_lines(&l);
		return err_set(e, r, "out of memory");
	}
	if (l.n)
		qsort(l.lines, l.n, sizeof(*l.lines), compare_lines);
	*ret = l;
	return 0;
}

/* Remembers the values of the look before, for rates. */
static void join_looks(struct look *now, const struct look *before)
{
	for (size_t i = 0, k = 0; i < now->n; i++) {
		while (k < before->n && compare_lines(&before->lines[k], &now->lines[i]) < 0)
			k++;
		if (k < before->n && compare_lines(&before->lines[k], &now->lines[i]) == 0) {
			now->lines[i].before = before->lines[k].value;
			now->lines[i].seen_before = true;
		}
	}
}

/* --- showing ---------------------------------------------------------------------------------- */

/* How the value is to be read. */
static uint8_t line_kind(const struct line *l)
{
	return l->type == TALLY_TYPE_GAUGE_DOUBLE ? VALUE_F64
	       : l->type == TALLY_TYPE_GAUGE      ? VALUE_I64
						  : VALUE_U64;
}

static double scale_of(const struct line *l)
{
	return pow(10, l->scale);
}

static void format_value(const struct line *l, char *out, size_t size)
{
	value_format(l->value, line_kind(l), l->buckets ? 0 : l->scale, out, size);
}

/* Increase per second since the look before; empty for gauges and new lines. */
static void format_rate(const struct line *l, uint64_t elapsed_ns, char *out, size_t size)
{
	double per_second;

	out[0] = '\0';
	if (!l->seen_before || is_gauge(l->type) || elapsed_ns == 0)
		return;
	if (l->value < l->before) { /* a segment went away between the looks */
		snprintf(out, size, "-");
		return;
	}
	per_second = (double)(l->value - l->before) * 1e9 / (double)elapsed_ns;
	if (!l->buckets)
		per_second *= scale_of(l);
	snprintf(out, size, per_second < 100 ? "%.2f" : "%.0f", per_second);
}

/* A value of a histogram in three digits; seconds as people say them. */
static void format_short(const struct line *l, double value, char *out, size_t size)
{
	static const char *const units[] = {"s", "ms", "us", "ns"};
	size_t i = 0;

	value *= scale_of(l);
	while (l->seconds && value > 0 && value < 1 && i < 3) {
		value *= 1000;
		i++;
	}
	snprintf(out, size, l->seconds ? "%.3g %s" : "%.3g", value, units[i]);
}

/* Of a histogram its mean and quantiles, then the help. */
static char *describe(const struct line *l)
{
	static const double shares[] = {0.5, 0.9, 0.99};
	char mean[32], q[3][32], *text = NULL;

	if (!l->buckets || !l->value)
		return strdup(l->help);
	format_short(l, (double)l->sum / (double)l->value, mean, sizeof(mean));
	for (size_t i = 0; i < 3; i++)
		format_short(
			l, histogram_quantile(l->buckets, l->shape, shares[i]), q[i], sizeof(q[i]));
	if (asprintf(&text, "mean %s, p50 %s, p90 %s, p99 %s: %s", mean, q[0], q[1], q[2],
		    l->help) < 0)
		return NULL;
	return text;
}

static bool any_cgroup(const struct look *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (*l->lines[i].cgroup)
			return true;
	return false;
}

/* Lines are cut where the terminal ends, so that each stays one. */
static void print_cut(const char *text, size_t columns)
{
	size_t at = 0;

	for (; *text; text++) {
		at = *text == '\n' ? 0 : at + ((*text & 0xc0) != 0x80);
		if (at <= columns)
			putchar(*text);
	}
}

static int print_table(const struct table *t, size_t columns)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	int r = f ? table_print(t, f) : -ENOMEM;

	if (f && fclose(f) != 0)
		r = -ENOMEM;
	if (r == 0)
		print_cut(text, columns);
	free(text);
	return r;
}

static int show_table(struct look *l, uint64_t elapsed_ns, size_t max_rows, size_t columns)
{
	static const char *const heading[] = {
		"PROGRAM", "USER", "CGROUP", "PROCS", "METRIC", "VALUE", "PER SECOND", "HELP"};
	bool cgroups = any_cgroup(l);
	struct table t;
	int r;

	if (cgroups)
		table_init(&t, 1u << 3 | 1u << 5 | 1u << 6, 8, heading);
	else
		table_init(&t, 1u << 2 | 1u << 4 | 1u << 5, 7,
			(const char *const[]){"PROGRAM", "USER", "PROCS", "METRIC", "VALUE",
				"PER SECOND", "HELP"});
	for (size_t i = 0; i < l->n && i < max_rows; i++) {
		struct line *line = &l->lines[i];
		char procs[40], value[96], rate[48], *help = describe(line);
		const char *row[8];
		size_t n = 0;

		/* a segment is a process and its forks */
		snprintf(procs, sizeof(procs), line->dead ? "%u+%u dead" : "%u", line->living,
			line->dead);
		format_value(line, value, sizeof(value));
		format_rate(line, elapsed_ns, rate, sizeof(rate));
		row[n++] = line->program;
		row[n++] = line->user;
		if (cgroups)
			row[n++] = line->cgroup;
		row[n++] = procs;
		row[n++] = line->series;
		row[n++] = value;
		row[n++] = rate;
		row[n++] = help ? help : line->help;
		table_add(&t, row);
		free(help);
	}
	r = print_table(&t, columns);
	table_release(&t);
	if (l->n > max_rows)
		printf("... and %zu more\n", l->n - max_rows);
	return r;
}

/* Sum, quantiles and the buckets that are not empty, each with its upper bound. */
static void show_json_buckets(const struct line *l)
{
	static const struct {
		const char *name;
		double q;
	} quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}};
	char text[96];
	bool first = true;

	value_format(l->sum, VALUE_U64, l->scale, text, sizeof(text));
	printf(", \"sum\": %s", text);
	for (size_t i = 0; l->value && i < 3; i++)
		printf(", \"%s\": %.6g", quantiles[i].name,
			histogram_quantile(l->buckets, l->shape, quantiles[i].q) * scale_of(l));
	printf(", \"buckets\": [");
	for (uint32_t i = 0; i < l->nbuckets; i++) {
		uint64_t bound = tally_histogram_bound(i, l->shape.lo, l->shape.hi, l->shape.bits);

		if (!l->buckets[i])
			continue;
		value_format(bound, VALUE_U64, l->scale, text, sizeof(text));
		printf("%s[%s%s%s, %" PRIu64 "]", first ? "" : ", ",
			bound == UINT64_MAX ? "\"" : "", bound == UINT64_MAX ? "+Inf" : text,
			bound == UINT64_MAX ? "\"" : "", l->buckets[i]);
		first = false;
	}
	printf("]");
}

/* JSON has no NaN and no infinities. */
static bool is_number(const char *text)
{
	return text[0] != 'N' && text[0] != '+' && !(text[0] == '-' && text[1] == 'I');
}

static void show_json(struct look *l)
{
	printf("[");
	for (size_t i = 0; i < l->n; i++) {
		struct line *line = &l->lines[i];
		char value[96];

		format_value(line, value, sizeof(value));
		printf("%s\n {\"program\": ", i ? "," : "");
		text_put_json(stdout, line->program);
		printf(", \"user\": ");
		text_put_json(stdout, line->user);
		if (*line->cgroup) {
			printf(", \"cgroup\": ");
			text_put_json(stdout, line->cgroup);
		}
		printf(", \"metric\": ");
		text_put_json(stdout, line->series);
		printf(", \"type\": \"%s\", \"value\": %s",
			line->buckets          ? "histogram"
			: is_gauge(line->type) ? "gauge"
					       : "counter",
			is_number(value) ? value : "null");
		if (line->buckets)
			show_json_buckets(line);
		printf(", \"living\": %u, \"dead\": %u}", line->living, line->dead);
	}
	printf("\n]\n");
}

/* Lines and columns of the terminal that the table may take; no limit where it is none. */
static void terminal_size(size_t *ret_rows, size_t *ret_columns)
{
	struct winsize w;

	*ret_rows = *ret_columns = SIZE_MAX;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0)
		return;
	if (w.ws_row >= 8)
		*ret_rows = w.ws_row - 5u;
	if (w.ws_col >= 20)
		*ret_columns = w.ws_col;
}

static void show(struct look *l, const struct options *o, uint64_t elapsed_ns, bool redraw)
{
	size_t rows = SIZE_MAX, columns = SIZE_MAX;

	if (o->json) {
		show_json(l);
		return;
	}
	if (redraw) {
		terminal_size(&rows, &columns);
		printf("\033[H\033[J%s: %zu series; ctrl-c ends\n\n", o->dir, l->n);
	}
	if (l->n)
		show_table(l, elapsed_ns, rows, columns);
	else
		printf("No segment in %s. Start a program that counts with TALLY_DIR=%s.\n", o->dir,
			o->dir);
	if (l->refused) {
		fprintf(redraw ? stdout : stderr,
			l->refused == 1 ? "%u file refused: " : "%u files refused, the last one ",
			l->refused);
		text_put_clean(redraw ? stdout : stderr, l->reason);
		fputc('\n', redraw ? stdout : stderr);
	}
}

static int run(const struct options *o, struct errmsg *e)
{
	bool redraw = isatty(STDOUT_FILENO) && !o->json;
	uint32_t count = o->count ? o->count : redraw ? UINT32_MAX : 1;
	struct look before = {0}, now;
	int r = 0;

	for (uint32_t i = 0; i < count && !interrupted; i++) {
		if (i > 0)
			poll(NULL, 0, (int)(o->interval_ns / NSEC_PER_MSEC));
		if (interrupted)
			break;
		r = look_at(o->dir, &now, e);
		if (r < 0)
			break;
		join_looks(&now, &before);
		show(&now, o, i ? now.at_ns - before.at_ns : 0, redraw);
		if (fflush(stdout) != 0) {
			r = err_set(e, -errno, "writing: %s", strerror(errno));
			release_lines(&now);
			break;
		}
		release_lines(&before);
		before = now;
	}
	release_lines(&before);
	return r;
}

int cmd_live(int argc, char **argv)
{
	struct options o = {.interval_ns = NSEC_PER_SEC};
	const struct conf_option table[] = {
		{"interval", CONF_DURATION, &o.interval_ns, "TIME",
			"between two looks (default 1s)", .min = 10 * NSEC_PER_MSEC,
			.max = 3600 * NSEC_PER_SEC},
		{"count", CONF_U32, &o.count, "N",
			"looks to take (default: until interrupted on a terminal, else 1)"},
		{"json", CONF_BOOL, &o.json, NULL, "print a JSON array for each look"},
		{NULL},
	};
	const struct conf_program prog = {
		.name = "tally live",
		.summary = "Shows counters moving, straight from the segments of running programs.",
		.usage = "[OPTION]... [DIR]",
		.epilog = "DIR is the directory of the segments: the programs' TALLY_DIR, by "
			  "default\n"
			  "$TALLY_DIR or " SEGMENT_DIR
			  ". No daemon and no root is needed. A program's\n"
			  "processes are summed; PROCS counts segments, which forks share.",
		.options = table,
	};
	struct sigaction sa = {.sa_handler = on_interrupt};
	const char *env = getenv("TALLY_DIR");
	struct errmsg e = {""};
	int operand, code, r;

	if (!tally_options(&prog, argc, argv, &operand, &code))
		return code;
	if (argc - operand > 1)
		return tally_usage(prog.name, "one directory, not %d", argc - operand);
	o.dir = operand < argc ? argv[operand] : env && *env ? env : SEGMENT_DIR;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	r = run(&o, &e);
	return r < 0 ? tally_fail(r, &e) : CONF_EXIT_OK;
}
