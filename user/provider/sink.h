/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From parsed text to the series of a group, for producers whose files tell only when they are read what
 * they hold.
 *
 *   walk 1, builds     sink_put(metric, labels, 7) ...    ->  schema, a hash of each key, values
 *   walk 2, compares   sink_put(metric, labels, 9) ...    ->  values
 *
 * A walk puts its values in order. The first one also makes the schema; later ones compare a hash of each
 * key with it, so that a new disk, interface or CPU is noticed at the place where the order changes, and the
 * schema is made anew by a second walk. A poll allocates nothing unless the shape has changed.
 */
#ifndef TALLY_USER_PROVIDER_SINK_H
#define TALLY_USER_PROVIDER_SINK_H

#include "user/lib/stream.h"
#include "user/provider/describe.h"

#define SINK_SERIES_MAX 16384u
#define SINK_LABELS_MAX 6u /* of a series, with those that all have */
#define SINK_LABEL_SIZE 256u /* of a label's value, with its end */

/* A family's name and help have asterisks: sink_fill() makes those of one metric from them. */
struct sink_metric {
	const char *name, *unit, *help;
	uint8_t type; /* enum metric_type */
	int8_t scale;
	/* How far a counter may step back and be held instead: the kernel's own idle times do that. */
	uint32_t may_step_back;
};

struct sink_label {
	const char *name, *value;
	size_t len; /* of value, which need not end with a zero */
};

struct sink_seen {
	uint64_t hash, value;
};

/* All zero but the first four at first; sink_release() frees what it points to, not the group. */
struct sink {
	struct group *group; /* whose schema and values are made here; its owner releases it */
	uint32_t interval_ms;
	uint64_t
		start_ns; /* since when its counters count; another one after a counter went down */
	const struct sink_label
		*common; /* labels that all series have, up to a NULL name; NULL: none */
	uint64_t *next; /* values of the walk that is under way; group->values are the last ones */
	uint64_t *shape; /* one hash per series */
	size_t n, capacity;
	bool build; /* make the schema; else compare with it */
	bool changed; /* the shape is another one: build */
	bool stepped_back; /* a counter went down: it began again */
	int err;
	/* Newest value of every series that was ever here: a device may go, and come back smaller. */
	struct sink_seen *seen;
	size_t nseen, hint;
};

/* Puts the next value. The metric stays where it is; labels end with a NULL name; NULL: none. */
void sink_put(struct sink *k, const struct sink_metric *m, const struct sink_label *labels,
	uint64_t value);

/*
 * Puts the next value, of a metric of a family, which is known by its word in the file. m is what the family's texts
 * make of that; it is only looked at while the schema is made (k->build), but for may_step_back.
 */
void sink_put_member(struct sink *k, const struct sink_metric *family, const char *word, size_t len,
	const struct sink_metric *m, const struct sink_label *labels, uint64_t value);

/*
 * Puts the next n values as they were, of what was not read this time. sink_take() gives -EAGAIN if the
 * schema has to be made anew, for which everything must be read.
 */
void sink_keep(struct sink *k, size_t n);

/* Puts all values of one poll, in the same order whenever the same things are there; 0 or negative. */
typedef int (*sink_walk_fn)(void *arg, struct sink *k);
/*
 * One poll: walks, and once more if the shape is another one. name is the group's. After an error the
 * group has the values of the poll before, or no schema; -EBADMSG also if nothing was put.
 */
int sink_take(struct sink *k, const char *name, sink_walk_fn walk, void *arg);
void sink_release(struct sink *k);

/* Copies a text with words for its asterisks, one for the first and one for all others; cut to size. */
void sink_fill(char *out, size_t size, const char *text, const char *first, const char *others);
/* labels: see struct metric_doc; where: the word in the file that the value is found by, NULL if there is none. */
void sink_describe(struct describer *d, const struct sink_metric *m, const char *labels,
	const char *file, const char *where);

#endif
