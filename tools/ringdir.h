/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading a provider's ring from its files, whether or not it is running (user/provider/ring.h writes them). */
#ifndef TALLY_TOOLS_RINGDIR_H
#define TALLY_TOOLS_RINGDIR_H

#include "user/lib/err.h"
#include "user/lib/recfile.h"
#include "user/lib/stream.h"

/*
 * Takes a record, which is borrowed for the call; NULL: a place of so many bytes that is damaged. A torn tail of the
 * newest file is none: that is where the provider writes. Non-zero ends the reading, and is returned.
 */
typedef int (*ringdir_record_fn)(void *arg, const struct record *rec, size_t damaged);

/*
 * Calls fn for all that is in the newest `files` files of a ring, oldest first. path: a provider's state directory, the
 * ring in it, or one file of a ring. -ENOENT, -EACCES, -EBADMSG (no such file) and others with a message.
 */
int ringdir_records(
	const char *path, size_t files, ringdir_record_fn fn, void *arg, struct errmsg *e);

/* Files that have the newest snapshots: one may have begun just now, when that before was full. */
#define RINGDIR_NEWEST 2u

/* Takes a snapshot, which is borrowed for the call. Non-zero ends the reading, and is returned. */
typedef int (*ringdir_fn)(void *arg, const struct snapshot_view *view);

/*
 * Calls fn for each snapshot in the newest `files` files of state_dir/ring, oldest first. What is damaged is stepped
 * over. -ENOENT, -EACCES and others with a message if the ring can't be read.
 */
int ringdir_read(const char *state_dir, size_t files, ringdir_fn fn, void *arg, struct errmsg *e);

#endif
