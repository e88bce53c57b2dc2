/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `tally get`: values of series. */
#include "tools/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/emit.h"
#include "tools/histquantile.h"
#include "tools/query.h"

struct get_args {
	struct query_source source;
	struct query_range range;
	bool rate, increase, cumulative, sum, latest, json, csv;
	char *quantile; /* NULL: none */
	double q;
};

static enum window_mode wanted_mode(const struct get_args *a)
{
	return a->rate ? WINDOW_RATE : a->increase ? WINDOW_INCREASE : WINDOW_VALUE;
}

static int check_args(struct get_args *a, int operands)
{
	static const char me[] = "tally get";

	if (operands != 1)
		return tally_usage(
			me, operands ? "more than one selector" : "a selector is missing");
	if (a->rate && a->increase)
		return tally_usage(me, "--rate and --increase exclude each other");
	if (a->json && a->csv)
		return tally_usage(me, "--json and --csv exclude each other");
	if (a->quantile) {
		char *end;

		a->q = strtod(a->quantile, &end);
		if (end == a->quantile || *end || !(a->q >= 0 && a->q <= 1))
			return tally_usage(
				me, "--quantile=%s: not a number from 0 to 1", a->quantile);
		if (a->cumulative || a->sum || a->rate)
			return tally_usage(
				me, "--quantile excludes --cumulative, --sum and --rate");
	}
	if (a->cumulative && a->sum)
		return tally_usage(me, "--cumulative and --sum exclude each other");
	if (a->latest && (a->rate || a->increase || a->range.from || a->range.to || a->range.step))
		return tally_usage(me, "--latest is one value: no rate, range or step");
	if (a->sum && !a->latest && !a->range.step)
		return tally_usage(me, "--sum needs --step or --latest: samples of different "
				       "nodes have different times");
	return CONF_EXIT_OK;
}

/* --- one series ---------------------------------------------------------------------------------- */

struct getter {
	struct history *h;
	const struct get_args *args;
	struct window_spec spec;
	struct emit emit;
	size_t points;
	bool damaged;
};

static int load_latest(const struct pick *pick, struct points *ret)
{
	const struct series *def = pick->series.def;
	struct points p = {0};

	if (!pick->has_newest)
		return 0;
	p.v = calloc(1, sizeof(struct point));
	if (!p.v)
		return -ENOMEM;
	p.n = p.cap = 1;
	p.v[0].time_ns = pick->newest.realtime_ns;
	p.v[0].value = number_from_value(pick->newest.value, def->kind, def->scale);
	*ret = p;
	return 0;
}

static int load(struct getter *g, const struct pick *pick, struct points *ret)
{
	*ret = (struct points){0};
	return g->args->latest ? load_latest(pick, ret)
			       : query_load(g->h, pick, &g->spec, ret, &g->damaged);
}

static int emit(struct getter *g, const struct pick *pick, size_t summed, struct points *p)
{
	struct emit_series s = {.pick = pick, .summed = summed, .points = p};

	g->points += p->n;
	return emit_series(&g->emit, &s);
}

/* --- runs of series that belong together ------------------------------------------------------- */

static int get_each(struct getter *g, const struct pick *picks, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		struct points p;
		err = load(g, &picks[i], &p);
		if (!err)
			err = emit(g, &picks[i], 0, &p);
		points_release(&p);
	}
	return err;
}

/* Adds to b what a has at the same times: buckets of one histogram share their polls. */
static void add_at_same_times(struct points *b, const struct points *a)
{
	size_t j = 0;

	for (size_t i = 0; i < b->n; i++) {
		while (j < a->n && a->v[j].time_ns < b->v[i].time_ns)
			j++;
		if (j < a->n && a->v[j].time_ns == b->v[i].time_ns)
			b->v[i].value = number_add(b->v[i].value, a->v[j].value);
	}
}

