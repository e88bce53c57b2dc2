/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "tools/window.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SEC 1000000000ll

static const struct series counter = {"c", "", "", "", METRIC_COUNTER, VALUE_U64, SERIES_VALUE, 0};
static const struct series millis = {"m", "", "", "", METRIC_COUNTER, VALUE_U64, SERIES_VALUE, -3};
static const struct series gauge = {"g", "", "", "", METRIC_GAUGE, VALUE_I64, SERIES_VALUE, 0};
static const struct series real = {"r", "", "", "", METRIC_COUNTER, VALUE_F64, SERIES_VALUE, 0};

static struct window make(enum window_mode mode, int64_t from, int64_t to, int64_t step)
{
	struct window_spec spec = {mode, from * SEC, to * SEC, step * SEC};
	struct window w;

	window_init(&w, &spec);
	return w;
}

/* Sample at t seconds; the monotonic clock began 1000 s before the range. */
static void add(
	struct window *w, const struct series *def, int64_t t, uint64_t value, uint32_t flags)
{
	struct sample s = {t * SEC, (uint64_t)(t + 1000) * SEC, value, flags};

	cr_assert_eq(window_add(w, def, &s), 0);
}

static double value(const struct window *w, size_t i)
{
	cr_assert_lt(i, w->points.n);
	return number_to_double(w->points.v[i].value);
}

static void before(struct window *w, int64_t t, uint64_t v)
{
	struct sample s = {t * SEC, (uint64_t)(t + 1000) * SEC, v, 0};

	window_set_previous(w, &s);
}

Test(window, raw_values_are_every_sample)
{
	struct window w = make(WINDOW_VALUE, 0, 100, 0);

	add(&w, &gauge, 1, (uint64_t)-5, 0);
	add(&w, &gauge, 1, 7, SAMPLE_GAP);
	window_finish(&w);
	cr_assert_eq(w.points.n, 2);
	cr_assert_eq(value(&w, 0), -5);
	cr_assert_eq(w.points.v[1].flags, SAMPLE_GAP);
	window_release(&w);
}

Test(window, last_value_of_a_step_and_no_point_for_an_empty_one)
{
	struct window w = make(WINDOW_VALUE, 5, 100, 10);

	add(&w, &gauge, 5, 1, 0);
	add(&w, &gauge, 14, 2, 0);
	add(&w, &gauge, 35, 3, SAMPLE_RESET);
	window_finish(&w);
	cr_assert_eq(w.points.n, 2);
	cr_assert_eq(value(&w, 0), 2);
	cr_assert_eq(w.points.v[0].time_ns, 5 * SEC);
	cr_assert_eq(w.points.v[1].time_ns, 35 * SEC);
	cr_assert_eq(w.points.v[1].flags, SAMPLE_RESET);
	window_release(&w);
}

Test(window, increase_belongs_to_the_later_sample)
{
	struct window w = make(WINDOW_INCREASE, 0, 30, 10);

	before(&w, -5, 100);
	add(&w, &counter, 5, 110, 0);
	add(&w, &counter, 15, 130, 0);
	add(&w, &counter, 25, 170, 0);
	window_finish(&w);
	cr_assert_eq(w.points.n, 3);
	cr_assert_eq(value(&w, 0), 10);
	cr_assert_eq(value(&w, 1), 20);
	cr_assert_eq(value(&w, 2), 40);
	window_release(&w);
}

Test(window, first_sample_ever_is_what_is_counted_from)
{
	struct window w = make(WINDOW_INCREASE, 0, 30, 0);

	add(&w, &counter, 5, 1000000, 0);
	add(&w, &counter, 6, 1000003, 0);
	window_finish(&w);
	cr_assert_eq(w.points.n, 1);
	cr_assert_eq(value(&w, 0), 3);
	window_release(&w);
}

