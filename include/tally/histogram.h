/* SPDX-License-Identifier: MIT */
/*
 * Bucket arithmetic of log-linear histograms, shared by applications, BPF programs and readers.
 *
 * A histogram covers the range 2^lo .. 2^hi. Every power of two in it is cut into four buckets of
 * equal width, so that a bucket is never wider than a quarter of the values in it; one bucket more
 * takes what is below, and one what is above the range.
 *
 *   lo = 10, hi = 34     0 ..... 1024 .. 1280 .. 1536 .. 1792 .. 2048 .. 2560 ... 2^34 ..... 2^64-1
 *   bucket                   0  |     1   |   2   |   3   |   4   |   5   | ...  96  |   97
 *
 * A bucket holds the values above its lower bound up to and including its upper bound, as the label
 * "le" of OpenMetrics means it: a reader shows the bounds as they are, and they are exact.
 *
 * 2 <= lo < hi <= 63. Compiles as C11, C++17 and BPF; pure functions, safe in any context.
 */
#ifndef TALLY_HISTOGRAM_H
#define TALLY_HISTOGRAM_H

#include <stdint.h>

#define TALLY_HISTOGRAM_SUB_BITS 2u /* 4 buckets in a power of two */

/* How many buckets a histogram has: a constant expression if lo and hi are. */
#define TALLY_HISTOGRAM_BUCKETS(lo, hi) ((((hi) - (lo)) << TALLY_HISTOGRAM_SUB_BITS) + 2u)

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

/* The bucket that value belongs to: below TALLY_HISTOGRAM_BUCKETS(lo, hi). */
static inline uint32_t tally_histogram_index(uint64_t value, uint32_t lo, uint32_t hi)
{
	uint64_t v;
	uint32_t power, sub;

	if (value <= UINT64_C(1) << lo)
		return 0;
	if (value > UINT64_C(1) << hi)
		return TALLY_HISTOGRAM_BUCKETS(lo, hi) - 1u;
	v = value - 1u; /* so that an upper bound falls into the bucket it ends */
	power = tally_histogram_log2(v);
	sub = (uint32_t)(v >> (power - TALLY_HISTOGRAM_SUB_BITS)) &
	      ((1u << TALLY_HISTOGRAM_SUB_BITS) - 1u);
	return 1u + ((power - lo) << TALLY_HISTOGRAM_SUB_BITS) + sub;
}

/*
 * The greatest value of a bucket; UINT64_MAX, meant as infinity, for the last one. What is above the
 * upper bound of the bucket before is its own.
 */
static inline uint64_t tally_histogram_upper(uint32_t bucket, uint32_t lo, uint32_t hi)
{
	uint32_t power, sub;

	if (bucket == 0)
		return UINT64_C(1) << lo;
	if (bucket >= TALLY_HISTOGRAM_BUCKETS(lo, hi) - 1u)
		return UINT64_MAX;
	power = lo + ((bucket - 1u) >> TALLY_HISTOGRAM_SUB_BITS);
	sub = (bucket - 1u) & ((1u << TALLY_HISTOGRAM_SUB_BITS) - 1u);
	return ((UINT64_C(1) << TALLY_HISTOGRAM_SUB_BITS) + sub + 1u)
	       << (power - TALLY_HISTOGRAM_SUB_BITS);
}

#endif