static int get_cumulative(struct getter *g, const struct pick *picks, size_t n)
{
	struct points below = {0};
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		struct points p;
		err = load(g, &picks[i], &p);
		if (!err) {
			add_at_same_times(&p, &below);
			err = emit(g, &picks[i], 0, &p);
		}
		points_release(&below);
		below = p;
	}
	points_release(&below);
	return err;
}

/* All buckets of a histogram become the quantile. */
static int get_quantile(struct getter *g, const struct pick *picks, size_t n)
{
	struct points *points = calloc(n, sizeof(*points)), result = {0};
	char labels[SCHEMA_LABELS_MAX + 64];
	int err = points ? 0 : -ENOMEM;
	struct series def;
	struct pick pick;

	/* what else the selector means, a sum perhaps, has none */
	if (picks[0].series.def->part != SERIES_BUCKET)
		n = 0;
	for (size_t i = 0; i < n && !err; i++)
		err = load(g, &picks[i], &points[i]);
	if (!err)
		err = histquantile(picks, points, n, g->args->q, &result);
	if (!err && n) {
		histquantile_name(picks, g->args->quantile, &def, labels, &pick);
		err = emit(g, &pick, 0, &result);
	}
	points_release(&result);
	for (size_t i = 0; points && i < n; i++)
		points_release(&points[i]);
	free(points);
	return err;
}

static void set_times(struct points *p, int64_t time_ns)
{
	for (size_t i = 0; i < p->n; i++)
		p->v[i].time_ns = time_ns;
}

static int get_sum(struct getter *g, const struct pick *picks, size_t n)
{
	struct points sum = {0}, p;
	int64_t newest = INT64_MIN;
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		err = load(g, &picks[i], &p);
		if (g->args->latest && p.n) {
			newest = p.v[0].time_ns > newest ? p.v[0].time_ns : newest;
			set_times(&p, 0);
		}
		if (!err)
			err = points_merge(&sum, &p);
		points_release(&p);
	}
	if (g->args->latest)
		set_times(&sum, newest);
	if (!err)
		err = emit(g, &picks[0], n, &sum);
	points_release(&sum);
	return err;
}

/* Same metric, and for buckets the same bound: these may be added. */
static int compare_for_sum(const void *va, const void *vb)
{
	const struct pick *a = va, *b = vb;
	const struct series *x = a->series.def, *y = b->series.def;
	int order = strcmp(x->name, y->name);

	order = order ? order : strcmp(x->unit, y->unit);
	order = order ? order : x->type - y->type;
	order = order ? order : x->part - y->part;
	return order ? order : (a->bound > b->bound) - (a->bound < b->bound);
}

static int compare_for_cumulative(const void *va, const void *vb)
{
	const struct pick *a = va, *b = vb;
	bool buckets = a->series.def->part == SERIES_BUCKET;

	return buckets ? pick_compare_histogram(a, b) : 1;
}

static int get_all(struct getter *g, const struct picks *picks)
{
	int (*together)(const void *, const void *) = NULL;
	int (*get)(struct getter *, const struct pick *, size_t) = get_each;
	size_t end;
	int err = 0;

	if (g->args->sum) {
		qsort(picks->v, picks->n, sizeof(*picks->v), compare_for_sum);
		together = compare_for_sum;
		get = get_sum;
	} else if (g->args->cumulative || g->args->quantile) {
		together = compare_for_cumulative;
		get = g->args->quantile ? get_quantile : get_cumulative;
	}
	for (size_t i = 0; i < picks->n && !err; i = end) {
		end = i + 1;
		while (together && end < picks->n && !together(&picks->v[i], &picks->v[end]))
			end++;
		err = get(g, &picks->v[i], end - i);
	}
	return err;
}

/* --- the command ---------------------------------------------------------------------------------- */

