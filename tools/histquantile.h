/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Quantiles of histograms in history, from the counts of their buckets. */
#ifndef TALLY_TOOLS_HISTQUANTILE_H
#define TALLY_TOOLS_HISTQUANTILE_H

#include "tools/picks.h"
#include "tools/window.h"

/*
 * The value below which a share q (0 .. 1) of the values is, at each time at which a bucket has a
 * point: linear within its bucket; what is above the last finite bound counts as that. Times at which all
 * buckets are empty are left out.
 * buckets: n, by ascending bound; their points, by ascending time. -ENOMEM.
 */
int histquantile(const struct pick *buckets, const struct points *points, size_t n, double q,
	struct points *ret);
/*
 * The series that this is: *ret_pick is pick without its bound, labelled with the quantile, and without
 * counts of its own; ret_series and labels are where it keeps them.
 */
void histquantile_name(const struct pick *pick, const char *q, struct series *ret_series,
	char labels[SCHEMA_LABELS_MAX + 64], struct pick *ret_pick);

#endif
