/* SPDX-License-Identifier: MIT */
/*
 * Bucket arithmetic of log-linear histograms, shared by applications, BPF programs and readers.
 *
 * A histogram covers the range 2^lo .. 2^hi. Every power of two in it is cut into 2^bits buckets of
 * equal width, so that a bucket is never wider than 1/2^bits of the values in it; one bucket more takes
 * what is below, and one what is above the range. No bucket is narrower than 1: small values have one
 * each. lo = -1 is a range that begins at 0, and its first bucket holds the zeros.
 *
 *   lo = 10, hi = 34     0 ..... 1024 .. 1280 .. 1536 .. 1792 .. 2048 .. 2560 ... 2^34 ..... 2^64-1
 *   bits = 2: bucket         0  |     1   |   2   |   3   |   4   |   5   | ...  96  |   97
 *
 *   lo = -1, hi = 4      0   1   2   3   4   5   6   7   8 .. 10 .. 12 .. 14 .. 16 ..... 2^64-1
 *   bits = 2: bucket   0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 |  9  | 10  | 11  | 12  |  13
 *
 * A bucket holds the values above its lower bound up to and including its upper bound, as the label
 * "le" of OpenMetrics means it: a reader shows the bounds as they are, and they are exact.
 *
 * All histograms of the same bits have the same bounds, as far as their ranges go, and those of fewer
 * bits have some of them: so histograms of threads, processes and hosts are added bucket by bucket.
 *
 * -1 <= lo < hi <= 63, bits <= 8. Compiles as C11, C++17 and BPF; pure functions, safe in any context.
 */
#ifndef TALLY_HISTOGRAM_H
#define TALLY_HISTOGRAM_H

#include <stdint.h>

#define TALLY_HISTOGRAM_SUB_BITS 2u /* 4 buckets in a power of two, where nothing else is said */
#define TALLY_HISTOGRAM_BITS_MAX 8u

/*
 * How many bounds of buckets there are from 0 up to and including 2^power; 0 for power -1. A constant
 * expression if its arguments are.
 */
#define TALLY_HISTOGRAM_BOUNDS(power, bits)                                                        \
	((power) < 0 ? 0u                                                                          \
		: (power) < (int)(bits)                                                            \
			? 1u << ((power) < 0 || (power) > 31 ? 0 : (power))                        \
			: (((unsigned)((power) < 0 ? 0 : (power)) - (unsigned)(bits)) << (bits)) + \
				  (1u << (bits)))
/* How many buckets a histogram has, likewise. */
#define TALLY_HISTOGRAM_BUCKETS_OF(lo, hi, bits) \
	(TALLY_HISTOGRAM_BOUNDS((int)(hi), bits) - TALLY_HISTOGRAM_BOUNDS((int)(lo), bits) + 2u)
#define TALLY_HISTOGRAM_BUCKETS(lo, hi) TALLY_HISTOGRAM_BUCKETS_OF(lo, hi, TALLY_HISTOGRAM_SUB_BITS)

/* floor(log2(v)) for v != 0, where the machine has no instruction for it. */
static inline uint32_t tally_histogram_log2_steps(uint64_t v)
{
	uint32_t result = (uint32_t)(v > 0xffffffffu) << 5, step;

	v >>= result;
	step = (uint32_t)(v > 0xffffu) << 4;
	v >>= step;
	result |= step;
	step = (uint32_t)(v > 0xffu) << 3;
	v >>= step;
	result |= step;
	step = (uint32_t)(v > 0xfu) << 2;
	v >>= step;
	result |= step;
	step = (uint32_t)(v > 0x3u) << 1;
	v >>= step;
	return result | step | (uint32_t)(v >> 1);
}

/* BPF has no such instruction, and clang 14 fills the machine's memory when it is asked for one. */
static inline uint32_t tally_histogram_log2(uint64_t v)
{
#if defined(__bpf__)
	return tally_histogram_log2_steps(v);
#else
	return 63u - (uint32_t)__builtin_clzll(v);
#endif
}

/* How many buckets a histogram has. */
static inline uint32_t tally_histogram_buckets(int32_t lo, uint32_t hi, uint32_t bits)
{
	return TALLY_HISTOGRAM_BUCKETS_OF(lo, hi, bits);
}

/* Which bucket below 2^63, counted from 0 on, has the values above `below` and up to below + 1. */
static inline uint32_t tally_histogram_place(uint64_t below, uint32_t bits)
{
	uint32_t shift = tally_histogram_log2(below | UINT64_C(1) << bits) - bits;

	return (shift << bits) + (uint32_t)(below >> shift);
}

/* The bucket that value belongs to: below TALLY_HISTOGRAM_BUCKETS_OF(lo, hi, bits). */
static inline uint32_t tally_histogram_bucket(
	uint64_t value, int32_t lo, uint32_t hi, uint32_t bits)
{
	if (value <= (lo < 0 ? 0 : UINT64_C(1) << lo))
		return 0;
	if (value > UINT64_C(1) << hi)
		return TALLY_HISTOGRAM_BUCKETS_OF(lo, hi, bits) - 1u;
	/* minus 1, so that an upper bound falls into the bucket it ends */
	return 1u + tally_histogram_place(value - 1u, bits) - TALLY_HISTOGRAM_BOUNDS(lo, bits);
}

/*
 * The greatest value of a bucket; UINT64_MAX, meant as infinity, for the last one. What is above the
 * upper bound of the bucket before is its own.
 */
static inline uint64_t tally_histogram_bound(
	uint32_t bucket, int32_t lo, uint32_t hi, uint32_t bits)
{
	uint32_t place, power;

	if (bucket >= TALLY_HISTOGRAM_BUCKETS_OF(lo, hi, bits) - 1u)
		return UINT64_MAX;
	if (bucket == 0)
		return lo < 0 ? 0 : UINT64_C(1) << lo;
	place = bucket - 1u + TALLY_HISTOGRAM_BOUNDS(lo, bits);
	power = place >> bits;
	if (power == 0)
		return place + 1u;
	return (((UINT64_C(1) << bits) + (place & ((1u << bits) - 1u))) << (power - 1u)) +
	       (UINT64_C(1) << (power - 1u));
}

/* The same for four buckets in a power of two. */
static inline uint32_t tally_histogram_index(uint64_t value, uint32_t lo, uint32_t hi)
{
	return tally_histogram_bucket(value, (int32_t)lo, hi, TALLY_HISTOGRAM_SUB_BITS);
}
static inline uint64_t tally_histogram_upper(uint32_t bucket, uint32_t lo, uint32_t hi)
{
	return tally_histogram_bound(bucket, (int32_t)lo, hi, TALLY_HISTOGRAM_SUB_BITS);
}

#endif
