/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a histogram's buckets say of its values. */
#include "user/lib/quantile.h"

#include <math.h>

#include "include/tally/histogram.h"

uint64_t histogram_count(const uint64_t *buckets, struct histogram_shape s)
{
	uint32_t n = tally_histogram_buckets(s.lo, s.hi, s.bits);
	uint64_t count = 0;

	for (uint32_t i = 0; i < n; i++)
		count += buckets[i];
	return count;
}

double histogram_quantile(const uint64_t *buckets, struct histogram_shape s, double q)
{
	uint32_t last = tally_histogram_buckets(s.lo, s.hi, s.bits) - 1;
	double rank = q * (double)histogram_count(buckets, s), below = 0, low = 0, high;

	if (!(rank >= 0) || histogram_count(buckets, s) == 0)
		return NAN;
	for (uint32_t i = 0; i < last; i++) {
		high = (double)tally_histogram_bound(i, s.lo, s.hi, s.bits);
		if (buckets[i] && below + (double)buckets[i] >= rank)
			return low + (high - low) * (rank - below) / (double)buckets[i];
		below += (double)buckets[i];
		low = high;
	}
	return low;
}
