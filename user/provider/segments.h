/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Figures of the producer "segments", for the producer "self". */
#ifndef TALLY_USER_PROVIDER_SEGMENTS_H
#define TALLY_USER_PROVIDER_SEGMENTS_H

#include "user/provider/producer.h"

/* Why a file of the segment directory is not read. */
enum segment_refusal {
	REFUSED_FORMAT, /* it is no segment */
	REFUSED_LARGE, /* a limit would be passed */
	REFUSED_UNREADABLE, /* it can't be opened or read */
	REFUSED_REASONS,
};
extern const char *const segment_refusals[REFUSED_REASONS];

struct segments_stats {
	uint64_t segments; /* read at each poll */
	uint64_t programs; /* with totals */
	uint64_t left_out; /* files beyond the number that is read, at the last poll */
	uint64_t folded; /* segments of the dead, added to totals */
	uint64_t fold_errors; /* tries that failed; the segment waits */
	uint64_t put_off; /* reads that waited: the user's segments are too large */
	uint64_t shrunk; /* reads that failed; the values before are used */
	uint64_t conflicts; /* metrics: same name, another type or scale */
	uint64_t bad_metrics; /* of segments that are else good: no valid name, type or place */
	uint64_t over_limit; /* metrics: the user has too many series */
	uint64_t starts_refused; /* processes that found no room for a segment */
	uint64_t label_overflows; /* tables of labels that were full */
	uint64_t bytes, bytes_free, inodes_free; /* of the file system of segments */
	uint64_t removed; /* unfinished files whose makers are dead */
	uint64_t refused[REFUSED_REASONS]; /* files */
};
/*
 * The last words of processes whose segments were folded: a few of the newest are kept, so that others can
 * tell of a process what it counted.
 */
#define SEGMENT_LAST_WORDS 64u
struct segment_last_words {
	uint32_t pid,
		pid_ns; /* in that pid namespace; of processes that shared a segment the last */
	uid_t uid;
	uint64_t start_ticks; /* 0: it did not say */
	char program[64]; /* its name is cut there */
	char counted[512]; /* "name{labels}=value name=value ...", of as many as fit */
};
/* Those of a process of our pid namespace, or NULL. Borrowed until the next poll. */
const struct segment_last_words *segments_last_words(
	const struct registry *r, uint32_t pid, uid_t uid, uint64_t start_ticks);

/* All zero if the producer is not open. */
void segments_stats(const struct registry *r, struct segments_stats *ret);

#endif
