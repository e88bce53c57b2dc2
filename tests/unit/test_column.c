/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>

#include "gatherer/store/column.h"
#include "tests/lib/testrand.h"

#define N_MAX 700u

static uint64_t v[N_MAX], back[N_MAX], scratch[N_MAX];

static uint64_t bits_of(double d)
{
	uint64_t w;

	memcpy(&w, &d, sizeof(w));
	return w;
}

/* Encodes v, compares what is decoded, and returns the tag; *ret_size is the number of bytes. */
static uint8_t round_trip(size_t n, bool is_double, size_t *ret_size)
{
	struct column_copy copy;
	struct buf b = BUF_INIT;
	struct rd r;
	uint8_t tag;

	if (is_double)
		column_encode_f64(v, n, scratch, &b);
	else
		column_encode(v, n, &b);
	buf_put(&b, "behind", 6);
	cr_assert_eq(buf_error(&b), 0);
	r = rd_init(b.data, b.len);
	cr_assert_eq(column_decode(&r, n, back, &copy), 0);
	cr_assert_arr_eq(back, v, n * sizeof(*v));
	cr_assert_eq(rd_left(&r), 6, "a column knows where it ends");
	tag = b.data[0];
	*ret_size = b.len - 6;
	buf_release(&b);
	return tag;
}

static void assert_form(size_t n, enum column_tag tag, size_t at_most)
{
	size_t size;

	cr_assert_eq(round_trip(n, false, &size), tag);
	cr_assert_leq(size, at_most);
}

Test(column, each_form_is_chosen_where_it_is_smallest)
{
	test_rand_init();
	for (size_t i = 0; i < 500; i++)
		v[i] = 1ull << 63;
	assert_form(500, COLUMN_CONSTANT, 11);
	for (size_t i = 0; i < 500; i++)
		v[i] = (uint64_t)-5000 + test_rand_below(100);
	assert_form(500, COLUMN_OFFSET, 504);
	for (size_t i = 1; i < 500; i++)
		v[i] = v[i - 1] + 10 + test_rand_below(30);
	assert_form(500, COLUMN_DELTA, 504);
	v[0] = 0;
	for (size_t i = 1; i < 500; i++)
		v[i] = v[i - 1] + 1000000 + test_rand_below(20);
	assert_form(500, COLUMN_DELTA2, 510);
	for (size_t i = 1; i < 500; i++)
		v[i] = v[i - 1] + (i % 50 == 0);
	assert_form(500, COLUMN_SPARSE, 40);
}

Test(column, every_word_comes_back)
{
	test_rand_init();
	for (int round = 0; round < 4000; round++) {
		size_t n = 1 + test_rand_below(round % 10 ? 60 : N_MAX), size;
		uint64_t how = test_rand_below(6), shift = test_rand_below(64);

		for (size_t i = 0; i < n; i++) {
			uint64_t any = test_rand() >> shift, before = i ? v[i - 1] : any;

			v[i] = how == 0   ? any
			       : how == 1 ? before + any
			       : how == 2 ? before - any
			       : how == 3 ? (test_rand_below(9) ? before : any)
			       : how == 4 ? (uint64_t)INT64_MIN + test_rand_below(3) - 1
					  : before;
		}
		round_trip(n, false, &size);
		round_trip(n, true, &size);
	}
}

Test(column, decimals_become_integers)
{
	size_t size;

	test_rand_init();
	for (int round = 0; round < 300; round++) {
		unsigned int digits = (unsigned int)test_rand_below(10);

		for (size_t i = 0; i < 500; i++) {
			char text[32];

			snprintf(text, sizeof(text), "%.*f", (int)digits,
				(double)test_rand_below(100000) / 7.0);
			v[i] = bits_of(strtod(text, NULL));
		}
		cr_assert_eq(round_trip(500, true, &size), COLUMN_DECIMAL);
		cr_assert_lt(size, 500 * 8);
	}
	for (size_t i = 0; i < 500; i++)
		v[i] = bits_of(i % 3 ? 0.25 : 1.5);
	cr_assert_eq(round_trip(500, true, &size), COLUMN_DECIMAL);
	cr_assert_lt(size, 1100);
}

