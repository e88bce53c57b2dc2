/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a histogram's buckets say of its values (include/tally/histogram.h). Pure functions. */
#ifndef TALLY_USER_LIB_QUANTILE_H
#define TALLY_USER_LIB_QUANTILE_H

#include <stdbool.h>
#include <stdint.h>

struct histogram_shape {
	int8_t lo;
	uint8_t hi, bits;
};

/*
 * A walk over buckets from the lowest on, that ends in the one that has the value of a rank: starts as
 * {.rank = share * count}, `low` is where the next bucket begins.
 */
struct quantile_walk {
	double rank, below, low;
};

/* The next bucket has `count` values up to `bound`. True: the value is in it, *ret is set. */
bool quantile_step(struct quantile_walk *walk, double count, double bound, double *ret);

/* How many values there are. */
uint64_t histogram_count(const uint64_t *buckets, struct histogram_shape shape);
/*
 * The value below which a share q (0 .. 1) of them is, in the unit of the values: linear within its
 * bucket, so wrong by no more than the bucket is wide. NAN without values. What is above the range counts
 * as its end. (Prometheus' histogram_quantile() gives the same.)
 */
double histogram_quantile(const uint64_t *buckets, struct histogram_shape shape, double q);

#endif
