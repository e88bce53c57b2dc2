/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two halves of the ring share: ring.c (files, appending) and ringread.c (cursors). */
#ifndef TALLY_USER_PROVIDER_RING_INT_H
#define TALLY_USER_PROVIDER_RING_INT_H

#include "user/provider/ring.h"

struct ring_file {
	uint64_t number, bytes;
	uint64_t incarnation, base_seq; /* the state at its start; incarnation 0: unknown */
	uint32_t salt;
};

/* Newest snapshot of an incarnation that fell off; in the order in which they fell. */
#define RING_FELL_MAX 64u
struct ring_fell {
	uint64_t incarnation, seq;
};

struct ring {
	int dirfd; /* holds the lock on the directory */
	int fd; /* the newest file, open for appending; -1: none */
	char *dir; /* for messages */
	uint64_t limit, bytes, next_number;
	uint32_t salt; /* of the files that are made here */
	uint64_t start_bytes; /* header and state of the newest file */
	struct ring_file *files; /* oldest first */
	size_t nfiles;
	struct ring_fell fell[RING_FELL_MAX];
	size_t nfell;
	struct buf scratch; /* bytes of a file that is read, or those that are appended */
	struct ring_stats stats;
};

#define RING_NAME_SIZE 40u
void ring_file_name(uint64_t number, char out[RING_NAME_SIZE]);

/* Number and base of a snapshot record. False if it is none. */
struct ring_snapshot {
	uint64_t incarnation, seq;
	bool base;
};
bool ring_parse_snapshot(const struct record *rec, struct ring_snapshot *ret);
/* Fills r->scratch with bytes of a file, at most max; -EBADMSG if it is shorter than it was. */
int ring_read_bytes(struct ring *r, const struct ring_file *f, uint64_t offset, size_t max);
/* Calls fn for each whole record from offset on, until it returns non-zero, which is returned. */
typedef int (*ring_record_fn)(void *arg, const struct record *rec, uint64_t offset);
int ring_each_record(
	struct ring *r, const struct ring_file *f, uint64_t offset, ring_record_fn fn, void *arg);

#endif
