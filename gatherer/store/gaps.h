/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counting where snapshots of a node are missing. A group's poll has a gap before it if the count has
 * changed since the group's poll before; a group that was never seen has one only if the snapshot
 * itself does not follow.
 */
#ifndef TALLY_GATHERER_STORE_GAPS_H
#define TALLY_GATHERER_STORE_GAPS_H

#include "user/lib/stream.h"

struct gaps {
	uint64_t incarnation, last_seq;
	uint64_t count; /* for the rows of the snapshot that was noted last */
	bool jumped; /* that snapshot does not follow the one before */
	bool rows_missed; /* some of its rows were skipped: counts for the snapshots after it */
	bool settled; /* behind the state records at the file's start: a BASE is no repeat now */
};

/* A record was applied to the stream with this result. */
static inline void gaps_note(
	struct gaps *g, const struct stream *stream, int result, const struct snapshot_view *view)
{
	const struct incarnation *inc = stream_incarnation(stream);

	if (inc && inc->id != g->incarnation) {
		g->settled = g->incarnation != 0;
		g->incarnation = inc->id;
		g->last_seq = 0;
	}
	if (result == STREAM_SNAPSHOT) {
		g->count += g->rows_missed;
		g->rows_missed = view->nskipped > 0;
		g->jumped = view->seq != g->last_seq + 1;
		g->count += g->jumped;
		g->settled = true;
	} else if (result == STREAM_STATE && stream_seq(stream) != g->last_seq) {
		g->count +=
			g->settled; /* a BASE far ahead: the source has dropped what was between */
	}
	if (result > 0)
		g->last_seq = stream_seq(stream);
}

/* What a group that had a row in the noted snapshot remembers; differs from a later count: a gap. */
static inline uint64_t gaps_seen(const struct gaps *g)
{
	return g->count + g->rows_missed;
}

#endif
