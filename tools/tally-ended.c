/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tally ended: the processes that ended last, from the list that tallyd keeps in its state directory
 * (user/provider/kernel/endlog.c has its fields).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/table.h"
#include "tools/tally.h"
#include "tools/text.h"

#define UNSORTED 8192u /* lines that may stand before ones that ended earlier: those of a poll */

enum field {
	F_END,
	F_RUN,
	F_CODE,
	F_USER,
	F_SYSTEM,
	F_PEAK,
	F_READ,
	F_WRITTEN,
	F_PID,
	F_PARENT,
	F_UID,
	F_COMM,
	F_CGROUP,
	F_PROGRAM,
	F_COUNTED,
	FIELDS
};
static const char *const field_names[FIELDS] = {"end", "run_seconds", "code", "user_seconds",
	"system_seconds", "peak_memory_bytes", "read_bytes", "written_bytes", "pid", "parent",
	"uid", "comm", "cgroup", "program", "counted"};

struct lines {
	char **v; /* F_END comes first in each */
	size_t n, cap;
};

/* The newest lines stay: the older half goes when there are twice as many as wanted. */
static int keep(struct lines *l, char *line, size_t wanted)
{
	if (l->n == 2 * wanted) {
		for (size_t i = 0; i < wanted; i++)
			free(l->v[i]);
		memmove(l->v, l->v + wanted, wanted * sizeof(*l->v));
		l->n = wanted;
	}
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		char **v = reallocarray(l->v, cap, sizeof(*v));

		if (!v) {
			free(line);
			return -ENOMEM;
		}
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = line;
	return 0;
}

static bool is_wanted(const char *line, const char *comm)
{
	const char *at = line;
	size_t n = comm ? strlen(comm) : 0;

	for (int i = 0; i < F_COMM && at; i++) {
		at = strchr(at, '\t');
		at = at ? at + 1 : NULL;
	}
	return at && (!comm || (!strncmp(at, comm, n) && at[n] == '\t'));
}

static int read_list(const char *dir, const char *name, const char *comm, size_t wanted,
	struct lines *ret, struct errmsg *e)
{
	char path[4096], *line = NULL;
	size_t size = 0;
	ssize_t n;
	FILE *f;
	int err = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? -ENOENT
				       : err_set(e, -errno, "%s: %s", path, strerror(errno));
	while (!err && (n = getline(&line, &size, f)) > 0) {
		char *copy;

		if (line[n - 1] != '\n' || !is_wanted(line, comm))
			continue;
		line[n - 1] = '\0';
		copy = strdup(line);
		err = copy ? keep(ret, copy, wanted) : -ENOMEM;
	}
	free(line);
	fclose(f);
	return err ? err_set(e, err, "out of memory") : 0;
}

/* Cuts the line into its fields; false if it has not all of them. */
static bool split(char *line, char *field[FIELDS])
{
	size_t n = 0;

	for (char *at = line; at && n < FIELDS;) {
		field[n++] = at;
		at = strchr(at, '\t');
		if (at)
			*at++ = '\0';
	}
	return n == FIELDS;
}

static void format_time(const char *seconds, char *out, size_t size)
{
	time_t t = (time_t)strtoll(seconds, NULL, 10);
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(out, size, "%F %T", &tm);
}

/* "0", "3", "SIGKILL" */
static void format_code(const char *code, char *out, size_t size)
{
	unsigned status = (unsigned)strtoul(code, NULL, 10);
	const char *name = sigabbrev_np((int)(status & 0x7f));

	if (!(status & 0x7f))
		snprintf(out, size, "%u", status >> 8 & 0xff);
	else if (name)
		snprintf(out, size, "SIG%s", name);
	else
		snprintf(out, size, "signal %u", status & 0x7f);
}

