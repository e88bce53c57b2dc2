/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One node's stream of records: the state that rows are differences to, for the writer (provider)
 * and for every reader (ring, gatherer, head, tools).
 *
 * Payloads of records:
 *   INCARNATION  protobuf tally.Incarnation: incarnation, boot id, start, clock ticks
 *   SCHEMA       u64 incarnation, then protobuf tally.Schema; replaces its group's schema before
 *   SNAPSHOT     u64 incarnation
 *                varint seq, varint zigzag(realtime ns), varint monotonic ns, u8 flags, varint groups
 *                per group: varint schema id, varint begin (ns after monotonic), varint window (ns),
 *                           u8 flags (1 = key row), u32 hash of the row before unless it is a key
 *                           row, varint length, row (user/lib/rowcode.h)
 *
 * Snapshot flag 1 (BASE): not a sample. It repeats the rows of snapshot `seq` as key rows, so that a
 * file can be read without the file before it. A file begins with INCARNATION, SCHEMA..., BASE.
 *
 * A new incarnation begins at seq 1 with key rows. Every STREAM_KEY_EVERY-th snapshot has key rows,
 * so damage costs no more than those. A snapshot whose seq does not follow the one before makes the
 * rows of all groups unknown until they come as key rows; so does a hash that differs for its group.
 * What refers to a SCHEMA or INCARNATION that never came (it was damaged) is passed over.
 *
 * State records are INCARNATION, one SCHEMA per group, and a BASE per distinct last snapshot of a
 * group, in order: each row keeps its own time. Schema ids grow within an incarnation: a SCHEMA whose
 * id is not above the one that its group has is a repeat.
 */
#ifndef TALLY_USER_LIB_STREAM_H
#define TALLY_USER_LIB_STREAM_H

#include "user/lib/recfile.h"
#include "user/lib/schema.h"

#define STREAM_KEY_EVERY  128u
#define STREAM_GROUPS_MAX 65536u
#define STREAM_SERIES_MAX (1u << 20) /* in all groups of a node */
#define STREAM_SCHEMA_MAX (64u << 20) /* bytes of all SCHEMA records that are in force */
#define STREAM_START_MAX  256u /* bytes of an INCARNATION's payload */
#define STREAM_PAST_MAX   64u /* incarnations that are remembered, so that none comes twice */

#define SNAPSHOT_BASE 1u

struct incarnation {
	uint64_t id; /* random, never 0; drawn at each start of the provider */
	uint64_t start_ns; /* realtime of that start */
	uint8_t boot_id[16]; /* /proc/sys/kernel/random/boot_id */
};

/* A group of a snapshot, as read: everything is borrowed from the stream until its next call. */
struct group_view {
	const struct schema *schema;
	const uint64_t *values; /* schema->n */
	uint64_t begin_ns; /* monotonic ns after the snapshot's, when reading began */
	uint64_t window_ns; /* how long reading took */
};

struct snapshot_view {
	uint64_t incarnation, seq;
	int64_t realtime_ns;
	uint64_t monotonic_ns;
	uint32_t flags;
	size_t ngroups;
	const struct group_view *groups;
	size_t nskipped; /* groups whose schema or row before is unknown: wait for a SCHEMA or key row */
};

/* --- the payload of a SNAPSHOT, without any state ------------------------------------------- */

struct snapshot_head {
	uint64_t incarnation, seq;
	int64_t realtime_ns;
	uint64_t monotonic_ns;
	uint32_t flags;
	size_t ngroups;
};
struct snapshot_row {
	uint32_t schema_id;
	uint64_t begin_ns, window_ns;
	bool key;
	uint32_t base; /* row_hash() of the row before, unless key */
	const uint8_t *bytes; /* borrowed; for row_decode() */
	size_t len;
};
/* Both: -EBADMSG for truncation, -EPROTO for an impossible value. Rows follow the head, ngroups times. */
int snapshot_parse_head(struct rd *r, struct snapshot_head *ret);
int snapshot_parse_row(struct rd *r, struct snapshot_row *ret);

/* --- reading -------------------------------------------------------------------------------- */

struct stream; /* one node's state; not thread safe */

