/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The series of a history that a selector means, in the order in which people want to see them:
 * by node, metric, labels, and a histogram's buckets by their bounds. `tally` and the munin plugin
 * select through this alone.
 */
#ifndef TALLY_TOOLS_PICKS_H
#define TALLY_TOOLS_PICKS_H

#include "gatherer/store/store.h"
#include "tools/selector.h"

/* A sample has the time at which its group was read: a little after its snapshot's, surely not this. */
#define PICK_READ_TIME (60 * INT64_C(1000000000))

struct pick {
	struct history_series series; /* borrowed strings: valid until refresh */
	const struct history_node *node; /* borrowed too */
	char fingerprint[56];
	double bound; /* le of a bucket, else NaN */
	bool has_newest; /* set by picks_newest() */
	struct sample newest;
};

struct picks {
	size_t n;
	struct pick *v;
};

/* sel may be NULL: all. 0 with n == 0 if nothing matches; -ENOMEM. */
int picks_select(struct history *h, const struct selector *sel, struct picks *ret);
void picks_release(struct picks *p);
/* Newest sample of each, from the newest rows of the nodes (not for series that are gone). */
int picks_newest(struct history *h, struct picks *p);
/* The same for those that picks_newest() left out: reads backwards until one is found. */
int picks_newest_search(struct history *h, struct picks *p);
/*
 * The last sample of the series before before_ns. 1 if there is one, 0 if not, or a negative code.
 */
int pick_last_before(
	struct history *h, const struct pick *p, int64_t before_ns, struct sample *ret);
/* Oldest and newest snapshot of all nodes that are picked. */
int64_t picks_begin(const struct picks *p);
int64_t picks_end(const struct picks *p);
/* Same metric (family, type and unit)? */
bool pick_same_metric(const struct pick *a, const struct pick *b);
/* -1, 0, 1: same histogram but for the bucket; orders like picks_select(). */
int pick_compare_histogram(const struct pick *a, const struct pick *b);
/* name{labels} into a new string; NULL without memory. */
char *pick_text(const struct pick *p);

#endif