static int print_table(struct lines *l)
{
	static const char *const heading[] = {
		"ENDED", "PID", "NAME", "CODE", "CPU", "RAN", "MEMORY", "CGROUP AND COUNTERS"};
	struct table t;
	int err;

	table_init(&t, 0x72, 8, heading);
	for (size_t i = 0; i < l->n; i++) {
		char *f[FIELDS], end[32], code[32], cpu[32], ran[32], memory[32], *more;

		if (!split(l->v[i], f))
			continue;
		format_time(f[F_END], end, sizeof(end));
		format_code(f[F_CODE], code, sizeof(code));
		snprintf(cpu, sizeof(cpu), "%.4f",
			strtod(f[F_USER], NULL) + strtod(f[F_SYSTEM], NULL));
		snprintf(ran, sizeof(ran), "%.3f", strtod(f[F_RUN], NULL));
		snprintf(memory, sizeof(memory), "%.1f M", strtod(f[F_PEAK], NULL) / (1 << 20));
		more = strcmp(f[F_PROGRAM], "-")
			       ? text_format("%s %s: %s", f[F_CGROUP], f[F_PROGRAM], f[F_COUNTED])
			       : text_format("%s", f[F_CGROUP]);
		table_add(&t, (const char *[]){end, f[F_PID], f[F_COMM], code, cpu, ran, memory,
				      more ? more : ""});
		free(more);
	}
	err = table_print(&t, stdout);
	table_release(&t);
	return err;
}

static void print_json(struct lines *l)
{
	const char *comma = "";

	printf("[");
	for (size_t i = 0; i < l->n; i++) {
		char *f[FIELDS];

		if (!split(l->v[i], f))
			continue;
		printf("%s\n{", comma);
		comma = ",";
		for (size_t k = 0; k < FIELDS; k++) {
			printf("%s\"%s\": ", k ? ", " : "", field_names[k]);
			if (k < F_COMM)
				text_put_clean(stdout, f[k]);
			else
				text_put_json(stdout, f[k]);
		}
		printf("}");
	}
	printf("\n]\n");
}

/* Each CPU's come one after the other, so the list is nearly in order. */
static int by_end(const void *a, const void *b)
{
	double x = strtod(*(char *const *)a, NULL), y = strtod(*(char *const *)b, NULL);

	return (x > y) - (x < y);
}

int cmd_ended(int argc, char **argv)
{
	char *dir = NULL;
	uint32_t count = 20;
	bool json = false;
	const struct conf_option table[] = {
		{"state-dir", CONF_STRING, &dir, "DIR", "of tallyd; /var/lib/tally by default"},
		{"count", CONF_U32, &count, "N", "the last N of them", .min = 1, .max = 1000000},
		{"json", CONF_BOOL, &json, NULL, "print JSON"},
		{0},
	};
	const struct conf_program prog = {
		.name = "tally ended",
		.summary = "Shows the processes that ended last, from the list that tallyd keeps.",
		.usage = "[OPTION]... [NAME]",
		.options = table,
	};
	const char *state, *comm;
	struct lines l = {0};
	struct errmsg e = {""};
	int operand, code, err, old;
	size_t kept;

	if (!tally_options(&prog, argc, argv, &operand, &code))
		return code;
	comm = argv[operand];
	kept = (size_t)count + UNSORTED;
	state = dir ? dir : "/var/lib/tally";
	old = read_list(state, "ended.old", comm, kept, &l, &e);
	err = old && old != -ENOENT ? old : read_list(state, "ended", comm, kept, &l, &e);
	if (err == -ENOENT && !old)
		err = 0;
	if (err == -ENOENT)
		err_set(&e, err,
			"%s/ended: no such list; does tallyd run there, with its producer "
			"\"ended\"?",
			state);
	if (l.n)
		qsort(l.v, l.n, sizeof(*l.v), by_end);
	if (!err && l.n > count) {
		for (size_t i = 0; i < l.n - count; i++)
			free(l.v[i]);
		memmove(l.v, l.v + l.n - count, count * sizeof(*l.v));
		l.n = count;
	}
	if (!err && json)
		print_json(&l);
	else if (!err)
		err = print_table(&l);
	for (size_t i = 0; i < l.n; i++)
		free(l.v[i]);
	free(l.v);
	free(dir);
	return err ? tally_fail(err, &e) : 0;
}