Test(column, doubles_that_are_no_numbers_come_back)
{
	const uint64_t odd[] = {bits_of(NAN), bits_of(-NAN), bits_of(INFINITY), bits_of(-INFINITY),
		bits_of(-0.0), 1, 0x7ff0000000000001, bits_of(1e308), bits_of(-5e-324)};
	size_t size;

	test_rand_init();
	for (uint64_t share = 1; share < 300; share += 7) {
		for (size_t i = 0; i < 600; i++)
			v[i] = test_rand_below(share) ? bits_of((double)i / 10)
						      : odd[test_rand_below(9)];
		round_trip(600, true, &size);
	}
}

Test(column, full_precision_doubles_that_come_back_are_words)
{
	size_t size;

	test_rand_init();
	for (size_t i = 0; i < 600; i++)
		v[i] = bits_of((double)test_rand_below(20) / 199.0);
	cr_assert_eq(round_trip(600, true, &size), COLUMN_WORDS);
}

static void assert_copy(size_t n, const uint64_t *base, const uint64_t *like)
{
	struct column_shape a = column_shape(base, n), b = column_shape(like, n);
	struct column_copy c = {.of = 3, .first = like[0]}, got;
	struct buf bytes = BUF_INIT;
	struct rd r;

	cr_assert_neq(a.unit, 0);
	cr_assert_eq(a.hash, b.hash);
	cr_assert(column_same_shape(base, a.unit, like, b.unit, n));
	c.g = (uint64_t)(a.unit < 0 ? -a.unit : a.unit);
	c.h = a.unit < 0 ? -b.unit : b.unit;
	column_encode_copy(&c, &bytes);
	r = rd_init(bytes.data, bytes.len);
	cr_assert_eq(column_decode(&r, n, back, &got), 1);
	cr_assert(got.of == 3 && got.first == like[0] && rd_left(&r) == 0);
	column_apply_copy(&got, base, n, back);
	cr_assert_arr_eq(back, like, n * sizeof(*like));
	buf_release(&bytes);
}

Test(column, proportional_columns_are_copies)
{
	static const int64_t factors[] = {1, 4, -1, -3, 1000, 512};
	uint64_t like[200];

	test_rand_init();
	for (int round = 0; round < 500; round++) {
		int64_t f = factors[test_rand_below(6)], g = factors[test_rand_below(6)];

		v[0] = test_rand();
		like[0] = test_rand();
		for (size_t i = 1; i < 200; i++) {
			int64_t d = test_rand_below(3) ? (int64_t)test_rand_below(2001) - 1000 : 0;

			v[i] = v[i - 1] + (uint64_t)(d * f);
			like[i] = like[i - 1] + (uint64_t)(d * g);
		}
		assert_copy(200, v, like);
	}
	for (size_t i = 0; i < 200; i++)
		v[i] = i % 2 ? 1ull << 63 : 0;
	cr_assert_eq(column_shape(v, 200).unit, 0, "differences of 2^63 have no sign");
	memset(v, 0, sizeof(v));
	cr_assert_eq(column_shape(v, 200).unit, 0, "nor has a constant");
}

Test(column, damaged_bytes_are_refused_or_harmless)
{
	struct column_copy copy;
	uint8_t bytes[64];

	test_rand_init();
	for (int round = 0; round < 300000; round++) {
		size_t len = test_rand_below(sizeof(bytes));
		struct rd r = rd_init(bytes, len);
		int got;

		for (size_t i = 0; i < len; i++)
			bytes[i] = test_rand_below(3) ? (uint8_t)test_rand_below(9)
						      : (uint8_t)test_rand();
		got = column_decode(&r, 1 + test_rand_below(40), back, &copy);
		cr_assert(got == 0 || got == 1 || got == -EBADMSG);
		if (got == 1)
			column_apply_copy(&copy, v, 40, back);
	}
}