static int prepare(struct getter *g, struct picks *picks, struct errmsg *e)
{
	enum window_mode mode = wanted_mode(g->args);
	int err = 0;

	if (g->args->latest) {
		err = picks_newest(g->h, picks);
		if (!err)
			err = picks_newest_search(g->h, picks);
		return err ? err_set(e, err, "%s: %s", query_source_name(&g->args->source),
				     strerror(-err))
			   : 0;
	}
	if (mode != WINDOW_VALUE)
		err = query_keep_counters(picks, e);
	return err ? err : query_resolve(&g->args->range, picks, mode, &g->spec, e);
}

static int run(const struct get_args *args, const char *selector, struct errmsg *e)
{
	struct getter g = {.args = args};
	struct picks picks = {0};
	int err = query_open(&args->source, selector, &g.h, &picks, e);

	if (err)
		return err;
	if (args->cumulative || args->quantile)
		err = query_need_buckets(&picks, e);
	if (!err)
		err = prepare(&g, &picks, e);
	if (err)
		goto out;
	g.emit = (struct emit){.out = stdout, .mode = wanted_mode(args), .latest = args->latest};
	g.emit.format = args->json ? EMIT_JSON : args->csv ? EMIT_CSV : EMIT_TABLE;
	emit_begin(&g.emit);
	err = get_all(&g, &picks);
	if (!err)
		err = emit_end(&g.emit);
	if (err)
		err_set(e, err, "%s: %s", query_source_name(&args->source), strerror(-err));
	else if (g.damaged)
		err = err_set(e, -EBADMSG,
			"%s: damaged blocks were left out; 'tally check' lists them",
			query_source_name(&args->source));
	else if (!g.points && !args->json && !args->csv)
		fputs("tally: no samples in this range; 'tally ls --nodes' tells from when to when "
		      "there are some\n",
			stderr);
out:
	picks_release(&picks);
	history_close(g.h);
	return err;
}

int cmd_get(int argc, char **argv)
{
	struct get_args a = {.source = query_source_new()};
	const struct conf_option options[] = {
		QUERY_SOURCE_OPTIONS(a.source),
		{"latest", CONF_BOOL, &a.latest, NULL, "the newest value of each series"},
		{"rate", CONF_BOOL, &a.rate, NULL, "per second, of counters"},
		{"increase", CONF_BOOL, &a.increase, NULL, "exact increase, of counters"},
		{"from", CONF_STRING, &a.range.from, "TIME", QUERY_HELP_FROM},
		{"to", CONF_STRING, &a.range.to, "TIME", QUERY_HELP_TO},
		{"step", CONF_STRING, &a.range.step, "TIME", QUERY_HELP_STEP},
		{"sum", CONF_BOOL, &a.sum, NULL, "add up the series of each metric"},
		{"cumulative", CONF_BOOL, &a.cumulative, NULL,
			"histogram buckets hold all below them, as in OpenMetrics"},
		{"quantile", CONF_STRING, &a.quantile, "Q",
			"of histograms the value below which this share (0 to 1) is"},
		{"json", CONF_BOOL, &a.json, NULL, "print JSON"},
		{"csv", CONF_BOOL, &a.csv, NULL, "print CSV (RFC 4180)"},
		{0},
	};
	const struct conf_program prog = {
		.name = "tally get",
		.summary = "Prints values of the series that SELECTOR means.",
		.usage = "[OPTION]... SELECTOR",
		.epilog = "SELECTOR is a metric's name or glob, with labels if need be:\n"
			  "  http_requests  'disk_*'  'cpu_seconds{node=\"web1\",mode=~\"i*\"}'",
		.options = options,
	};
	struct errmsg e = {""};
	int operand, code, err;

	if (tally_options(&prog, argc, argv, &operand, &code)) {
		code = check_args(&a, argc - operand);
		err = code ? 0 : run(&a, argv[operand], &e);
		if (err)
			code = tally_fail(err, &e);
	}
	query_source_release(&a.source);
	free(a.range.from);
	free(a.range.to);
	free(a.range.step);
	free(a.quantile);
	return code;
}
