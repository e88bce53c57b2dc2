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
 *                           u8 flags (1 = key row), varint length, row (user/lib/rowcode.h)
 *
 * Snapshot flag 1 (BASE): not a sample. It repeats the rows of snapshot `seq` as key rows, so that a
 * file can be read without the file before it. A file begins with INCARNATION, SCHEMA..., BASE.
 *
 * A new incarnation begins at seq 1 with key rows. Every STREAM_KEY_EVERY-th snapshot has key rows,
 * so damage costs no more than those.
 */
#ifndef TALLY_USER_LIB_STREAM_H
#define TALLY_USER_LIB_STREAM_H

#include "user/lib/recfile.h"
#include "user/lib/schema.h"

#define STREAM_KEY_EVERY  128u
#define STREAM_GROUPS_MAX 65536u

#define SNAPSHOT_BASE 1u

struct incarnation {
	uint64_t id;	     /* random, never 0; drawn at each start of the provider */
	uint64_t start_ns;   /* realtime of that start */
	uint8_t boot_id[16]; /* /proc/sys/kernel/random/boot_id */
};

/* A group of a snapshot, as read: everything is borrowed from the stream until its next call. */
struct group_view {
	const struct schema *schema;
	const uint64_t *values; /* schema->n */
	uint64_t begin_ns;	/* monotonic ns after the snapshot's, when reading began */
	uint64_t window_ns;	/* how long reading took */
};

struct snapshot_view {
	uint64_t incarnation, seq;
	int64_t realtime_ns;
	uint64_t monotonic_ns;
	uint32_t flags;
	size_t ngroups;
	const struct group_view *groups;
	size_t nskipped; /* groups whose row before is unknown (after damage): waits for a key row */
};

/* --- reading ------------------------------------------------------------------------------- */

struct stream; /* one node's state; not thread safe */

struct stream *stream_new(void); /* NULL: no memory */
void stream_free(struct stream *s);
enum stream_result {
	STREAM_OLD = 0,	     /* known already (repeat at a file's start, duplicate): nothing changed */
	STREAM_STATE = 1,    /* incarnation, schema or base taken in: keep the record, no sample */
	STREAM_SNAPSHOT = 2, /* a new snapshot: *ret_view is set */
};
/*
 * Applies one record. Returns an enum stream_result, or -EBADMSG / -EPROTO / -E2BIG, after which the
 * state is unchanged. A snapshot whose seq is not above the last one of its incarnation is STREAM_OLD.
 */
int stream_apply(struct stream *s, uint8_t type, const uint8_t *p, size_t n,
	struct snapshot_view *ret_view);
/* After damage in the source: rows are unknown until a key row or BASE. */
void stream_lost(struct stream *s);
/* Newest incarnation (NULL before the first) and newest seq in it (0 before the first). */
const struct incarnation *stream_incarnation(const struct stream *s);
uint64_t stream_seq(const struct stream *s);
/* Newest state of every group: the last snapshot that held it. Returns the number of groups. */
struct group_state {
	const struct schema *schema;
	const uint64_t *values; /* NULL if unknown */
	int64_t realtime_ns;	/* of the group's last row: snapshot's realtime + begin */
	uint64_t monotonic_ns, seq;
};
size_t stream_groups(const struct stream *s);
void stream_group(const struct stream *s, size_t i, struct group_state *ret);
/* INCARNATION, SCHEMA... and BASE records that rebuild this state, for the start of a file. */
int stream_put_state(const struct stream *s, uint32_t stream_id, struct buf *out);

/* --- writing (provider) --------------------------------------------------------------------- */

/*
 * A producer's group: the schema it wants (id is ignored) and its values. The producer changes
 * `schema` only together with `version`; the writer then emits a new SCHEMA record and a key row.
 */
struct group {
	struct schema schema;
	uint32_t version;
	uint64_t *values; /* schema.n words, owned by the group */
	/* the writer's own */
	uint32_t written_version, schema_id;
	uint64_t *last; /* row written last, schema.n words */
};

struct stream_writer; /* one per provider */
struct stream_writer *stream_writer_new(const struct incarnation *inc);
void stream_writer_free(struct stream_writer *w);
const struct incarnation *stream_writer_incarnation(const struct stream_writer *w);

struct group_due {
	struct group *group;
	uint64_t begin_ns, window_ns;
};
/*
 * Appends to out the records of the next snapshot: SCHEMA records of changed groups, then SNAPSHOT.
 * *ret_seq is its number. -ENOMEM leaves the writer as it was.
 */
int stream_writer_snapshot(struct stream_writer *w, int64_t realtime_ns, uint64_t monotonic_ns,
	struct group_due *due, size_t ndue, struct buf *out, uint64_t *ret_seq);
/* The state records for the start of a new file (see stream_put_state). */
int stream_writer_put_state(struct stream_writer *w, struct buf *out);
/* A group goes away (its program is gone): the writer forgets it. */
void stream_writer_forget(struct stream_writer *w, struct group *g);

void group_release(struct group *g);

#endif
