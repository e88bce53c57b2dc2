/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page for scrapers: order, cumulative buckets, escapes, and what must be left out of it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/openmetrics.h"

#define AT 1700000000123456789

struct value {
	struct series s;
	uint64_t value;
};

#define COUNTER(n, l, v)                        \
	{                                       \
		{.name = n,                     \
			.labels = l,            \
			.unit = "",             \
			.help = "",             \
			.type = METRIC_COUNTER, \
			.kind = VALUE_U64,      \
			.part = SERIES_VALUE},  \
			v                       \
	}
#define GAUGE(n, l, v)                         \
	{                                      \
		{.name = n,                    \
			.labels = l,           \
			.unit = "",            \
			.help = "",            \
			.type = METRIC_GAUGE,  \
			.kind = VALUE_I64,     \
			.part = SERIES_VALUE}, \
			(uint64_t)(int64_t)(v) \
	}
#define BUCKET(n, l, v)                           \
	{                                         \
		{.name = n,                       \
			.labels = l,              \
			.unit = "",               \
			.help = "",               \
			.type = METRIC_HISTOGRAM, \
			.kind = VALUE_U64,        \
			.part = SERIES_BUCKET},   \
			v                         \
	}
#define SUM(n, l, v)                              \
	{                                         \
		{.name = n,                       \
			.labels = l,              \
			.unit = "",               \
			.help = "",               \
			.type = METRIC_HISTOGRAM, \
			.kind = VALUE_U64,        \
			.part = SERIES_SUM,       \
			.scale = -3},             \
			v                         \
	}

#define MAX_GROUPS 8

static struct openmetrics *om;
static struct schema schemas[MAX_GROUPS];
static uint64_t values[MAX_GROUPS][16];
static size_t groups;

static void set_up(void)
{
	om = openmetrics_new();
	cr_assert_not_null(om);
}

static void tear_down(void)
{
	openmetrics_free(om);
	for (size_t i = 0; i < groups; i++)
		schema_release(&schemas[i]);
}

static void add(const char *node, const struct value *v, size_t n)
{
	struct schema *schema = &schemas[groups];
	struct group_state g = {.schema = schema, .values = values[groups], .realtime_ns = AT};

	for (size_t i = 0; i < n; i++) {
		cr_assert_eq(schema_add(schema, &v[i].s), 0, "series %zu is not valid", i);
		values[groups][i] = v[i].value;
	}
	groups++;
	cr_assert_eq(openmetrics_add(om, node, &g), 0);
}

#define ADD(node, ...)                                         \
	do {                                                   \
		const struct value list[] = {__VA_ARGS__};     \
		add(node, list, sizeof(list) / sizeof(*list)); \
	} while (0)

/* Renders, and compares everything before our own family at the end. */
static void same(enum exposition form, size_t left_out, const char *want)
{
	struct buf out = BUF_INIT;
	char tail[300], *end;

	cr_assert_eq(openmetrics_render(om, form, &out), 0);
	buf_put_u8(&out, 0);
	end = strstr((char *)out.data, "# HELP tally_exposition_left_out_series");
	cr_assert_not_null(end);
	snprintf(tail, sizeof(tail),
		"# HELP tally_exposition_left_out_series Series that would make this page "
		"ambiguous.\n"
		"# TYPE tally_exposition_left_out_series gauge\n"
		"tally_exposition_left_out_series %zu\n%s",
		left_out, form == EXPOSITION_OPENMETRICS ? "# EOF\n" : "");
	cr_assert_str_eq(end, tail);
	*end = '\0';
	cr_assert_str_eq((char *)out.data, want);
	buf_release(&out);
}

TestSuite(openmetrics, .init = set_up, .fini = tear_down);

Test(openmetrics, empty)
{
	same(EXPOSITION_OPENMETRICS, 0, "");
}

