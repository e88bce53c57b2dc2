/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making the payloads of records: shared by stream.c and stream_writer.c only. */
#ifndef TALLY_USER_LIB_STREAM_STATE_H
#define TALLY_USER_LIB_STREAM_STATE_H

#include "user/lib/stream.h"

struct snapshot_clock {
	uint64_t seq;
	int64_t realtime_ns;
	uint64_t monotonic_ns;
};

/* A group's newest row and when it was read; values is NULL if it is not known. */
struct state_row {
	const struct schema *schema;
	const uint64_t *values;
	struct snapshot_clock at;
	uint64_t begin_ns, window_ns;
};

void snapshot_put_head(struct buf *payload, uint64_t incarnation, const struct snapshot_clock *at,
	uint32_t flags, size_t ngroups);
/* prev is NULL for a key row; scratch is any buffer. */
void snapshot_put_row(struct buf *payload, const struct state_row *row, const uint64_t *prev,
	struct buf *scratch);
int incarnation_put(const struct incarnation *inc, uint32_t stream_id, struct buf *out);
int schema_put_record(
	const struct schema *s, uint64_t incarnation, uint32_t stream_id, struct buf *out);
/*
 * INCARNATION, SCHEMA and BASE records of a whole state; sorts rows. at: the newest snapshot, seq 0 if
 * there was none. Nothing is appended on failure.
 */
int state_put(const struct incarnation *inc, struct state_row *rows, size_t n,
	const struct snapshot_clock *at, uint32_t stream_id, struct buf *out);

#endif
