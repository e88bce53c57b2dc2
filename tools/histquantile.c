/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Quantiles of histograms in history. */
#include "tools/histquantile.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/labelwalk.h"
#include "user/lib/quantile.h"

/* The earliest time that a bucket has and that is not passed; INT64_MAX: there is none. */
static int64_t next_time(const struct points *points, const size_t *at, size_t n)
{
	int64_t t = INT64_MAX;

	for (size_t i = 0; i < n; i++)
		if (at[i] < points[i].n && points[i].v[at[i]].time_ns < t)
			t = points[i].v[at[i]].time_ns;
	return t;
}

static double quantile(const struct pick *buckets, const double *counts, size_t n, double q)
{
	struct quantile_walk walk = {0};
	double all = 0, ret;

	for (size_t i = 0; i < n; i++)
		all += counts[i];
	if (!(all > 0))
		return NAN;
	walk.rank = q * all;
	for (size_t i = 0; i < n && isfinite(buckets[i].bound); i++)
		if (quantile_step(&walk, counts[i], buckets[i].bound, &ret))
			return ret;
	return walk.low;
}

/* Six digits are more than a bucket tells. */
static int add_point(struct points *to, int64_t time_ns, double value, uint32_t flags)
{
	char text[32];

	if (to->n == to->cap) {
		size_t cap = to->cap ? 2 * to->cap : 64;
		struct point *grown = reallocarray(to->v, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		to->v = grown;
		to->cap = cap;
	}
	snprintf(text, sizeof(text), "%.6g", value);
	to->v[to->n++] = (struct point){.time_ns = time_ns,
		.value = number_from_double(strtod(text, NULL)),
		.flags = flags};
	return 0;
}

int histquantile(const struct pick *buckets, const struct points *points, size_t n, double q,
	struct points *ret)
{
	size_t *at = calloc(n, sizeof(*at));
	double *counts = calloc(n, sizeof(*counts));
	struct points out = {0};
	int err = at && counts ? 0 : -ENOMEM;
	int64_t t;

	while (!err && (t = next_time(points, at, n)) != INT64_MAX) {
		uint32_t flags = 0;
		double value;

		for (size_t i = 0; i < n; i++) {
			const struct point *p = &points[i].v[at[i]];

			counts[i] = 0;
			if (at[i] == points[i].n || p->time_ns != t)
				continue;
			counts[i] = number_to_double(p->value);
			flags |= p->flags;
			at[i]++;
		}
		value = quantile(buckets, counts, n, q);
		if (!isnan(value))
			err = add_point(&out, t, value, flags);
	}
	free(at);
	free(counts);
	if (err)
		points_release(&out);
	else
		*ret = out;
	return err;
}

void histquantile_name(const struct pick *pick, const char *q, struct series *ret_series,
	char labels[SCHEMA_LABELS_MAX + 64], struct pick *ret_pick)
{
	char rest[SCHEMA_LABELS_MAX + 1];

	labels_without_bound(pick->series.def->labels, rest);
	snprintf(labels, SCHEMA_LABELS_MAX + 64, "%s%squantile=\"%.32s\"", rest, *rest ? "," : "",
		q);
	*ret_series = *pick->series.def;
	ret_series->labels = labels;
	ret_series->type = METRIC_GAUGE;
	ret_series->kind = VALUE_F64;
	ret_series->part = SERIES_VALUE;
	ret_series->scale = 0;
	*ret_pick = *pick;
	ret_pick->series.def = ret_series;
	ret_pick->bound = NAN;
}