Test(openmetrics, families_are_contiguous_over_nodes_and_groups)
{
	ADD("b", COUNTER("requests", "code=\"200\"", 7), GAUGE("temperature", "", -5));
	ADD("a", COUNTER("requests", "", 18446744073709551615ull));
	ADD("a", COUNTER("errors", "", 0), COUNTER("requests", "code=\"500\"", 1));
	same(EXPOSITION_OPENMETRICS, 0,
		"# TYPE errors counter\n"
		"errors_total{node=\"a\"} 0 1700000000.123\n"
		"# TYPE requests counter\n"
		"requests_total{node=\"a\"} 18446744073709551615 1700000000.123\n"
		"requests_total{node=\"a\",code=\"500\"} 1 1700000000.123\n"
		"requests_total{node=\"b\",code=\"200\"} 7 1700000000.123\n"
		"# TYPE temperature gauge\n"
		"temperature{node=\"b\"} -5 1700000000.123\n");
}

Test(openmetrics, help_type_and_unit)
{
	ADD("n",
		{{.name = "io_seconds",
			 .labels = "",
			 .unit = "seconds",
			 .help = "a \\ and a \"",
			 .type = METRIC_COUNTER,
			 .kind = VALUE_U64,
			 .scale = -9},
			1500000000},
		{{.name = "size",
			 .labels = "",
			 .unit = "bytes",
			 .help = "unit is not in its name",
			 .type = METRIC_GAUGE,
			 .kind = VALUE_U64,
			 .scale = 3},
			5});
	same(EXPOSITION_OPENMETRICS, 0,
		"# HELP io_seconds a \\\\ and a \\\"\n"
		"# TYPE io_seconds counter\n"
		"# UNIT io_seconds seconds\n"
		"io_seconds_total{node=\"n\"} 1.5 1700000000.123\n"
		"# HELP size unit is not in its name\n"
		"# TYPE size gauge\n"
		"size{node=\"n\"} 5000 1700000000.123\n");
}

Test(openmetrics, plain_text_form)
{
	ADD("n", {{.name = "io_seconds",
			  .labels = "",
			  .unit = "seconds",
			  .help = "\\ \"",
			  .type = METRIC_COUNTER,
			  .kind = VALUE_U64},
			 2});
	same(EXPOSITION_TEXT, 0,
		"# HELP io_seconds_total \\\\ \"\n"
		"# TYPE io_seconds_total counter\n"
		"io_seconds_total{node=\"n\"} 2 1700000000123\n");
}

Test(openmetrics, buckets_are_sorted_and_cumulative)
{
	ADD("n", SUM("lat", "disk=\"a\"", 2500), BUCKET("lat", "disk=\"a\",le=\"+Inf\"", 1),
		BUCKET("lat", "disk=\"a\",le=\"10\"", 4), BUCKET("lat", "disk=\"a\",le=\"2\"", 2),
		BUCKET("lat", "disk=\"b\",le=\"0.5\",x=\"y\"", 3));
	same(EXPOSITION_OPENMETRICS, 0,
		"# TYPE lat histogram\n"
		"lat_bucket{node=\"n\",disk=\"a\",le=\"2\"} 2 1700000000.123\n"
		"lat_bucket{node=\"n\",disk=\"a\",le=\"10\"} 6 1700000000.123\n"
		"lat_bucket{node=\"n\",disk=\"a\",le=\"+Inf\"} 7 1700000000.123\n"
		"lat_count{node=\"n\",disk=\"a\"} 7 1700000000.123\n"
		"lat_sum{node=\"n\",disk=\"a\"} 2.5 1700000000.123\n"
		"lat_bucket{node=\"n\",disk=\"b\",x=\"y\",le=\"0.5\"} 3 1700000000.123\n"
		"lat_bucket{node=\"n\",disk=\"b\",x=\"y\",le=\"+Inf\"} 3 1700000000.123\n"
		"lat_count{node=\"n\",disk=\"b\",x=\"y\"} 3 1700000000.123\n");
}

Test(openmetrics, first_type_of_a_family_wins)
{
	ADD("a", GAUGE("x", "", 1));
	ADD("b", COUNTER("x", "", 2));
	ADD("c", BUCKET("x", "le=\"1\"", 3), GAUGE("x", "", 4));
	same(EXPOSITION_OPENMETRICS, 2,
		"# TYPE x gauge\n"
		"x{node=\"a\"} 1 1700000000.123\n"
		"x{node=\"c\"} 4 1700000000.123\n");
}

