/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bucket arithmetic: every edge of every range that is allowed, random values against a search, and
 * the header in the languages that use it.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "include/tally/histogram.h"
#include "user/lib/quantile.h"

/* Trivially correct: the first bucket whose upper bound is not below the value. */
static uint32_t search(uint64_t value, uint32_t lo, uint32_t hi)
{
	uint32_t i = 0;

	while (tally_histogram_upper(i, lo, hi) < value)
		i++;
	return i;
}

static void check_range(uint32_t lo, uint32_t hi)
{
	uint32_t n = TALLY_HISTOGRAM_BUCKETS(lo, hi);
	uint64_t lower = 0;

	cr_assert_eq(tally_histogram_index(0, lo, hi), 0);
	cr_assert_eq(tally_histogram_index(UINT64_MAX, lo, hi), n - 1);
	cr_assert_eq(tally_histogram_upper(0, lo, hi), UINT64_C(1) << lo);
	cr_assert_eq(tally_histogram_upper(n - 2, lo, hi), UINT64_C(1) << hi);
	cr_assert_eq(tally_histogram_upper(n - 1, lo, hi), UINT64_MAX);
	cr_assert_eq(tally_histogram_upper(n, lo, hi), UINT64_MAX);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t upper = tally_histogram_upper(i, lo, hi);

		cr_assert_gt(upper, lower, "bounds rise: bucket %u of %u..%u", i, lo, hi);
		cr_assert_eq(tally_histogram_index(upper, lo, hi), i);
		cr_assert_eq(tally_histogram_index(lower + 1, lo, hi), i);
		cr_assert_eq(tally_histogram_index(lower + (upper - lower + 1) / 2, lo, hi), i);
		lower = upper;
	}
}

Test(histogram, every_edge_of_every_range)
{
	for (uint32_t lo = 2; lo < 63; lo++)
		for (uint32_t hi = lo + 1; hi <= 63; hi++)
			check_range(lo, hi);
}

/* By hand from the definition, so that the two functions can't be wrong together. */
Test(histogram, known_bounds)
{
	static const uint64_t upper[] = {
		1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120};

	for (uint32_t i = 0; i < sizeof(upper) / sizeof(upper[0]); i++)
		cr_assert_eq(tally_histogram_upper(i, 10, 34), upper[i]);
	cr_assert_eq(TALLY_HISTOGRAM_BUCKETS(10, 34), 98);
	cr_assert_eq(tally_histogram_index(1024, 10, 34), 0);
	cr_assert_eq(tally_histogram_index(1025, 10, 34), 1);
	cr_assert_eq(tally_histogram_index(1280, 10, 34), 1);
	cr_assert_eq(tally_histogram_index(1281, 10, 34), 2);
	cr_assert_eq(tally_histogram_index(UINT64_C(1) << 34, 10, 34), 96);
	cr_assert_eq(tally_histogram_index((UINT64_C(1) << 34) + 1, 10, 34), 97);
}

/* A bucket is never wider than a quarter of what is in it. */
Test(histogram, relative_width)
{
	for (uint32_t i = 1; i < TALLY_HISTOGRAM_BUCKETS(10u, 34u) - 1; i++) {
		uint64_t lower = tally_histogram_upper(i - 1, 10, 34);

		cr_assert_leq((tally_histogram_upper(i, 10, 34) - lower) * 4, lower);
	}
}

Test(histogram, all_small_values_in_order)
{
	uint32_t last = 0;

	for (uint64_t v = 0; v <= 1 << 17; v++) {
		uint32_t i = tally_histogram_index(v, 4, 16);

		cr_assert_eq(i, search(v, 4, 16), "value %lu", (unsigned long)v);
		cr_assert(i == last || i == last + 1);
		last = i;
	}
	cr_assert_eq(last, TALLY_HISTOGRAM_BUCKETS(4, 16) - 1);
}

Test(histogram, random_values_against_a_search)
{
	const char *given = getenv("TALLY_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	unsigned short state[3] = {
		(unsigned short)seed, (unsigned short)(seed >> 16), (unsigned short)(seed >> 32)};

	printf("TALLY_SEED=%llu\n", (unsigned long long)seed);
	for (int n = 0; n < 200000; n++) {
		uint64_t bits = (uint64_t)nrand48(state) << 33 | (uint64_t)nrand48(state) << 2;
		uint64_t v = (bits | (uint64_t)(n & 3)) >> (nrand48(state) & 63);

		cr_assert_eq(tally_histogram_index(v, 10, 34), search(v, 10, 34), "value %llu",
			(unsigned long long)v);
	}
}

