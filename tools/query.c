/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ranges of time, and series read through a window. */
#include "tools/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/histdir.h"
#include "tools/ringhist.h"
#include "tools/timearg.h"
#include "user/lib/conf.h"
#include "user/lib/util.h"

#define DEFAULT_RANGE (600 * (int64_t)NSEC_PER_SEC)
/* How long a node's first poll may take; polls are never closer. What appears later was not there. */
#define FIRST_POLL (100 * (int64_t)NSEC_PER_MSEC)

static int resolve_time(const char *text, const char *option, int64_t *ret, struct errmsg *e)
{
	if (time_parse(text, clock_realtime_ns(), ret))
		return err_set(e, -EINVAL,
			"--%s: '%.60s' is no time: give -10m, now, 2026-11-23T14:00:00Z or Unix "
			"seconds",
			option, text);
	return 0;
}

static int resolve_step(
	const char *text, const struct picks *picks, struct window_spec *spec, struct errmsg *e)
{
	uint64_t step;

	if (!strcmp(text, "all")) {
		/* Its one value is shown at its begin: a time at which there was something. */
		if (spec->from_ns < picks_begin(picks) && picks_begin(picks) < spec->to_ns)
			spec->from_ns = picks_begin(picks);
		spec->step_ns = spec->to_ns - spec->from_ns;
		return 0;
	}
	if (conf_parse_duration(text, &step) || !step || step > INT64_MAX)
		return err_set(e, -EINVAL,
			"--step: '%.60s' is no length of time: give 10s, 5m, 1h "
			"or 'all'",
			text);
	spec->step_ns = (int64_t)step;
	return 0;
}

int query_resolve(const struct query_range *range, const struct picks *picks, enum window_mode mode,
	struct window_spec *ret, struct errmsg *e)
{
	int64_t end = picks_end(picks);
	struct window_spec spec = {.mode = mode, .to_ns = end + PICK_READ_TIME};
	int err = range->to ? resolve_time(range->to, "to", &spec.to_ns, e) : 0;

	spec.from_ns = (range->to ? spec.to_ns : end) - DEFAULT_RANGE;
	if (!err && range->from)
		err = resolve_time(range->from, "from", &spec.from_ns, e);
	if (!err && range->from && range->to && spec.from_ns >= spec.to_ns)
		err = err_set(e, -EINVAL, "--from is not before --to");
	if (err)
		return err;
	/* All data lie before --from: an empty range, not a mistake. */
	if (spec.from_ns >= spec.to_ns)
		spec.to_ns = spec.from_ns + 1;
	if (range->step)
		err = resolve_step(range->step, picks, &spec, e);
	/* Round times read better, and steps of two calls are the same ones. */
	if (!err && !range->from && spec.step_ns && spec.step_ns < DEFAULT_RANGE)
		spec.from_ns -= spec.from_ns % spec.step_ns;
	if (!err)
		*ret = spec;
	return err;
}

static int set_previous(struct history *h, const struct pick *pick, struct window *w)
{
	struct sample before;
	int found = pick_last_before(h, pick, w->spec.from_ns, &before);

	if (found > 0)
		window_set_previous(w, &before);
	else
		window_set_born_after(w, pick->node->first_ns + FIRST_POLL);
	return found < 0 ? found : 0;
}

int query_load(struct history *h, const struct pick *pick, const struct window_spec *spec,
	struct points *ret, bool *damaged)
{
	struct window w;
	int err;

	window_init(&w, spec);
	err = spec->mode == WINDOW_VALUE ? 0 : set_previous(h, pick, &w);
	if (!err)
		err = history_read(h, pick->series.id, spec->from_ns, spec->to_ns, window_add, &w);
	if (err == -EBADMSG) {
		*damaged = true;
		err = 0;
	}
	if (err) {
		window_release(&w);
		return err;
	}
	window_finish(&w);
	*ret = w.points;
	return 0;
}

struct query_source query_source_new(void)
{
	return (struct query_source){.dir = strdup(histdir_default())};
}

void query_source_release(struct query_source *s)
{
	free(s->dir);
	free(s->ring);
	*s = (struct query_source){0};
}

const char *query_source_name(const struct query_source *s)
{
	return s->ring ? s->ring : s->dir;
}

int query_open(const struct query_source *source, const char *selector,
	struct history **ret_history, struct picks *ret_picks, struct errmsg *e)
{
	struct selector sel = {0};
	struct picks picks = {0};
	struct history *h = NULL;
	int err = selector ? selector_parse(selector, &sel, e) : 0;

	if (!err)
		err = source->ring ? ringhist_open(source->ring, &h, e)
				   : histdir_open(source->dir, HISTDIR_OPTIONS, &h, e);
	if (err)
		goto out;
	err = picks_select(h, selector ? &sel : NULL, &picks);
	if (err)
		err_set(e, err, "out of memory");
	else if (selector && !picks.n)
		err = err_set(e, -ENOENT, "%s: no series matches '%.200s'; 'tally ls' lists them",
			query_source_name(source), selector);
	if (err) {
		history_close(h);
		goto out;
	}
	*ret_history = h;
	*ret_picks = picks;
out:
	selector_release(&sel);
	return err;
}

int query_need_buckets(const struct picks *picks, struct errmsg *e)
{
	for (size_t i = 0; i < picks->n; i++)
		if (picks->v[i].series.def->part == SERIES_BUCKET)
			return 0;
	return err_set(e, -EINVAL, "%s has no buckets: only histograms have them",
		picks->v[0].series.def->name);
}

int query_keep_counters(struct picks *picks, struct errmsg *e)
{
	size_t kept = 0;

	for (size_t i = 0; i < picks->n; i++)
		if (picks->v[i].series.def->type != METRIC_GAUGE)
			picks->v[kept++] = picks->v[i];
	if (!kept)
		return err_set(e, -EINVAL,
			"%s is a gauge: only counters and histograms have an "
			"increase or a rate",
			picks->v[0].series.def->name);
	if (kept < picks->n)
		fprintf(stderr, "tally: gauges have no rate: %zu left out\n", picks->n - kept);
	picks->n = kept;
	return 0;
}
