/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The history here is a fake of eight series, so that the module is seen alone. */
#include <criterion/criterion.h>

#include "tools/picks.h"

#include <math.h>
#include <string.h>

#define SEC INT64_C(1000000000)

static struct series defs[] = {
	{"b", "", "", "", METRIC_GAUGE, VALUE_U64, SERIES_VALUE, 0},
	{"h", "le=\"+Inf\",x=\"1\"", "", "", METRIC_HISTOGRAM, VALUE_U64, SERIES_BUCKET, 0},
	{"h", "le=\"0.1\",x=\"2\"", "", "", METRIC_HISTOGRAM, VALUE_U64, SERIES_BUCKET, 0},
	{"h", "le=\"0.9\",x=\"1\"", "", "", METRIC_HISTOGRAM, VALUE_U64, SERIES_BUCKET, 0},
	{"h", "le=\"10\",x=\"1\"", "", "", METRIC_HISTOGRAM, VALUE_U64, SERIES_BUCKET, 0},
	{"h", "x=\"1\"", "", "", METRIC_HISTOGRAM, VALUE_U64, SERIES_SUM, 0},
	{"a", "", "", "", METRIC_GAUGE, VALUE_U64, SERIES_VALUE, 0},
	{"a", "", "", "", METRIC_GAUGE, VALUE_U64, SERIES_VALUE, 0},
};
static struct history_series series[] = {
	{0, "g", &defs[0], 0},
	{0, "g", &defs[1], 1},
	{0, "g", &defs[2], 2},
	{0, "g", &defs[3], 3},
	{0, "g", &defs[4], 4},
	{0, "g", &defs[5], 5},
	{1, "g", &defs[6], 6},
	{1, "k", &defs[7], 7},
};
static struct history_node nodes[] = {
	{{1}, "zebra", 1000 * SEC, 100000 * SEC}, {{2}, "ant", 1000 * SEC, 100000 * SEC}};
static int reads;

size_t history_series_count(struct history *h)
{
	return sizeof(series) / sizeof(series[0]);
}

const struct history_series *history_series(struct history *h, size_t i)
{
	return &series[i];
}

const struct history_node *history_node(const struct history *h, size_t i)
{
	return &nodes[i];
}

/* The newest rows lack the first series ("b"), and have one that is not in the history. */
int history_newest(struct history *h, newest_fn fn, void *arg)
{
	struct series now[] = {defs[5], defs[4], defs[0]};
	struct series k[] = {defs[7]};
	struct schema s[] = {
		{.group = "g", .n = 3, .series = now}, {.group = "k", .n = 1, .series = k}};
	uint64_t values[] = {50, 40, 30};
	struct group_state g = {&s[0], values, 77 * SEC, 7, 1};
	int err;

	now[2].name = "new";
	err = fn(arg, 0, &g);
	g.schema = &s[1];
	return err ? err : fn(arg, 1, &g);
}

/* Series 0 has samples at 2000 s and 3000 s; the others none. */
int history_read(
	struct history *h, uint32_t id, int64_t from_ns, int64_t to_ns, sample_fn fn, void *arg)
{
	reads++;
	for (int64_t t = 2000 * SEC; id == 0 && t <= 3000 * SEC; t += 1000 * SEC) {
		struct sample s = {.realtime_ns = t, .value = (uint64_t)(t / SEC)};
		if (t >= from_ns && t < to_ns && fn(arg, &defs[0], &s))
			return 1;
	}
	return 0;
}

static struct picks select_all(void)
{
	struct picks p;

	cr_assert_eq(picks_select(NULL, NULL, &p), 0);
	return p;
}

Test(picks, order_is_by_node_metric_labels_and_bounds)
{
	static const uint32_t wanted[] = {6, 7, 0, 3, 4, 1, 2, 5};
	struct picks p = select_all();

	cr_assert_eq(p.n, 8);
	for (size_t i = 0; i < p.n; i++)
		cr_assert_eq(p.v[i].series.id, wanted[i], "%zu: %u", i, p.v[i].series.id);
	cr_assert_eq(p.v[5].bound, INFINITY);
	cr_assert(isnan(p.v[7].bound));
	cr_assert_eq(pick_compare_histogram(&p.v[3], &p.v[5]), 0);
	cr_assert_neq(pick_compare_histogram(&p.v[5], &p.v[6]), 0);
	picks_release(&p);
}

Test(picks, selector_narrows)
{
	struct selector s;
	struct picks p;

	cr_assert_eq(selector_parse("{node=zebra,x=1}", &s, NULL), 0);
	cr_assert_eq(picks_select(NULL, &s, &p), 0);
	cr_assert_eq(p.n, 4);
	picks_release(&p);
	selector_release(&s);
}

/* The right values go to the right series: of the right group, node and part. */
Test(picks, newest)
{
	struct picks p = select_all();

	cr_assert_eq(picks_newest(NULL, &p), 0);
	for (size_t i = 0; i < p.n; i++) {
		uint32_t id = p.v[i].series.id;
		cr_assert_eq(p.v[i].has_newest, id == 4 || id == 5 || id == 7, "series %u", id);
		if (p.v[i].has_newest)
			cr_assert_eq(p.v[i].newest.value, id == 4 ? 40 : 50);
	}
	picks_release(&p);
}

Test(picks, newest_is_searched_for_series_that_are_gone)
{
	struct picks p = select_all();

	cr_assert_eq(picks_newest_search(NULL, &p), 0);
	for (size_t i = 0; i < p.n; i++)
		cr_assert_eq(p.v[i].has_newest, p.v[i].series.id == 0);
	cr_assert_eq(p.v[2].newest.value, 3000);
	picks_release(&p);
}

Test(picks, last_before)
{
	struct picks p = select_all();
	struct sample s = {.value = 1};

	cr_assert_eq(pick_last_before(NULL, &p.v[2], 3000 * SEC, &s), 1);
	cr_assert_eq(s.value, 2000);
	cr_assert_eq(pick_last_before(NULL, &p.v[2], 2000 * SEC, &s), 0);
	cr_assert_eq(s.value, 2000, "outputs are untouched on failure");
	reads = 0;
	cr_assert_eq(pick_last_before(NULL, &p.v[2], INT64_MAX, &s), 1);
	cr_assert_eq(s.value, 3000);
	cr_assert_leq(reads, 6, "it looks further back at each look: %d", reads);
	picks_release(&p);
}
