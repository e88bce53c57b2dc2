/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Folding: adding what a dead process counted to the total of its program, exactly once, also if the
 * provider is killed at any moment.
 *
 * The rule that makes it so: a total is the sum, over every segment that ever died, of the values it
 * had when it was folded last. A record in the journal states these values, not a difference; a second
 * record for the same segment replaces the first. So folding again after a kill changes nothing, and a
 * segment that was folded, survived its unlink and was taken over by a new process counts with what is
 * above its folded values ("base") only.
 *
 * A base is needed as long as the segment's file may still be found; then it is forgotten.
 */
#ifndef TALLY_USER_PROVIDER_FOLD_H
#define TALLY_USER_PROVIDER_FOLD_H

#include <stdbool.h>

#include "user/provider/programs.h"

#define FOLD_JOURNAL_NAME "fold.journal"

/* Which segment; within one boot. */
struct fold_id {
	uint64_t dev, ino, btime_ns;
	uint8_t id[16];
};

struct fold_value {
	uint32_t
		series; /* index in the program; each at most once; one that is 0 need not be there */
	uint64_t value;
};

struct fold;

/*
 * Opens STATE/fold.journal, or begins one, and adds its totals to the programs. One of another boot is
 * begun anew. A torn tail is cut; a damaged one gives what stands before the damage, and a new start,
 * which marks a reset. programs->start_ns is set.
 */
int fold_open(const char *state_dir, const uint8_t boot_id[16], bool read_only,
	struct programs *programs, struct fold **ret, struct errmsg *e);
void fold_close(struct fold *f);

/*
 * Folds values, in ascending order of their series: writes the record, and adds to the program's total
 * what is above the base. Nothing is written
 * if the base says the same already. After an error nothing has changed.
 */
int fold_write(struct fold *f, const struct fold_id *id, struct program *p,
	const struct fold_value *values, size_t n);
/* What has been written is on disk. Only after that may a segment's file go. */
int fold_sync(struct fold *f);
/* What was folded of this segment: *ret_n values, or NULL. Borrowed until the next call of another. */
const struct fold_value *fold_base(const struct fold *f, const struct fold_id *id, size_t *ret_n);
/* The segment's file is gone. */
void fold_forget(struct fold *f, const struct fold_id *id);
/* Forgets every base for which keep() is false. */
void fold_retain(struct fold *f, bool (*keep)(void *arg, const struct fold_id *id), void *arg);
/* Rewrites the journal if it has grown, or must not be appended to. Not due: 0. */
int fold_compact(struct fold *f);

#endif