struct stream *stream_new(void); /* NULL: no memory */
void stream_free(struct stream *s);
enum stream_result {
	/*
	 * Nothing changed: known already (repeat at a file's start, duplicate), of an incarnation whose
	 * record was lost, or of a type that is to be stepped over.
	 */
	STREAM_OLD = 0,
	STREAM_STATE = 1, /* incarnation, schema or base taken in: keep the record, no sample */
	STREAM_SNAPSHOT = 2, /* a new snapshot: *ret_view is set */
};
/*
 * Applies one record. Returns an enum stream_result, or -EBADMSG / -EPROTO / -E2BIG, after which the
 * state is unchanged. A snapshot whose seq is not above the last one of its incarnation is STREAM_OLD.
 */
int stream_apply(
	struct stream *s, uint8_t type, const uint8_t *p, size_t n, struct snapshot_view *ret_view);
/* After damage in the source: rows are unknown until a key row or BASE. */
void stream_lost(struct stream *s);
/* Newest incarnation (NULL before the first) and newest seq in it (0 before the first). */
const struct incarnation *stream_incarnation(const struct stream *s);
uint64_t stream_seq(const struct stream *s);
/* Newest state of every group: the last snapshot that held it. Returns the number of groups. */
struct group_state {
	const struct schema *schema;
	const uint64_t *values; /* NULL if unknown */
	int64_t realtime_ns; /* of the group's last row: snapshot's realtime + begin */
	uint64_t monotonic_ns, seq;
};
size_t stream_groups(const struct stream *s);
void stream_group(const struct stream *s, size_t i, struct group_state *ret);
/* INCARNATION, SCHEMA... and BASE records that rebuild this state, for the start of a file. */
int stream_put_state(const struct stream *s, uint32_t stream_id, struct buf *out);
/* Incarnations before the newest one, oldest first: all records of these are STREAM_OLD. */
struct stream_past {
	uint64_t incarnation, seq; /* seq: the last one taken in */
};
size_t stream_past(const struct stream *s, const struct stream_past **ret);
/* Adds one that was known earlier, in that order, before the first record is applied. */
void stream_add_past(struct stream *s, uint64_t incarnation, uint64_t seq);

/* --- writing (provider) --------------------------------------------------------------------- */

/*
 * A producer's group, all zero at first: the schema it wants (id is the writer's) and its values. The
 * producer changes `schema` only together with `version`; the writer then emits a new SCHEMA record
 * and a key row.
 */
struct group {
	struct schema schema;
	uint32_t version;
	uint64_t *values; /* schema.n words, owned by the group */
	/* the writer's own; others may read what it wrote last */
	uint32_t written_version, schema_id, slot;
	uint64_t *last; /* row written last */
	size_t nlast; /* its words; 0 before the first */
};

struct stream_writer; /* one per provider */
struct stream_writer *stream_writer_new(const struct incarnation *inc);
void stream_writer_free(struct stream_writer *w);
const struct incarnation *stream_writer_incarnation(const struct stream_writer *w);

struct group_due {
	struct group *group;
	uint64_t begin_ns, window_ns;
	uint32_t bytes; /* set by the writer: what the group took in the snapshot's records */
};
/*
 * Appends to out the records of the next snapshot: SCHEMA records of changed groups, then SNAPSHOT
 * (before the first one also INCARNATION). *ret_seq is its number. -ENOMEM leaves the writer as it was.
 * begin and window are rounded down to whole microseconds: their noise would cost more than the values.
 */
int stream_writer_snapshot(struct stream_writer *w, int64_t realtime_ns, uint64_t monotonic_ns,
	struct group_due *due, size_t ndue, struct buf *out, uint64_t *ret_seq);
/*
 * The state records for the start of a new file (see stream_put_state). They include the snapshot that
 * was made last: what has been made must be in the file before. A group whose schema has changed since
 * is left out: it comes with the next snapshot.
 */
int stream_writer_put_state(struct stream_writer *w, struct buf *out);
/* The records made last did not reach their place: the next snapshot repeats schemas and key rows. */
void stream_writer_lost(struct stream_writer *w);
/* A group goes away (its program is gone), and is released after this: the writer forgets it. */
void stream_writer_forget(struct stream_writer *w, struct group *g);

/* Frees schema, values and the writer's own, not g. The writer must have forgotten it, or be gone. */
void group_release(struct group *g);

#endif
