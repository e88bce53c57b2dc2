/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tally-munin: a munin plugin that reads the gatherer's history. One graph is one metric, named by
 * the link under which the plugin is called (tally_METRIC), by an argument or by the environment
 * that munin-node sets from plugin-conf.d.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/histdir.h"
#include "tools/munin-graph.h"
#include "user/lib/conf.h"
#include "user/lib/util.h"

/* munin-node-configure looks for these lines in the file itself, which is a binary: kept by `used`. */
__attribute__((used)) static const char magic_markers[] =
	"\n#%# family=auto\n#%# capabilities=autoconf suggest\n";

#define LINK_PREFIX "tally_"

struct munin_args {
	char *metric, *selector, *node, *history;
	uint64_t max_age_ns;
	const char *command;
};

struct munin {
	struct history *h;
	struct picks picks;
	struct munin_field *fields;
	int64_t now_ns;
};

static int fail(const char *text)
{
	fprintf(stderr, "tally-munin: %s\n", text);
	return CONF_EXIT_FAIL;
}

/* --- what is wanted ------------------------------------------------------------------------------ */

static char *from_environment(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? strdup(value) : NULL;
}

/* "tally_METRIC" gives METRIC; the program's own name and the bare "tally_" give none. */
static char *from_link(const char *argv0)
{
	const char *base = strrchr(argv0, '/');

	base = base ? base + 1 : argv0;
	if (strncmp(base, LINK_PREFIX, strlen(LINK_PREFIX)) || !base[strlen(LINK_PREFIX)])
		return NULL;
	return strdup(base + strlen(LINK_PREFIX));
}

static int read_environment(struct munin_args *a, const char *argv0, struct errmsg *e)
{
	const char *max_age = getenv("max_age"), *history = getenv("history");

	*a = (struct munin_args){
		.metric = from_environment("metric"),
		.selector = from_environment("selector"),
		.node = from_environment("node"),
		.history = strdup(history && *history ? history : histdir_default()),
		.max_age_ns = 300 * NSEC_PER_SEC,
	};
	if (!a->metric)
		a->metric = from_link(argv0);
	if (max_age && *max_age && conf_parse_duration(max_age, &a->max_age_ns))
		return err_set(e, -EINVAL, "env.max_age: '%.40s' is no time", max_age);
	return 0;
}

static void release_args(struct munin_args *a)
{
	free(a->metric);
	free(a->selector);
	free(a->node);
	free(a->history);
}

/* The metric's name, the conditions of env.selector and of env.node, in one selector. */
static int make_selector(const struct munin_args *a, struct selector *ret, struct errmsg *e)
{
	struct selector s = {0};
	int err = a->selector ? selector_parse(a->selector, &s, e) : 0;

	if (err)
		return err;
	if (a->metric) {
		free(s.name);
		s.name = strdup(a->metric);
		err = s.name ? 0 : -ENOMEM;
	} else if (!s.name) {
		err = err_set(e, -EINVAL,
			"no metric: call it by a link named tally_METRIC, or set env.metric; "
			"'suggest' lists metrics");
	}
	if (!err && a->node)
		err = selector_add(&s, "node", MATCH_EQUAL, a->node);
	if (err) {
		selector_release(&s);
		return err;
	}
	*ret = s;
	return 0;
}

/* --- the one metric ------------------------------------------------------------------------------ */

static int check_picks(const struct munin *m, const struct selector *s, struct errmsg *e)
{
	bool current = false;

	if (!m->picks.n)
		return err_set(e, -ENOENT,
			"no series of '%.200s' in the history; 'suggest' lists "
			"metrics",
			s->name);
	for (size_t i = 0; i < m->picks.n; i++) {
		const struct pick *p = &m->picks.v[i];

		if (p->series.def->part == SERIES_BUCKET)
			return err_set(e, -EINVAL,
				"%s is a histogram, which munin can't draw; its "
				"sum is %s_sum",
				p->series.def->name, p->series.def->name);
		if (!pick_same_metric(&m->picks.v[0], p))
			return err_set(e, -EINVAL,
				"'%.200s' means both %s and %s, or several types "
				"or units of one; a graph shows one",
				s->name, m->picks.v[0].series.def->name, p->series.def->name);
		current |= munin_is_current(p, m->now_ns);
	}
	return current ? 0 : err_set(e, -ENOENT, "'%.200s' has no value within a day", s->name);
}

static int select_metric(struct munin *m, const struct munin_args *a, struct errmsg *e)
{
	struct selector s = {0};
	int err = make_selector(a, &s, e);

	if (err)
		return err;
	err = picks_select(m->h, &s, &m->picks);
	if (!err)
		err = picks_newest(m->h, &m->picks);
	if (err)
		err_set(e, err, "%s: %s", a->history, strerror(-err));
	else
		err = check_picks(m, &s, e);
	if (!err)
		err = munin_fields_make(&m->picks, &m->fields);
	selector_release(&s);
	return err;
}

