/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "tools/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/lib/schema.h"

static const char *text(struct number n)
{
	static char out[NUMBER_TEXT_MAX];

	number_format(n, out, sizeof(out));
	return out;
}

static struct number decimal(uint64_t v, int8_t scale)
{
	return number_from_value(v, VALUE_U64, scale);
}

Test(number, adds_counters_beyond_64_bits)
{
	struct number n = number_add(decimal(UINT64_MAX, 0), decimal(UINT64_MAX, 0));

	cr_assert_str_eq(text(n), "36893488147419103230");
	cr_assert_str_eq(text(number_sub(NUMBER_ZERO, n)), "-36893488147419103230");
}

Test(number, aligns_scales_exactly)
{
	cr_assert_str_eq(text(number_add(decimal(1, -9), decimal(3, 2))), "300.000000001");
	cr_assert_str_eq(text(number_sub(decimal(1, 0), decimal(1, -18))), "0.999999999999999999");
	cr_assert_str_eq(text(number_add(decimal(5, -2), decimal(95, -2))), "1");
}

/* 10^18 x (2^64 - 1) does not fit next to 10^-18: the sum becomes a double instead of garbage. */
Test(number, falls_back_to_doubles_when_the_range_ends)
{
	struct number n = number_add(decimal(UINT64_MAX, 18), decimal(1, -18));

	cr_assert(n.is_double);
	cr_assert_float_eq(n.d / 1e18, 1.8446744073709552e19, 1e4);
}

Test(number, zero_of_any_scale_is_zero)
{
	cr_assert_str_eq(text(decimal(0, -9)), "0");
	cr_assert_str_eq(text(decimal(0, 18)), "0");
	cr_assert_str_eq(text(number_add(decimal(0, 18), decimal(7, -18))), "0.000000000000000007");
}

Test(number, doubles_stay_doubles)
{
	struct number n = number_add(number_from_double(0.5), decimal(25, -2));

	cr_assert(n.is_double);
	cr_assert_str_eq(text(n), "0.75");
	cr_assert_str_eq(text(number_from_double(NAN)), "NaN");
}

Test(number, to_double)
{
	cr_assert_eq(number_to_double(decimal(25, -1)), 2.5);
	cr_assert_eq(number_to_double(number_from_value((uint64_t)-25, VALUE_I64, 1)), -250);
}

/* number_format() and value_format() must tell the same number in the same way. */
Test(number, prints_what_value_format_prints)
{
	const char *given = getenv("TALLY_SEED");
	unsigned seed = given ? (unsigned)atoi(given) : (unsigned)time(NULL);
	char want[64];

	printf("TALLY_SEED=%u\n", seed);
	srand(seed);
	for (int i = 0; i < 200000; i++) {
		uint64_t v = ((uint64_t)rand() << 33 ^ (uint64_t)rand() << 11 ^ (uint64_t)rand()) >>
			     rand() % 64;
		uint8_t kind = rand() % 2 ? VALUE_U64 : VALUE_I64;
		int8_t scale = (int8_t)(rand() % 37 - 18);

		/* Zeros at the end are what trimming is about. */
		for (int zeros = rand() % 8; zeros > 0 && v < UINT64_MAX / 10; zeros--)
			v *= 10;
		value_format(v, kind, scale, want, sizeof(want));
		cr_assert_str_eq(text(number_from_value(v, kind, scale)), want);
	}
}
