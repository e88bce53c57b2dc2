/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "tools/plot.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct plot_unit plain = {false, ""}, bytes = {true, "B"}, seconds = {false, "s"};

Test(plot, nice_steps)
{
	cr_assert_eq(plot_nice_step(10, 5, false), 2);
	cr_assert_eq(plot_nice_step(11, 5, false), 5);
	cr_assert_eq(plot_nice_step(100, 10, false), 10);
	cr_assert_float_eq(plot_nice_step(0.0035, 4, false), 0.001, 1e-15);
	cr_assert_eq(plot_nice_step(6000, 5, true), 2048);
	cr_assert_eq(plot_nice_step(8 * 1024, 8, true), 1024);
	cr_assert_eq(plot_nice_step(0, 5, false), 1);
	cr_assert_eq(plot_nice_step(NAN, 5, false), 1);
}

static void check_axis(double min, double max, size_t most, struct plot_unit unit)
{
	struct plot_axis a;
	double step;

	plot_value_axis(&a, min, max, most, unit);
	cr_assert_geq(a.n, 2, "%g..%g", min, max);
	cr_assert_leq(a.n, most + 3, "%g..%g: %zu ticks", min, max, a.n);
	step = a.ticks[1].at - a.ticks[0].at;
	cr_assert_leq(a.min, min + step * 1e-6);
	cr_assert_geq(a.max, max - step * 1e-6);
	cr_assert_float_eq(a.ticks[0].at, a.min, step * 1e-6);
	cr_assert_float_eq(a.ticks[a.n - 1].at, a.max, step * 1e-3);
	/* Two ticks with one label would lie. */
	for (size_t i = 1; i < a.n; i++)
		cr_assert_str_neq(a.ticks[i].label, a.ticks[i - 1].label, "%g..%g: '%s' twice", min,
			max, a.ticks[i].label);
}

Test(plot, value_axes_hold_all_values_and_have_distinct_labels)
{
	const char *given = getenv("TALLY_SEED");
	unsigned seed = given ? (unsigned)atoi(given) : (unsigned)time(NULL);

	printf("TALLY_SEED=%u\n", seed);
	srand(seed);
	for (int i = 0; i < 20000; i++) {
		double size = pow(10, rand() % 36 - 15), at = size * (rand() % 2001 - 1000) / 1000;
		double range = fabs(at) * pow(10, -(rand() % 7)) + size * 1e-3;

		check_axis(at, at + range, (size_t)(rand() % 10 + 2), rand() % 2 ? plain : seconds);
	}
	check_axis(0, 3e9, 5, bytes);
	check_axis(0, 0.3, 5, bytes);
	check_axis(7, 7, 5, plain);
	check_axis(0, 0, 5, plain);
	check_axis(-3, -3, 5, plain);
	check_axis(-1e300, 1e300, 5, plain);
}

Test(plot, value_labels)
{
	struct plot_axis a;

	plot_value_axis(&a, 0, 9000, 5, plain);
	cr_assert_str_eq(a.ticks[0].label, "0");
	cr_assert_str_eq(a.ticks[1].label, "2 k");
	cr_assert_str_eq(a.ticks[5].label, "10 k");
	plot_value_axis(&a, 0, 3.1 * 1024 * 1024, 4, bytes);
	cr_assert_str_eq(a.ticks[1].label, "1 MiB");
	plot_value_axis(&a, 0, 0.0021, 5, seconds);
	cr_assert_str_eq(a.ticks[1].label, "0.5 ms");
	plot_value_axis(&a, -2, 3, 5, plain);
	cr_assert_str_eq(a.ticks[0].label, "-2");
	cr_assert_str_eq(a.ticks[2].label, "0");
}

Test(plot, values_have_three_digits)
{
	static const struct {
		double v;
		const struct plot_unit *unit;
		const char *text;
	} cases[] = {{0, &plain, "0"}, {7, &plain, "7"}, {7.126, &plain, "7.13"},
		{71.26, &plain, "71.3"}, {712.6, &plain, "713"}, {999.9, &plain, "1.00 k"},
		{1e6, &plain, "1 M"}, {-1234, &plain, "-1.23 k"}, {0.00025, &seconds, "250 µs"},
		{0, &seconds, "0 s"}, {1536, &bytes, "1.50 KiB"}, {0.5, &bytes, "0.500 B"},
		{0.56, &plain, "0.560"}, {0.00012, &plain, "0.000120"}, {3e-9, &plain, "3e-09"},
		{1e30, &plain, "1e+30"}, {NAN, &plain, "-"}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[PLOT_VALUE_MAX];
		plot_format_value(cases[i].v, *cases[i].unit, text);
		cr_assert_str_eq(text, cases[i].text);
	}
}

static void set_zone(void)
{
	setenv("TZ", "IST-5:30", 1);
	tzset();
}

/* In a zone with half an hour: round times are those of the clock on the wall. */
Test(plot, time_ticks_are_round_local_times, .init = set_zone)
{
	struct plot_axis a;

	plot_time_axis(&a, 1700000000, 1700000000 + 86400, 8);
	cr_assert_gt(a.n, 3);
	cr_assert_leq(a.n, 9);
	for (size_t i = 0; i < a.n; i++)
		cr_assert_str_eq(strchr(a.ticks[i].label, ':'), ":00");
	plot_time_axis(&a, 1700000000, 1700000060, 6);
	cr_assert_str_eq(a.ticks[0].label, "03:43:20");
	plot_time_axis(&a, 1700000000, 1700000001, 5);
	cr_assert_str_eq(a.ticks[1].label, "03:43:20.200");
	plot_time_axis(&a, 0, 40.0 * 365 * 86400, 5);
	cr_assert_geq(a.n, 2);
	cr_assert_leq(a.n, 6);
	plot_time_axis(&a, 5, 5, 5);
	cr_assert_gt(a.max, a.min);
}

