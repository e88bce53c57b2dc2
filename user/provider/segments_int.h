/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the producer "segments" share: segscan.c finds and opens files, segmap.c finds the series
 * of their metrics, segments.c reads and folds them.
 */
#ifndef TALLY_USER_PROVIDER_SEGMENTS_INT_H
#define TALLY_USER_PROVIDER_SEGMENTS_INT_H

#include <dirent.h>

#include "user/lib/segfile.h"
#include "user/provider/cgroups.h"
#include "user/provider/fold.h"
#include "user/provider/segments.h"

/* Series of the program that are words of the segment: n of them from each's first on. */
struct span {
	uint32_t series, word, n;
	uint8_t type, flags; /* as in struct segfile_metric */
};

/* A file of the directory. */
struct entry {
	char *name; /* NULL: it is gone from the directory */
	ino_t ino; /* as the directory says */
	ino_t file_ino; /* as the open file says */
	uint64_t hash; /* of name */
	bool seen; /* in the scan that is under way */
	struct segfile *seg; /* NULL: refused */
	struct program_user *owner; /* of a refused file */
	struct program *program;
	struct span *spans; /* segmap.c; in the order of their words, but those that were missing */
	size_t nspans;
	size_t mapped; /* metrics that have been looked at: those of label tables turn up later */
	uint32_t *missing; /* metrics that have no series, for another kind of their name */
	size_t nmissing;
	uint32_t freed; /* of the program, when those were asked for last */
	bool overflow_counted, overflow_told, read_told;
	bool was_read; /* once at least */
	bool limited; /* refused for what its user may have: looked at again when he has room */
	bool has_base; /* some of it is folded already */
	bool written; /* its fold is in the journal, and waits for the sync */
};

struct segments {
	int dir;
	DIR *list; /* while it is being listed: it has a buffer */
	char *path; /* for messages */
	bool read_only;
	bool rescan; /* work was left over */
	bool all_done; /* nothing was left over in this listing so far */
	bool complete; /* the directory has been listed to its end once */
	bool retained; /* ... and every file of it was dealt with once */
	/* at this poll: CPU time that opening has taken, unfinished files and notes that were opened */
	uint64_t open_ns, orphans;
	uint64_t left_out; /* in this listing so far */
	int64_t mtime_ns; /* of the directory, when it was listed */
	int64_t scanned_ns; /* realtime of that */
	struct entry *entries;
	size_t n;
	uint32_t *slots; /* hash table of names: index + 1 */
	size_t nslots;
	size_t living_max;
	uint64_t memory; /* of all segments, as segfile_memory() says */
	uint64_t poll_bytes; /* of rows that were read at this poll */
	struct buf scratch; /* rows */
	size_t first; /* whose turn it is to be read first */
	struct programs programs;
	struct cgroups *cgroups;
	struct fold *fold;
	struct segments_stats stats;
	struct segment_last_words *words; /* SEGMENT_LAST_WORDS; NULL until the first */
	size_t nwords; /* that there ever were: number n is at n % SEGMENT_LAST_WORDS */
	struct diag_limit refuse_limit;
};

struct fold_id entry_id(const struct entry *e);
/* Closes the segment, and forgets the file. Another entry takes its place in the array. */
void segments_remove_entry(struct segments *s, struct entry *e);
void entry_release(struct entry *e);
/*
 * Finds series for the metrics of the segment that are new since the last time, and for missing ones.
 * -ENOMEM: some are left for later.
 */
int segments_map(struct segments *s, struct entry *e);
/* Its program's metrics are not in use by it any more. */
void segments_unmap(struct entry *e);
/* Brings the entries up to date with the directory, if that may have changed. */
int segments_scan(struct segments *s);
/* A line in the log about a file, at most one a second: users make files at will. */
bool segments_may_log(struct segments *s);

#endif
