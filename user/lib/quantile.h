/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a histogram's buckets say of its values (include/tally/histogram.h). Pure functions. */
#ifndef TALLY_USER_LIB_QUANTILE_H
#define TALLY_USER_LIB_QUANTILE_H

#include <stdint.h>

struct histogram_shape {
	int8_t lo;
	uint8_t hi, bits;
};

/* How many values there are. */
uint64_t histogram_count(const uint64_t *buckets, struct histogram_shape shape);
/*
 * The value below which a share q (0 .. 1) of them is, in the unit of the values: linear within its
 * bucket, so wrong by no more than the bucket is wide. NAN without values. What is above the range counts
 * as its end. (Prometheus' histogram_quantile() gives the same.)
 */
double histogram_quantile(const uint64_t *buckets, struct histogram_shape shape, double q);

#endif