Test(window, a_counter_born_in_the_range_counts_from_zero)
{
	struct window w = make(WINDOW_INCREASE, 0, 30, 30);

	window_set_born_after(&w, 4 * SEC);
	add(&w, &counter, 5, 40, SAMPLE_RESET);
	add(&w, &counter, 6, 43, 0);
	window_finish(&w);
	cr_assert_eq(value(&w, 0), 43);
	window_release(&w);
}

Test(window, a_counter_that_was_there_at_the_first_poll_was_not_born)
{
	struct window w = make(WINDOW_INCREASE, 0, 30, 30);

	window_set_born_after(&w, 5 * SEC);
	add(&w, &counter, 5, 40, SAMPLE_RESET);
	add(&w, &counter, 6, 43, 0);
	window_finish(&w);
	cr_assert_eq(value(&w, 0), 3);
	window_release(&w);
}

Test(window, a_birth_has_no_rate)
{
	struct window w = make(WINDOW_RATE, 0, 30, 30);

	window_set_born_after(&w, 4 * SEC);
	add(&w, &counter, 5, 1000000, SAMPLE_RESET);
	add(&w, &counter, 6, 1000003, 0);
	window_finish(&w);
	cr_assert_float_eq(value(&w, 0), 3, 1e-9);
	window_release(&w);
}

Test(window, a_reset_is_not_subtracted_across)
{
	struct window w = make(WINDOW_INCREASE, 0, 100, 0);

	before(&w, -1, 500);
	/* Marked, and now higher than before: nothing but the mark tells. */
	add(&w, &counter, 9, 600, SAMPLE_RESET);
	add(&w, &counter, 19, 610, 0);
	/* Not marked, but it went down. */
	add(&w, &counter, 29, 4, 0);
	window_finish(&w);
	cr_assert_eq(value(&w, 0), 600);
	cr_assert_eq(value(&w, 1), 10);
	cr_assert_eq(value(&w, 2), 4);
	window_release(&w);
}

Test(window, rates_use_the_monotonic_clock)
{
	struct window w = make(WINDOW_RATE, 0, 1000, 0);
	struct sample s = {20 * SEC, 2000 * SEC, 100, 0};

	window_set_previous(&w, &s);
	/* Realtime was set 100 s ahead; 10 s passed. */
	s = (struct sample){130 * SEC, 2010 * SEC, 150, 0};
	cr_assert_eq(window_add(&w, &counter, &s), 0);
	window_finish(&w);
	cr_assert_eq(w.points.n, 1);
	cr_assert_float_eq(value(&w, 0), 5, 1e-12);
	window_release(&w);
}

Test(window, rate_across_a_reset_uses_realtime)
{
	struct window w = make(WINDOW_RATE, 0, 1000, 0);
	struct sample s = {20 * SEC, 2000 * SEC, 100, 0};

	window_set_previous(&w, &s);
	s = (struct sample){30 * SEC, 3 * SEC, 50, SAMPLE_RESET}; /* after a boot */
	cr_assert_eq(window_add(&w, &counter, &s), 0);
	window_finish(&w);
	cr_assert_float_eq(value(&w, 0), 5, 1e-12);
	window_release(&w);
}

Test(window, rate_of_a_step_is_all_of_its_increase_over_all_of_its_time)
{
	struct window w = make(WINDOW_RATE, 0, 100, 50);

	before(&w, -10, 0);
	add(&w, &millis, 10, 2000, 0);
	add(&w, &millis, 40, 5000, 0);
	window_finish(&w);
	cr_assert_eq(w.points.n, 1);
	cr_assert_float_eq(value(&w, 0), 0.1, 1e-12);
	window_release(&w);
}

Test(window, scaled_increases_are_exact_decimals)
{
	struct window w = make(WINDOW_INCREASE, 0, 100, 100);
	char text[NUMBER_TEXT_MAX];

	before(&w, -1, UINT64_MAX - 10);
	add(&w, &millis, 10, UINT64_MAX - 7, 0);
	add(&w, &millis, 20, UINT64_MAX, 0);
	window_finish(&w);
	number_format(w.points.v[0].value, text, sizeof(text));
	cr_assert_str_eq(text, "0.01");
	window_release(&w);
}