/* All ranges and widths: bounds ascend, a bound is in the bucket it ends, and no bucket is too wide. */
Test(histogram, every_shape)
{
	for (uint32_t bits = 0; bits <= 6; bits++)
		for (int lo = -1; lo < 63; lo++)
			for (int hi = lo < 0 ? 0 : lo + 1; hi <= 63; hi += 1 + (hi > lo + 9)) {
				uint32_t n = tally_histogram_buckets(lo, (uint32_t)hi, bits);
				uint64_t below = 0, bound = 0;

				for (uint32_t i = 0; i < n; i++, below = bound) {
					bound = tally_histogram_bound(i, lo, (uint32_t)hi, bits);
					cr_assert(i == 0 || bound > below);
					cr_assert_eq(tally_histogram_bucket(
							     bound, lo, (uint32_t)hi, bits),
						i);
					cr_assert_eq(tally_histogram_bucket(i ? below + 1 : 0, lo,
							     (uint32_t)hi, bits),
						i);
					cr_assert(i == 0 || i == n - 1 || bound - below == 1 ||
						  (bound - below) << bits <= below);
				}
				cr_assert_eq(tally_histogram_bound(n - 2, lo, (uint32_t)hi, bits),
					UINT64_C(1) << hi);
			}
}

/* What makes histograms of several hosts addable: a bound is one of every finer or wider shape too. */
Test(histogram, bounds_of_fewer_bits_are_bounds_of_more)
{
	for (uint32_t bits = 0; bits < 6; bits++)
		for (uint32_t i = 0; i < tally_histogram_buckets(3, 40, bits) - 1; i++) {
			uint64_t bound = tally_histogram_bound(i, 3, 40, bits);
			uint32_t finer = tally_histogram_bucket(bound, -1, 50, bits + 1);

			cr_assert_eq(tally_histogram_bound(finer, -1, 50, bits + 1), bound);
		}
}

Test(histogram, small_values_have_a_bucket_each)
{
	for (uint64_t v = 0; v <= 8; v++) {
		cr_expect_eq(tally_histogram_bucket(v, -1, 10, 2), v);
		cr_expect_eq(tally_histogram_bound((uint32_t)v, -1, 10, 2), v);
	}
}

Test(histogram, quantiles)
{
	struct histogram_shape shape = {-1, 10, 2};
	uint64_t buckets[64] = {0};

	cr_expect(isnan(histogram_quantile(buckets, shape, 0.5)));
	for (uint64_t v = 1; v <= 1000; v++)
		buckets[tally_histogram_bucket(v, -1, 10, 2)]++;
	cr_expect_eq(histogram_count(buckets, shape), 1000);
	for (double q = 0.01; q < 1; q += 0.01) {
		double got = histogram_quantile(buckets, shape, q);

		/* uniform values: linear within a bucket is right, but for the last one's end */
		cr_expect_float_eq(got, 1000 * q, 0.03 * 1000 * q + 1, "%g: %g", q, got);
	}
	memset(buckets, 0, sizeof(buckets));
	buckets[tally_histogram_buckets(-1, 10, 2) - 1] = 5;
	cr_expect_eq(histogram_quantile(buckets, shape, 0.5), 1024, "above the range");
}

/* BPF has its own logarithm. */
Test(histogram, both_logarithms_agree)
{
	for (unsigned p = 0; p < 64; p++) {
		uint64_t v = UINT64_C(1) << p;

		cr_assert_eq(tally_histogram_log2(v), p);
		cr_assert_eq(tally_histogram_log2_steps(v), p);
		cr_assert_eq(tally_histogram_log2_steps(v | (v - 1)), p);
		cr_assert_eq(tally_histogram_log2_steps(v | v >> 1), p);
	}
}

static int run(const char *command)
{
	int rc = system(command);

	return rc == 0 ? 0 : 1;
}

#define STRICT "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -fsyntax-only -I. "
#define PROGRAM                                                                          \
	"#include \"include/tally/histogram.h\"\\n"                                      \
	"extern uint32_t bucket_of(uint64_t v);\\n"                                      \
	"uint32_t bucket_of(uint64_t v) { return tally_histogram_index(v, 10, 34); }\\n" \
	"char fixed_size[TALLY_HISTOGRAM_BUCKETS(10, 34) == 98u ? 1 : -1];\\n"

static void check_compiles(const char *compiler, const char *options)
{
	char command[1024];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", compiler);
	cr_assert_eq(run(command), 0, "%s is not installed", compiler);
	snprintf(command, sizeof(command), "printf '%s' | %s " STRICT "%s -", PROGRAM, compiler,
		options);
	cr_assert_eq(run(command), 0, "%s %s", compiler, options);
}

Test(histogram, compiles_without_a_warning)
{
	check_compiles("gcc", "-std=c11 -x c");
	check_compiles("gcc", "-std=c++17 -x c++");
	check_compiles("clang", "-std=c11 -x c");
	check_compiles("clang", "-std=c++17 -x c++");
	check_compiles("clang", "-target bpf -ffreestanding -x c");
}
