/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Seats: a bounded number of groups, PREFIX.0, PREFIX.1, ..., each for one of many things that come and go,
 * processes for one. Who takes a seat gives its group new labels and a new start time: his counters begin
 * there, and do not continue those of who had the seat before. Nobody else's series change by that, so it
 * costs a schema of a few series, not of all.
 */
#ifndef TALLY_USER_PROVIDER_SEAT_H
#define TALLY_USER_PROVIDER_SEAT_H

#include "user/lib/stream.h"
#include "user/provider/describe.h"

struct seat_metric {
	const char *name, *unit, *help;
	uint8_t type; /* enum metric_type */
	int8_t scale;
	const char *label, *value; /* one more label; may be NULL */
	const char *source; /* where the kernel has it from: for people */
};

/* Labels of all series of a seat. A value that is "" is no label; one that is no valid text is made so. */
struct seat_label {
	const char *name, *value;
};
#define SEAT_LABELS_MAX 8u

/*
 * Gives a group, all zero or taken before, one series for each metric, all 0, and this start time. On
 * failure, -ENOMEM or -EPROTO, it stays as it was.
 */
int seat_take(struct group *g, const char *name, const struct seat_metric *metrics, size_t nmetrics,
	const struct seat_label *labels, size_t nlabels, uint64_t start_ns, uint32_t interval_ms);
/* labels: of all series of a seat, see struct metric_doc. */
void seat_describe(struct describer *d, const struct seat_metric *metrics, size_t nmetrics,
	const char *labels);

#endif