/* --- contents --- */

static struct points make_points(size_t n, const int64_t *times, const double *values)
{
	struct points p = {.n = n, .v = calloc(n, sizeof(struct point))};

	for (size_t i = 0; i < n; i++)
		p.v[i] = (struct point){
			.time_ns = times[i] * 1000000000, .value = number_from_double(values[i])};
	return p;
}

Test(plot, gaps_are_gaps)
{
	struct points p = make_points(8, (int64_t[]){0, 10, 20, 30, 80, 90, 100, 110},
		(double[]){1, 2, 3, 4, 5, NAN, 7, 8});
	struct plot_series s = {0};

	p.v[2].flags = SAMPLE_GAP;
	cr_assert_eq(plot_take_points(&s, &p, WINDOW_VALUE, 0), 0);
	cr_assert_eq(s.n, 7, "NaN is no point");
	cr_assert(s.points[0].apart);
	cr_assert_not(s.points[1].apart);
	cr_assert(s.points[2].apart, "missing snapshots are marked");
	cr_assert_not(s.points[3].apart);
	cr_assert(s.points[4].apart, "far apart");
	cr_assert(s.points[5].apart, "NaN was between");
	cr_assert_not(s.points[6].apart);
	cr_assert_eq(s.max, 8);
	cr_assert_eq(s.last, 8);
	free(s.points);
	points_release(&p);
}

static struct series defs[] = {
	{"cpu_seconds", "cpu=\"0\",mode=\"idle\"", "seconds", "", METRIC_COUNTER, VALUE_U64,
		SERIES_VALUE, 0},
	{"cpu_seconds", "cpu=\"0\",mode=\"user\"", "seconds", "", METRIC_COUNTER, VALUE_U64,
		SERIES_VALUE, 0},
	{"cpu_seconds", "", "seconds", "", METRIC_COUNTER, VALUE_U64, SERIES_VALUE, 0},
};

Test(plot, the_legend_tells_only_what_differs)
{
	struct history_node node = {.name = "web\x1b"};
	struct pick picks[2] = {{.series = {.def = &defs[0]}, .node = &node},
		{.series = {.def = &defs[1]}, .node = &node}};
	struct plot p = {0};

	cr_assert_eq(plot_describe(&p, picks, 2, WINDOW_RATE), 0);
	cr_assert_str_eq(p.title, "cpu_seconds_total  cpu=0  on web\\x1b");
	cr_assert_str_eq(p.subtitle, "seconds per second");
	cr_assert_str_eq(p.series[0].label, "mode=idle");
	cr_assert_str_eq(p.series[1].label, "mode=user");
	plot_release(&p);
}

Test(plot, a_title_without_common_labels_ends_with_the_name)
{
	struct history_node nodes[2] = {{.name = "a"}, {.name = "b"}};
	struct pick picks[2] = {{.series = {.node = 0, .def = &defs[0]}, .node = &nodes[0]},
		{.series = {.node = 1, .def = &defs[2]}, .node = &nodes[1]}};
	struct plot p = {0};

	cr_assert_eq(plot_describe(&p, picks, 2, WINDOW_RATE), 0);
	cr_assert_str_eq(p.title, "cpu_seconds_total");
	plot_release(&p);
}

/* --- terminal --- */

static char *print(bool utf8, size_t n)
{
	struct plot p = {.title = strdup("title"),
		.subtitle = strdup("unit"),
		.span = strdup("span"),
		.unit = plain,
		.n = n};
	struct plot_terminal t = {.width = 60, .height = 12, .utf8 = utf8};
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (size_t i = 0; i < n; i++) {
		struct points points = make_points(
			3, (int64_t[]){0, 10, 20}, (double[]){0, (double)(50 * (i + 1)), 100});
		p.series[i].label = strdup("label");
		plot_take_points(&p.series[i], &points, WINDOW_VALUE, 0);
		points_release(&points);
	}
	p.x = (struct plot_axis){.min = 0, .max = 20};
	plot_scale(&p, 5, 3);
	cr_assert_eq(plot_print(&p, &t, out), 0);
	fclose(out);
	plot_release(&p);
	return text;
}

static size_t widest_line(const char *text)
{
	size_t widest = 0;

	while (*text) {
		size_t len = strcspn(text, "\n");
		widest = len > widest ? len : widest;
		text += len + (text[len] == '\n');
	}
	return widest;
}

Test(plot, terminal_ascii)
{
	char *text = print(false, 2);

	for (const char *p = text; *p; p++)
		cr_assert(*p == '\n' || (*p >= ' ' && *p < 0x7f), "byte %02x", (uint8_t)*p);
	cr_assert(strstr(text, "100 +"));
	cr_assert(strchr(text, '*') && strchr(text, '+'));
	cr_assert_leq(widest_line(text), 76);
	free(text);
}

Test(plot, terminal_braille)
{
	char *text = print(true, 1);

	cr_assert(strstr(text, "\xe2\xa3") || strstr(text, "\xe2\xa0"), "no braille in:\n%s", text);
	cr_assert(strstr(text, "100 ┤"));
	free(text);
}

/* The line's ends are in the corners. */
Test(plot, terminal_places_points)
{
	char *text = print(false, 1), *row = text, *last = NULL;

	for (char *p = text; *p; p++)
		if (p[0] == '0' && p[1] == ' ' && p[2] == '+')
			last = p;
	row = strstr(text, "100 +");
	cr_assert(row && last);
	cr_assert_eq(row[strcspn(row, "\n") - 1], '*', "top right");
	cr_assert_eq(last[3], '*', "bottom left");
	free(text);
}
