/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring: the provider's bounded log of snapshots on disk; black box and spool in one.
 *
 * A directory of record files ring-NNNNNNNN.rec (user/lib/recfile.h). When the newest is full
 * (an eighth of the limit), a new one begins with the stream's state, and the oldest go until the
 * whole fits the limit. Cursors are positions of gatherers; one that points to a removed file moves to the oldest,
 * and the snapshots lost for it are counted.
 *
 * No fsync per snapshot: SIGKILL loses nothing, power loss loses the tail, and a new incarnation at
 * each start keeps reused numbers apart.
 */
#ifndef TALLY_USER_PROVIDER_RING_H
#define TALLY_USER_PROVIDER_RING_H

#include "user/lib/recfile.h"
#include "user/lib/stream.h"

struct ring;

/* Opens or makes DIR, cuts a torn tail, begins a new file for this incarnation. */
int ring_open(const char *dir, uint64_t limit_bytes, struct ring **ret, struct errmsg *e);
void ring_close(struct ring *r);
/* Appends the records of a snapshot (from stream_writer_snapshot). Rotates with w's state when due. */
int ring_append(struct ring *r, struct stream_writer *w, const struct buf *records);
struct ring_stats {
	uint64_t bytes, files, appended, append_errors, damage_bytes, limit_bytes;
};
void ring_stats(const struct ring *r, struct ring_stats *ret);

/* --- cursors --- */
struct ring_cursor {
	uint64_t file;	 /* number */
	uint64_t offset; /* next byte in it */
	uint64_t lost;	 /* snapshots that fell off before they were read, ever */
	uint64_t incarnation, seq; /* last snapshot that was handed out */
};
/* Behind the snapshot (incarnation, seq); at the oldest record if the ring does not hold it. */
int ring_seek(struct ring *r, uint64_t incarnation, uint64_t seq, struct ring_cursor *ret);
/*
 * Appends whole records, at most max bytes (but at least one record if there is one), to out.
 * Returns the number of records, 0 at the end.
 */
int ring_read(struct ring *r, struct ring_cursor *c, size_t max, struct buf *out);

#endif
