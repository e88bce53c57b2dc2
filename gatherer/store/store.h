/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * History: the gatherer's compressed store. This is its only public header; docs/FORMAT.md gives
 * every byte of the files.
 *
 *   DIR/lock                 the writer's lock
 *   DIR/head-NNNNNNNN.rec    append-only record file (user/lib/recfile.h), stream = node index
 *   DIR/NNNNNNNN.tly         sealed: columns of many nodes behind an index, immutable
 *   DIR/bad/                 damaged pieces, set aside, never deleted
 *
 * A head is sealed into the sealed file of the same number when it is big or old enough; then a new
 * head begins with NODE and STATE records (gatherer/store/packed.h), so each file is readable alone.
 * While both a head and a sealed file of one number exist, the sealed one counts.
 */
#ifndef TALLY_GATHERER_STORE_STORE_H
#define TALLY_GATHERER_STORE_STORE_H

#include "user/lib/err.h"
#include "user/lib/schema.h"
#include "user/lib/stream.h"

/* --- writer: one process at a time, the ingest thread; store_sync() from any other thread --- */

struct store;

struct store_options {
	uint64_t head_bytes; /* seal when the head is that big; default 64 MiB */
	uint64_t head_age_ns; /* ... or that old; default 1 h */
};

/*
 * -EBUSY if another writer has it. Never fails over damaged data: a torn tail is cut, a bad place is
 * set aside in DIR/bad and logged (user/lib/diag.h).
 */
int store_open(
	const char *dir, const struct store_options *opt, struct store **ret, struct errmsg *e);
/* Flushes, syncs, releases the lock. Does not seal. */
int store_close(struct store *s);
/* Finds or makes a node; its name may change. *ret_node is valid while the store is open. */
int store_node(struct store *s, const uint8_t id[32], const char *name, uint32_t *ret_node);
/* Newest snapshot of the node that was appended (durable or not) / that is durable; 0, 0 if none. */
void store_last(const struct store *s, uint32_t node, uint64_t *ret_incarnation, uint64_t *ret_seq);
void store_durable(struct store *s, uint32_t node, uint64_t *ret_incarnation, uint64_t *ret_seq);
/*
 * Appends one record as it came from the node (header already parsed; payload checked here by
 * decoding it). Returns enum stream_result; -EBADMSG, -EPROTO, -E2BIG: refused, nothing stored;
 * another negative code: the disk. *ret_view as in stream_apply().
 */
int store_append(
	struct store *s, uint32_t node, const struct record *rec, struct snapshot_view *ret_view);
/*
 * Group commit: makes everything appended before the call durable (write, fdatasync). After a failed
 * fdatasync the unacknowledged is written to a new head, never retried on the old one.
 * Thread safe against the ingest thread.
 */
int store_sync(struct store *s);
/* Is a seal due? Seal: runs in the caller's thread; appends may go on meanwhile. */
bool store_seal_due(const struct store *s, uint64_t now_monotonic_ns);
int store_seal(struct store *s, struct errmsg *e);
struct store_stats {
	uint64_t nodes, samples, snapshots, duplicates, refused;
	uint64_t head_bytes, sealed_bytes, sealed_files, syncs, sync_ns, seals, seal_ns;
	uint64_t damage_bytes; /* cut or set aside at open */
};
void store_stats(const struct store *s, struct store_stats *ret);

/* --- reader: any process, also beside a running writer -------------------------------------- */

struct history;
int history_open(const char *dir, struct history **ret, struct errmsg *e);
void history_close(struct history *h);
/* Takes in what the writer has added, sealed or removed since. Cheap if nothing changed. */
int history_refresh(struct history *h);

struct history_node {
	uint8_t id[32];
	const char *name; /* unique in this view: a second node of the same name gets "-" and 8
			     characters of its fingerprint */
	int64_t first_ns, last_ns; /* realtime of its first and last snapshot */
};
size_t history_nodes(const struct history *h);
const struct history_node *history_node(const struct history *h, size_t i);

/* A series over all its files: same node, group, name, labels and part. Borrowed until refresh. */
struct history_series {
	size_t node; /* index for history_node() */
	const char *group;
	const struct series *def; /* newest definition */
	uint32_t id; /* handle for history_read() */
};
/* Sorted by node, name, labels. */
size_t history_series_count(struct history *h);
const struct history_series *history_series(struct history *h, size_t i);

#define SAMPLE_RESET 1u /* first of a new start: counters began again, do not subtract across */
#define SAMPLE_GAP   2u /* snapshots are missing before it (sequence numbers skip) */

struct sample {
	int64_t realtime_ns;
	uint64_t
		monotonic_ns; /* comparable only within one boot; a RESET flag marks a new boot too */
	uint64_t value; /* as def->kind */
	uint32_t flags;
};
/*
 * Calls fn for each sample with from_ns <= realtime < to_ns, in order of (incarnation, seq), until it
 * returns non-zero (which is returned). -EBADMSG if a damaged block was skipped on the way; all else
 * was delivered.
 */
typedef int (*sample_fn)(void *arg, const struct series *def, const struct sample *s);
int history_read(struct history *h, uint32_t series, int64_t from_ns, int64_t to_ns, sample_fn fn,
	void *arg);

/* Newest row of every group of every node, from the head: for /metrics and `tally ls`. */
typedef int (*newest_fn)(void *arg, size_t node, const struct group_state *g);
int history_newest(struct history *h, newest_fn fn, void *arg);

struct history_size {
	uint64_t files, bytes, samples, series;
};
void history_size(struct history *h, struct history_size *ret);

/* --- verification --------------------------------------------------------------------------- */

/* One call per damage: file, byte offset, what. Returns the number of damages or a negative code. */
typedef void (*damage_fn)(void *arg, const char *file, uint64_t offset, const char *what);
long history_check(const char *dir, damage_fn fn, void *arg, struct errmsg *e);

#endif
