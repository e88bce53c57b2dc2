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

bool quantile_step(struct quantile_walk *walk, double count, double bound, double *ret)
{
	if (count > 0 && walk->below + count >= walk->rank) {
		*ret = walk->low + (bound - walk->low) * (walk->rank - walk->below) / count;
		return true;
	}
	walk->below += count;
	walk->low = bound;
	return false;
}

double histogram_quantile(const uint64_t *buckets, struct histogram_shape s, double q)
{
	uint32_t last = tally_histogram_buckets(s.lo, s.hi, s.bits) - 1;
	uint64_t count = histogram_count(buckets, s);
	struct quantile_walk walk = {.rank = q * (double)count};
	double ret;

	if (!(walk.rank >= 0) || count == 0)
		return NAN;
	for (uint32_t i = 0; i < last; i++)
		if (quantile_step(&walk, (double)buckets[i],
			    (double)tally_histogram_bound(i, s.lo, s.hi, s.bits), &ret))
			return ret;
	return walk.low;
}