Test(window, doubles)
{
	struct window w = make(WINDOW_INCREASE, 0, 100, 0);
	uint64_t bits;

	for (int i = 0; i < 3; i++) {
		double d = i == 2 ? 0.25 : i + 0.5;
		memcpy(&bits, &d, sizeof(bits));
		add(&w, &real, i, bits, 0);
	}
	window_finish(&w);
	cr_assert_eq(value(&w, 0), 1);
	cr_assert_eq(value(&w, 1), 0.25);
	window_release(&w);
}

/* The clock went back: the sample found before the range is younger than those in it. */
Test(window, a_sample_that_is_older_than_the_one_before_is_left_out)
{
	struct window w = make(WINDOW_INCREASE, 18, 100, 0);
	struct sample s = {15 * SEC, 300 * SEC, 30, 0};

	window_set_previous(&w, &s);
	s = (struct sample){20 * SEC, 200 * SEC, 20, 0};
	cr_assert_eq(window_add(&w, &counter, &s), 0);
	s = (struct sample){25 * SEC, 400 * SEC, 45, 0};
	cr_assert_eq(window_add(&w, &counter, &s), 0);
	window_finish(&w);
	cr_assert_eq(w.points.n, 1);
	cr_assert_eq(value(&w, 0), 15);
	window_release(&w);
}

static struct number total(const struct window *w)
{
	struct number sum = NUMBER_ZERO;

	for (size_t i = 0; i < w->points.n; i++)
		sum = number_add(sum, w->points.v[i].value);
	return sum;
}

/* Promise: whatever the steps are, their increases add up exactly to that of the whole range. */
Test(window, steps_add_up_to_the_whole)
{
	const char *given = getenv("TALLY_SEED");
	unsigned seed = given ? (unsigned)atoi(given) : (unsigned)time(NULL);

	printf("TALLY_SEED=%u\n", seed);
	srand(seed);
	for (int round = 0; round < 300; round++) {
		struct window whole = make(WINDOW_INCREASE, 0, 1000, 1000);
		struct window parts = make(WINDOW_INCREASE, 0, 1000, rand() % 300 + 1);
		uint64_t v = (uint64_t)rand() << 20;
		unsigned __int128 want = 0;
		char a[NUMBER_TEXT_MAX], b[NUMBER_TEXT_MAX];

		before(&whole, -1, v);
		before(&parts, -1, v);
		for (int64_t t = rand() % 20; t < 1000; t += rand() % 40 + 1) {
			bool reset = rand() % 20 == 0;
			uint64_t d = (uint64_t)rand() << rand() % 30;

			v = reset ? d : v + d;
			want += d;
			add(&whole, &counter, t, v, reset ? SAMPLE_RESET : 0);
			add(&parts, &counter, t, v, reset ? SAMPLE_RESET : 0);
		}
		number_format(total(&parts), a, sizeof(a));
		number_format(total(&whole), b, sizeof(b));
		cr_assert_str_eq(a, b);
		cr_assert(total(&whole).i == (__int128)want);
		window_release(&whole);
		window_release(&parts);
	}
}

Test(window, merged_points_add_up_at_the_same_times)
{
	struct window a = make(WINDOW_VALUE, 0, 100, 10), b = make(WINDOW_VALUE, 0, 100, 10);

	add(&a, &gauge, 5, 1, 0);
	add(&a, &gauge, 25, 2, 0);
	add(&b, &gauge, 15, 10, 0);
	add(&b, &gauge, 25, 20, SAMPLE_GAP);
	cr_assert_eq(points_merge(&a.points, &b.points), 0);
	cr_assert_eq(a.points.n, 3);
	cr_assert_eq(value(&a, 0), 1);
	cr_assert_eq(value(&a, 1), 10);
	cr_assert_eq(value(&a, 2), 22);
	cr_assert_eq(a.points.v[2].flags, SAMPLE_GAP);
	window_release(&a);
	window_release(&b);
}
