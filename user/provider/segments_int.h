/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the halves of the producer "segments" share: segscan.c finds and opens files, segments.c reads
 * and folds them.
 */
#ifndef TALLY_USER_PROVIDER_SEGMENTS_INT_H
#define TALLY_USER_PROVIDER_SEGMENTS_INT_H

#include <dirent.h>

#include "user/lib/segfile.h"
#include "user/provider/cgroups.h"
#include "user/provider/fold.h"
#include "user/provider/segments.h"

#define NO_METRIC UINT32_MAX

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
	uint32_t *map; /* metric of the segment -> its first series in the program, or NO_METRIC */
	size_t mapped; /* metrics in it: those of label tables turn up later */
	size_t missing; /* of them those that are NO_METRIC for another kind of their name */
	uint32_t freed; /* of the program, when those were asked for last */
	bool overflow_counted, overflow_told, read_told;
	bool was_read; /* once at least */
	bool limited; /* refused for what its user may have: looked at again when he has room */
	bool has_base; /* some of it is folded already */
	bool written; /* its fold is in the journal, and waits for the sync */
};

struct segments {
	DIR *dir;
	char *path; /* for messages */
	bool read_only;
	bool rescan; /* work was left over */
	bool listing; /* the directory is being listed, and has not come to its end */
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
/* The metric as a program has it; texts are borrowed. */
struct program_metric segments_metric(const struct segfile_metric *m);
/* Closes the segment, and forgets the file. Another entry takes its place in the array. */
void segments_remove_entry(struct segments *s, struct entry *e);
void entry_release(struct entry *e);
/* Maps the metrics of the segment that are new since the last time. -ENOMEM: some are left for later. */
int segments_map(struct segments *s, struct entry *e);
/* Brings the entries up to date with the directory, if that may have changed. */
int segments_scan(struct segments *s);
/* A line in the log about a file, at most one a second: users make files at will. */
bool segments_may_log(struct segments *s);

#endif