static int graph(struct munin *m, const struct munin_args *a)
{
	const char *dirty = getenv("MUNIN_CAP_DIRTYCONFIG");
	bool config = !strcmp(a->command, "config");
	struct errmsg e = {"out of memory"};

	if (select_metric(m, a, &e))
		return fail(e.text);
	if (config)
		munin_print_config(stdout, m->fields, m->picks.n, m->now_ns);
	if (!config || (dirty && !strcmp(dirty, "1")))
		munin_print_values(
			stdout, m->fields, m->picks.n, m->now_ns, (int64_t)a->max_age_ns);
	return CONF_EXIT_OK;
}

/* --- all metrics --------------------------------------------------------------------------------- */

static int compare_names(const void *va, const void *vb)
{
	const struct pick *a = va, *b = vb;

	return strcmp(a->series.def->name, b->series.def->name);
}

static int suggest(struct munin *m)
{
	char name[SCHEMA_NAME_MAX + 16];
	const char *last = "";

	if (picks_select(m->h, NULL, &m->picks) || picks_newest(m->h, &m->picks))
		return fail("the history can't be read");
	if (m->picks.n)
		qsort(m->picks.v, m->picks.n, sizeof(*m->picks.v), compare_names);
	for (size_t i = 0; i < m->picks.n; i++) {
		const struct series *def = m->picks.v[i].series.def;

		if (def->type == METRIC_HISTOGRAM || !strcmp(def->name, last) ||
			!munin_is_current(&m->picks.v[i], m->now_ns))
			continue;
		series_sample_name(def, name, sizeof(name));
		puts(name);
		last = def->name;
	}
	return CONF_EXIT_OK;
}

/* "no" is an answer, not a failure: the exit code is 0. */
static int autoconf(struct munin *m, const struct munin_args *a, const struct errmsg *e)
{
	if (!m->h)
		printf("no (%s)\n", e->text);
	else if (!history_series_count(m->h))
		printf("no (%s holds no series)\n", a->history);
	else
		puts("yes");
	return CONF_EXIT_OK;
}

static int run(const struct munin_args *a)
{
	struct munin m = {.now_ns = clock_realtime_ns()};
	struct errmsg e = {""};
	int code;

	if (histdir_open(a->history, "env.history or --history", &m.h, &e))
		m.h = NULL;
	if (!strcmp(a->command, "autoconf"))
		code = autoconf(&m, a, &e);
	else if (!m.h)
		code = fail(e.text);
	else if (!strcmp(a->command, "suggest"))
		code = suggest(&m);
	else
		code = graph(&m, a);
	munin_fields_free(m.fields, m.picks.n);
	picks_release(&m.picks);
	if (m.h)
		history_close(m.h);
	if (fflush(stdout) || ferror(stdout))
		return fail(strerror(errno));
	return code;
}

static int parse(struct munin_args *a, int argc, char **argv, struct errmsg *e)
{
	static const char *const commands[] = {"fetch", "config", "autoconf", "suggest"};
	const struct conf_option options[] = {
		{"metric", CONF_STRING, &a->metric, "NAME",
			"the metric (default: from the link's name)"},
		{"selector", CONF_STRING, &a->selector, "SELECTOR", "conditions on labels"},
		{"node", CONF_STRING, &a->node, "NAME", "only this node"},
		{"history", CONF_STRING, &a->history, "DIR", "the history"},
		{"max-age", CONF_DURATION, &a->max_age_ns, "TIME", "an older value is unknown"},
		{0},
	};
	const struct conf_program prog = {
		.name = "tally-munin",
		.summary = "A munin plugin that draws metrics of tally's history.",
		.usage = "[OPTION]... [fetch|config|autoconf|suggest]",
		.epilog = "In plugin-conf.d: env.metric, env.selector, env.node, env.history, "
			  "env.max_age.",
		.options = options,
	};
	int operand, err = conf_load(&prog, argc, argv, &operand, e);

	if (err)
		return err;
	a->command = operand < argc ? argv[operand] : "fetch";
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (operand + 1 >= argc && !strcmp(a->command, commands[i]))
			return 0;
	return err_set(e, -EINVAL, "unexpected '%.60s'; one of fetch, config, autoconf, suggest",
		argv[argc - 1]);
}

int main(int argc, char **argv)
{
	struct munin_args a;
	struct errmsg e = {""};
	int code, err = read_environment(&a, argv[0], &e);

	if (!err)
		err = parse(&a, argc, argv, &e);
	if (err < 0) {
		fail(e.text);
		code = err == -EINVAL ? CONF_EXIT_USAGE : CONF_EXIT_FAIL;
	} else {
		code = err ? CONF_EXIT_OK : run(&a);
	}
	release_args(&a);
	return code;
}
