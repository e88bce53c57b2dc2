/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tally live [DIR]: counters moving, straight from the segments. No daemon, no history, no root: the
 * first thing to try with a new counter.
 *
 * Each look opens the segments anew and sums them per program, user and metric. On a terminal the view
 * is redrawn in place until interrupted; elsewhere one look is printed, or --count of them.
 */
#include <dirent.h>
#include <inttypes.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/table.h"
#include "tools/tally.h"
#include "tools/text.h"
#include "user/lib/segfile.h"
#include "user/lib/util.h"

#define SEGMENT_DIR "/run/tally/seg"

/* One line of the view. */
struct line {
	char program[TALLY_SEGMENT_NAME_MAX + 1];
	char user[64];
	char name[TALLY_SEGMENT_NAME_MAX + 1]; /* of the metric */
	char help[TALLY_SEGMENT_NAME_MAX + 1];
	uid_t uid;
	uint8_t type;
	int8_t scale;
	unsigned living, dead; /* segments that hold it */
	uint64_t value;
	uint64_t before; /* value at the look before */
	bool seen_before;
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

static struct line *find_line(
	struct look *l, const struct segfile *s, const struct segfile_metric *m)
{
	for (size_t i = 0; i < l->n; i++) {
		struct line *line = &l->lines[i];

		if (line->uid == s->uid && line->type == m->type && line->scale == m->scale &&
			strcmp(line->name, m->name) == 0 && strcmp(line->program, s->program) == 0)
			return line;
	}
	return NULL;
}

static int add_metric(struct look *l, const struct segfile *s, size_t i, bool first_of_file)
{
	const struct segfile_metric *m = &s->metrics[i];
	struct line *line = find_line(l, s, m);

	if (!line) {
		if (l->n == l->cap) {
			size_t cap = l->cap ? 2 * l->cap : 64;
			struct line *more = reallocarray(l->lines, cap, sizeof(*more));

			if (!more)
				return -ENOMEM;
			l->lines = more;
			l->cap = cap;
		}
		line = &l->lines[l->n++];
		*line = (struct line){.uid = s->uid, .type = m->type, .scale = m->scale};
		snprintf(line->program, sizeof(line->program), "%s", s->program);
		snprintf(line->name, sizeof(line->name), "%s", m->name);
		snprintf(line->help, sizeof(line->help), "%s", m->help);
		user_name(s->uid, line->user, sizeof(line->user));
	}
	/* a gauge of the dead is over */
	if (m->type != TALLY_TYPE_GAUGE || !s->dead)
		line->value += s->values[i];
	if (first_of_file)
		*(s->dead ? &line->dead : &line->living) += 1;
	return 0;
}

/* The same name may stand twice in a file: its segment counts once. */
static bool name_seen(const struct segfile *s, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(s->metrics[k].name, s->metrics[i].name) == 0)
			return true;
	return false;
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
		if (add_metric(l, s, i, !name_seen(s, i)) < 0)
			r = -ENOMEM;
	segfile_close(s);
	return r < 0 ? r : 0;
}

static int compare_lines(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	int c = strcmp(x->program, y->program);

	if (c == 0)
		c = (x->uid > y->uid) - (x->uid < y->uid);
	return c ? c : strcmp(x->name, y->name);
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
		if (entry->d_name[0] != '.')
			r = add_file(&l, dirfd(d), entry->d_name, &scratch);
	closedir(d);
	buf_release(&scratch);
	if (r < 0) {
		free(l.lines);
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

static struct series line_series(struct line *l)
{
	return (struct series){
		.name = l->name,
		.labels = (char *)"",
		.type = l->type == TALLY_TYPE_GAUGE ? METRIC_GAUGE : METRIC_COUNTER,
		.kind = l->type == TALLY_TYPE_GAUGE ? VALUE_I64 : VALUE_U64,
		.scale = l->scale,
	};
}

/* Increase per second since the look before; empty for gauges and new lines. */
static void format_rate(const struct line *l, uint64_t elapsed_ns, char *out, size_t size)
{
	double per_second, scale = 1;

	out[0] = '\0';
	if (!l->seen_before || l->type == TALLY_TYPE_GAUGE || elapsed_ns == 0)
		return;
	if (l->value < l->before) { /* a segment went away between the looks */
		snprintf(out, size, "-");
		return;
	}
	for (int i = l->scale; i < 0; i++)
		scale /= 10;
	for (int i = 0; i < l->scale; i++)
		scale *= 10;
	per_second = (double)(l->value - l->before) * 1e9 / (double)elapsed_ns * scale;
	snprintf(out, size, per_second < 100 ? "%.2f" : "%.0f", per_second);
}

static int show_table(struct look *l, uint64_t elapsed_ns, size_t max_rows)
{
	static const char *const heading[] = {
		"PROGRAM", "USER", "PROCS", "METRIC", "VALUE", "PER SECOND", "HELP"};
	struct table t;
	int r;

	table_init(&t, 1u << 2 | 1u << 4 | 1u << 5, 7, heading);
	for (size_t i = 0; i < l->n && i < max_rows; i++) {
		struct line *line = &l->lines[i];
		struct series s = line_series(line);
		char procs[40], value[96], rate[48], name[300];

		/* a segment is a process and its forks */
		snprintf(procs, sizeof(procs), line->dead ? "%u+%u dead" : "%u", line->living,
			line->dead);
		value_format(line->value, s.kind, s.scale, value, sizeof(value));
		format_rate(line, elapsed_ns, rate, sizeof(rate));
		series_sample_name(&s, name, sizeof(name));
		table_add(&t, (const char *const[]){line->program, line->user, procs, name, value,
				      rate, line->help});
	}
	r = table_print(&t, stdout);
	table_release(&t);
	if (l->n > max_rows)
		printf("... and %zu more\n", l->n - max_rows);
	return r;
}

static void show_json(struct look *l)
{
	printf("[");
	for (size_t i = 0; i < l->n; i++) {
		struct line *line = &l->lines[i];
		struct series s = line_series(line);
		char value[96], name[300];

		series_sample_name(&s, name, sizeof(name));
		value_format(line->value, s.kind, s.scale, value, sizeof(value));
		printf("%s\n {\"program\": ", i ? "," : "");
		text_put_json(stdout, line->program);
		printf(", \"user\": ");
		text_put_json(stdout, line->user);
		printf(", \"metric\": ");
		text_put_json(stdout, name);
		printf(", \"type\": \"%s\", \"value\": %s, \"living\": %u, \"dead\": %u}",
			s.type == METRIC_GAUGE ? "gauge" : "counter", value, line->living,
			line->dead);
	}
	printf("\n]\n");
}

/* Lines of the terminal that the table may take. */
static size_t terminal_rows(void)
{
	struct winsize w;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_row < 8)
		return SIZE_MAX;
	return w.ws_row - 5u;
}

static void show(struct look *l, const struct options *o, uint64_t elapsed_ns, bool redraw)
{
	if (o->json) {
		show_json(l);
		return;
	}
	if (redraw)
		printf("\033[H\033[J%s: %zu %s; ctrl-c ends\n\n", o->dir, l->n,
			l->n == 1 ? "metric" : "metrics");
	if (l->n)
		show_table(l, elapsed_ns, redraw ? terminal_rows() : SIZE_MAX);
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
			free(now.lines);
			break;
		}
		free(before.lines);
		before = now;
	}
	free(before.lines);
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
