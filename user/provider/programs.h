/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs and their totals: what the producer "segments" shows, a group for each program of each
 * user. A metric's value is what dead processes left (folded) plus what living ones have.
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
#define PROGRAM_SCHEMA_MAX    (768u << 10) /* bytes of text; so does a program's schema */
#define PROGRAM_NAME_MAX      200u

struct program_user {
	uid_t uid;
	char name[64]; /* number, if it has none */
	uint32_t programs, series;
	/* kept by the reader of segments: how many, what they take, what a poll has read so far */
	uint32_t segments;
	uint64_t memory, poll_bytes;
};

struct program {
	char *name;
	struct program_user *user;
	struct group group; /* values: of the last poll */
	uint64_t *folded; /* per metric: total of the dead */
	uint64_t *sums; /* per metric: of the poll that is under way */
	size_t capacity; /* of the arrays */
	uint32_t *slots; /* hash table: index of a metric + 1 */
	size_t nslots;
	size_t schema_bytes; /* about what its schema takes in a record */
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
/* Finds or makes. -E2BIG if not even "overflow" has room; -ENOMEM. */
int programs_find(struct programs *ps, const char *name, uid_t uid, struct program **ret);

struct program_metric {
	const char *name, *unit, *help;
	uint8_t type; /* enum metric_type */
	int8_t scale;
};
/*
 * Index of the metric in the program, made if it is new. -EEXIST if the name is there with another
 * type or scale; -E2BIG if the program or its user has too many; -ENOMEM.
 */
int program_find_metric(
	struct programs *ps, struct program *p, const struct program_metric *m, uint32_t *ret);

/* The poll begins: sums are what is folded. */
void programs_begin(struct programs *ps);
/* The poll ends: sums become values, and each program's group is added to the snapshot. */
int programs_end(struct programs *ps, struct snapshot *s, uint64_t begin_ns, uint64_t end_ns);

#endif