Test(openmetrics, repeated_series_stand_once)
{
	ADD("a", GAUGE("x", "", 1), GAUGE("x", "l=\"1\"", 5));
	ADD("a", GAUGE("x", "", 2));
	ADD("a", BUCKET("h", "le=\"1\"", 3), BUCKET("h", "le=\"1.0\"", 4));
	same(EXPOSITION_OPENMETRICS, 2,
		"# TYPE h histogram\n"
		"h_bucket{node=\"a\",le=\"1\"} 3 1700000000.123\n"
		"h_bucket{node=\"a\",le=\"+Inf\"} 3 1700000000.123\n"
		"h_count{node=\"a\"} 3 1700000000.123\n"
		"# TYPE x gauge\n"
		"x{node=\"a\"} 1 1700000000.123\n"
		"x{node=\"a\",l=\"1\"} 5 1700000000.123\n");
}

Test(openmetrics, names_of_other_families_samples_are_left_out)
{
	ADD("a", COUNTER("x", "", 1), GAUGE("x_total", "", 2), GAUGE("y_total", "", 3),
		BUCKET("h", "le=\"1\"", 4), GAUGE("h_count", "", 5), GAUGE("x_bucket", "", 6),
		GAUGE("tally_exposition_left_out_series", "", 7));
	same(EXPOSITION_OPENMETRICS, 3,
		"# TYPE h histogram\n"
		"h_bucket{node=\"a\",le=\"1\"} 4 1700000000.123\n"
		"h_bucket{node=\"a\",le=\"+Inf\"} 4 1700000000.123\n"
		"h_count{node=\"a\"} 4 1700000000.123\n"
		"# TYPE x counter\n"
		"x_total{node=\"a\"} 1 1700000000.123\n"
		"# TYPE x_bucket gauge\n"
		"x_bucket{node=\"a\"} 6 1700000000.123\n"
		"# TYPE y_total gauge\n"
		"y_total{node=\"a\"} 3 1700000000.123\n");
}

Test(openmetrics, a_label_called_node)
{
	ADD("a", GAUGE("x", "a=\"q,node=\\\"z\",node=\"own\",z=\"1\"", 1),
		GAUGE("y", "exported_node=\"1\",node=\"2\"", 2));
	ADD("quo\"te\\", GAUGE("x", "a=\"node=\"", 3));
	same(EXPOSITION_OPENMETRICS, 1,
		"# TYPE x gauge\n"
		"x{node=\"a\",a=\"q,node=\\\"z\",exported_node=\"own\",z=\"1\"} 1 1700000000.123\n"
		"x{node=\"quo\\\"te\\\\\",a=\"node=\"} 3 1700000000.123\n"
		"# TYPE y gauge\n");
}

Test(openmetrics, buckets_without_a_number_are_left_out)
{
	ADD("a", BUCKET("h", "le=\"nan\"", 1), BUCKET("h", "le=\"\"", 1),
		BUCKET("h", "le=\"1x\"", 1), BUCKET("h", "le=\"inf\"", 1),
		BUCKET("h", "le=\"1e3\"", 2));
	same(EXPOSITION_OPENMETRICS, 4,
		"# TYPE h histogram\n"
		"h_bucket{node=\"a\",le=\"1e3\"} 2 1700000000.123\n"
		"h_bucket{node=\"a\",le=\"+Inf\"} 2 1700000000.123\n"
		"h_count{node=\"a\"} 2 1700000000.123\n");
}

Test(openmetrics, groups_without_values_say_nothing)
{
	struct group_state g = {.schema = &schemas[0], .values = NULL, .realtime_ns = AT};

	cr_assert_eq(openmetrics_add(om, "n", &g), 0);
	same(EXPOSITION_OPENMETRICS, 0, "");
}

Test(openmetrics, negotiation)
{
	cr_assert_eq(openmetrics_negotiate(NULL), EXPOSITION_TEXT);
	cr_assert_eq(openmetrics_negotiate("*/*"), EXPOSITION_TEXT);
	cr_assert_eq(openmetrics_negotiate("application/openmetrics-text;version=1.0.0;q=0.75,"
					   "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
		EXPOSITION_OPENMETRICS);
}
