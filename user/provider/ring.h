/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring: the provider's bounded log of snapshots on disk; black box and spool in one.
 *
 * A directory of record files ring-NNNNNNNN.rec (user/lib/recfile.h). When the newest is full (an
 * eighth of the limit), a new one begins with the stream's state, and the oldest go until the whole
 * fits the limit and RING_FILES_MAX. Cursors are positions of gatherers; one that points to a removed
 * file moves to the oldest, and the snapshots lost for it are counted.
 *
 * No fsync per snapshot: SIGKILL loses nothing, power loss loses the tail, and a new incarnation at
 * each start keeps reused numbers apart.
 */
#ifndef TALLY_USER_PROVIDER_RING_H
#define TALLY_USER_PROVIDER_RING_H

#include "user/lib/recfile.h"
#include "user/lib/stream.h"

#define RING_FILES_MAX 256u
#define RING_LIMIT_MIN (256u << 10)

struct ring;

/* Opens or makes DIR and cuts a torn tail. Every file that is there can be read. */
int ring_open(const char *dir, uint64_t limit_bytes, struct ring **ret, struct errmsg *e);
void ring_close(struct ring *r);
/*
 * To be called before a snapshot is encoded: begins a new file with w's state if the current one is
 * full, if there is none yet (each incarnation begins one), or if the last append failed: rows that
 * never reached the disk must not be what later rows are differences to. Negative: the disk.
 */
int ring_prepare(struct ring *r, struct stream_writer *w);
/*
 * Appends the records of a snapshot (from stream_writer_snapshot). When it fails (the snapshot is
 * then lost, and counted), or without a file, ring_prepare() comes first.
 */
int ring_append(struct ring *r, const struct buf *records);
struct ring_stats {
	uint64_t bytes, files, limit_bytes;
	uint64_t appended; /* snapshots, since it was opened */
	uint64_t append_errors; /* appends and new files that failed */
	uint64_t removed_files; /* to keep the limit */
	uint64_t damage_bytes; /* cut at open, or skipped by readers */
};
void ring_stats(const struct ring *r, struct ring_stats *ret);

/* --- cursors --- */
struct ring_cursor {
	uint64_t file; /* number */
	uint64_t offset; /* next byte in it */
	uint64_t lost; /* snapshots that fell off before they were read, ever */
	uint64_t incarnation, seq; /* last snapshot that was handed out */
};
/*
 * Behind the snapshot (incarnation, seq), or at most a file before it: at the start of a file stands
 * the state that rows are differences to. At the oldest record if the ring knows nothing of it
 * (0, 0: a reader that has nothing yet). *ret begins with lost = 0.
 */
int ring_seek(struct ring *r, uint64_t incarnation, uint64_t seq, struct ring_cursor *ret);
/*
 * Appends whole records, at most max bytes (but at least one record if there is one), to out.
 * Returns the number of records, 0 at the end. What damage has hit is stepped over; so is a file whose
 * INCARNATION is gone, unless the reader has had that incarnation, and its snapshots count as lost.
 */
int ring_read(struct ring *r, struct ring_cursor *c, size_t max, struct buf *out);

#endif
