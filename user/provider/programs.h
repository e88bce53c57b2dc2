/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs and their totals: what the producer "segments" shows, a group for each program of each
 * user in each cgroup. A value is what dead processes left (folded) plus what living ones have.
 *
 *	metric of a segment --(name, labels)--> metric of the program --first, cells--> series
 *
 * A metric has one series, a histogram one for its sum and each bucket; they follow each other. Two
 * metrics are every program's: how often its processes began, and how many segments live.
 *
 * Limits, so that no user can take the memory of all: see below. A program over them is summed into
 * the user's program "overflow"; a metric over them is left out, and counted.
 */
#ifndef TALLY_USER_PROVIDER_PROGRAMS_H
#define TALLY_USER_PROVIDER_PROGRAMS_H

#include <sys/types.h>

#include "user/lib/stream.h"
#include "user/provider/producer.h"

#define PROGRAMS_MAX          4096u
#define PROGRAMS_PER_USER_MAX 1024u
#define USER_SERIES_MAX       16384u
#define PROGRAMS_SERIES_MAX   65536u /* so that a snapshot of them fits a frame of the wire */
#define PROGRAM_SCHEMA_MAX    (4u << 20) /* bytes of text; so does a program's schema */
#define PROGRAM_NAME_MAX      200u

struct program_user {
	uid_t uid;
	char name[64]; /* number, if it has none */
	uint32_t programs, series;
	/* kept by the reader of segments: how many, what they take, what a poll has read so far */
	uint32_t segments;
	uint64_t memory, poll_bytes;
	/* by its scan: files that are refused and remembered; time that opening has taken at this poll */
	uint32_t refused, notes; /* notes: *.refused that were looked at at this poll */
	uint64_t open_ns;
	bool has_room; /* some of what he had is gone since the last listing */
};

/* What is the same for all series of a metric. */
struct program_metric {
	const char *name, *labels, *unit,
		*help; /* labels: canonical, without program, user, cgroup, le */
	uint8_t type; /* enum tally_type */
	int8_t scale;
	uint8_t flags; /* enum tally_desc_flags, PROGRAM_METRIC_RETIRED */
	int8_t lo; /* of a histogram */
	uint8_t hi, bits;
	uint32_t cells;
};

/*
 * Of a kind that no segment has any more, while others of its name have another kind now. Its series stay,
 * with a label "retired" and what they have come to; it is found no more.
 */
#define PROGRAM_METRIC_RETIRED 0x80u
#define PROGRAM_RETIRED_MAX    16u /* of a program; then the newer kind is left out instead */

/*
 * A metric as the program has it, 24 bytes: name, unit, help and scale are those of its first series (but the name
 * of an info), and series up to the next metric's first are its own.
 */
struct program_entry {
	char *text; /* labels; of an info its name, a zero, and labels */
	uint32_t first; /* its first series */
	uint32_t users; /* segments that have it */
	uint8_t type, flags; /* as in struct program_metric */
	int8_t lo;
	uint8_t hi, bits;
};

struct program {
	char *name, *cgroup; /* cgroup: "" if unknown */
	struct program_user *user;
	struct group group; /* values: sums of this poll, from its begin to its end */
	uint64_t *folded; /* per series: total of the dead; NULL: none so far */
	size_t capacity; /* of the arrays */
	struct program_entry *metrics;
	size_t nmetrics;
	uint32_t *slots; /* hash table: index of a metric + 1; see find_metric() */
	size_t nslots;
	size_t schema_bytes; /* about what its schema takes in a record */
	uint32_t retired; /* metrics that are */
	uint32_t freed; /* how often a metric has lost its last segment */
	uint32_t starts, living; /* series that every program has */
	bool partial; /* in this poll a segment was not read that never was: it has no values */
	uint32_t index; /* in the list */
	size_t journaled; /* kept by the journal of folds: metrics that it knows */
};

struct programs {
	struct program **list;
	struct program_user **users;
	size_t n, nusers;
	size_t series; /* of all */
	uint32_t interval_ms;
	uint64_t start_ns; /* since when new programs' totals count */
};

void programs_release(struct programs *ps);
/* Finds or makes; NULL if there is no memory. */
struct program_user *programs_user(struct programs *ps, uid_t uid);
/*
 * Finds or makes; cgroup "" if unknown. A user's cgroups get programs of their own as far as half of his
 * programs and series; after that a program of a new one is that of no cgroup. -E2BIG if not even
 * "overflow" has room; -ENOMEM.
 */
int programs_find(
	struct programs *ps, const char *name, uid_t uid, const char *cgroup, struct program **ret);

/*
 * The first series of the metric in the program, made if it is new. If the name is there with another
 * type, scale or range, that one is retired, or, if a segment has it, -EEXIST. -E2BIG if the program or
 * its user has too many; -ENOMEM; -EPROTO.
 */
int program_find_metric(
	struct programs *ps, struct program *p, const struct program_metric *m, uint32_t *ret);

/* How many series it has: as many as cells, but an info has one. */
uint32_t program_metric_series(const struct program_metric *m);
/* Metric i of the program, its texts borrowed. */
struct program_metric program_metric(const struct program *p, size_t i);
/* The metric that has this series. */
struct program_metric program_metric_of(const struct program *p, uint32_t series);
/* Room for totals of the dead: -ENOMEM if there is none. Then it has them, and they may be added to. */
int program_make_folded(struct program *p);
/* A segment has that metric; and has it no more. */
void program_hold(struct program *p, uint32_t first);
void program_drop(struct program *p, uint32_t first);

/*
 * Adds n values of a segment to a program's, those of metrics of one type and flags (an info: one, without a
 * value), or of the cells of one metric.
 */
void program_add(uint64_t *to, uint8_t type, uint8_t flags, const uint64_t *values, uint32_t n);

/* The poll begins: values are what is folded. */
void programs_begin(struct programs *ps);
/* The poll ends: each program's group is added to the snapshot, but of those that are partial. */
int programs_end(struct programs *ps, struct snapshot *s, uint64_t begin_ns, uint64_t end_ns);

#endif
