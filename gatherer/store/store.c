/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writer. Appending decodes a record into its node's stream, which tells whether it is new, and
 * copies it to the batch. Syncing writes the batch to the head and waits for the disk. Sealing begins
 * a new head and turns the old one into columns.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/array.h"
#include "gatherer/store/os.h"
#include "gatherer/store/seal.h"
#include "gatherer/store/store_int.h"
#include "user/lib/diag.h"
#include "user/lib/util.h"

#define BATCH_SYNC    (16u << 20) /* appending syncs by itself when so much waits */
#define BATCH_MAX     (64u << 20) /* and refuses when the disk takes nothing */
#define SEAL_RETRY_NS (10 * NSEC_PER_SEC)

int store_add_old(struct store *s, uint64_t number)
{
	int err = array_reserve(&s->old, s->nold + 1, &s->old_cap, sizeof(*s->old));

	if (!err)
		s->old[s->nold++] = number;
	return err;
}

int store_reserve_durable(struct store *s)
{
	size_t before = s->durable_cap;
	int err = array_reserve(&s->durable, s->nodes.n, &s->durable_cap, sizeof(*s->durable));

	if (s->durable_cap > before)
		memset(s->durable + before, 0, (s->durable_cap - before) * sizeof(*s->durable));
	return err;
}

/* --- nodes ---------------------------------------------------------------------------------- */

static int put_node(struct store *s, uint32_t node)
{
	const struct nodeset_node *n = &s->nodes.nodes[node];
	size_t start = s->batch.bytes.len;
	int err = noderec_put(n->id, n->name, n->stream, node, s->salt, &s->batch.bytes);

	if (err) {
		s->batch.bytes.len = start;
		s->batch.bytes.failed = false;
	}
	return err;
}

static int find_or_add_node(struct store *s, const uint8_t id[32], const char *name)
{
	ssize_t i = nodeset_find(&s->nodes, id);
	int err = 0;

	if (i >= 0 && strcmp(s->nodes.nodes[i].name, name) == 0)
		return (int)i;
	if (i >= 0) {
		err = nodeset_rename(&s->nodes.nodes[i], name);
	} else {
		i = nodeset_add(&s->nodes, id, name);
		err = i < 0 ? (int)i : store_reserve_durable(s);
		s->stats.nodes = s->nodes.n;
	}
	if (!err)
		err = put_node(s, (uint32_t)i);
	return err ? err : (int)i;
}

int store_node(struct store *s, const uint8_t id[32], const char *name, uint32_t *ret_node)
{
	size_t len = strlen(name);
	int i;

	if (len > NODE_NAME_MAX)
		return -E2BIG;
	if (!text_valid(name, len))
		return -EPROTO;
	pthread_mutex_lock(&s->lock);
	i = find_or_add_node(s, id, name);
	pthread_mutex_unlock(&s->lock);
	if (i < 0)
		return i;
	*ret_node = (uint32_t)i;
	return 0;
}

void store_last(const struct store *s, uint32_t node, uint64_t *ret_incarnation, uint64_t *ret_seq)
{
	nodeset_newest(&s->nodes.nodes[node], ret_incarnation, ret_seq);
}

void store_durable(struct store *s, uint32_t node, uint64_t *ret_incarnation, uint64_t *ret_seq)
{
	pthread_mutex_lock(&s->lock);
	*ret_incarnation = s->durable[node].incarnation;
	*ret_seq = s->durable[node].seq;
	pthread_mutex_unlock(&s->lock);
}

/* --- appending ------------------------------------------------------------------------------ */

static void count_result(struct store *s, int result, const struct snapshot_view *view)
{
	if (result == STREAM_OLD)
		s->stats.duplicates++;
	else if (result < 0)
		s->stats.refused++;
	if (result != STREAM_SNAPSHOT)
		return;
	s->stats.snapshots++;
	for (size_t i = 0; i < view->ngroups; i++)
		s->stats.samples += view->groups[i].schema->n;
}

static int append_record(
	struct store *s, uint32_t node, const struct record *rec, struct snapshot_view *ret_view)
{
	uint64_t incarnation, seq;
	int result = batch_reserve(&s->batch, RECORD_HEADER + rec->len);

	if (result)
		return result;
	result = stream_apply(
		s->nodes.nodes[node].stream, rec->type, rec->payload, rec->len, ret_view);
	count_result(s, result, ret_view);
	if (result <= STREAM_OLD)
		return result;
	record_put(&s->batch.bytes, s->salt, rec->type, node, rec->payload, rec->len);
	nodeset_newest(&s->nodes.nodes[node], &incarnation, &seq);
	batch_mark(&s->batch, node, incarnation, seq);
	return result;
}

int store_append(
	struct store *s, uint32_t node, const struct record *rec, struct snapshot_view *ret_view)
{
	size_t waiting;
	int result;

	if (rec->len > RECORD_PAYLOAD_MAX)
		return -E2BIG;
	pthread_mutex_lock(&s->lock);
	waiting = s->batch.bytes.len;
	result = s->sync_error;
	pthread_mutex_unlock(&s->lock);
	if (result && waiting > BATCH_MAX)
		return result;
	if (!result && waiting > BATCH_SYNC)
		store_sync(s); /* if it fails, the next ones are the caller's */
	pthread_mutex_lock(&s->lock);
	result = append_record(s, node, rec, ret_view);
	pthread_mutex_unlock(&s->lock);
	return result;
}

/* --- syncing -------------------------------------------------------------------------------- */

/* Under io. What was flying is durable now. */
static void landed(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->flying.n; i++) {
		const struct batch_mark *m = &s->flying.marks[i];

		s->durable[m->node] = (struct durable){m->incarnation, m->seq};
	}
	s->head_records += s->flying.bytes.len;
	s->stats.head_bytes = s->head.size;
	pthread_mutex_unlock(&s->lock);
	batch_reset(&s->flying);
}

/* Under io. What was flying waits for the next try; without memory it stays, and take_off() does it. */
static void come_back(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	batch_prepend(&s->batch, &s->flying);
	pthread_mutex_unlock(&s->lock);
}

static uint64_t take_number(struct store *s)
{
	uint64_t number;

	pthread_mutex_lock(&s->lock);
	number = s->next_number++;
	pthread_mutex_unlock(&s->lock);
	return number;
}

/*
 * Under io. The new head takes over; the one before waits to be sealed (without memory for its number,
 * until the store is opened again).
 */
static int replace_head(struct store *s, const struct head *head)
{
	int err;

	pthread_mutex_lock(&s->lock);
	err = s->head.fd < 0 ? 0 : store_add_old(s, s->head.number);
	s->head_records = 0;
	s->head_began_ns = clock_monotonic_ns();
	s->stats.head_bytes = head->size;
	pthread_mutex_unlock(&s->lock);
	head_close(&s->head);
	s->head = *head;
	return err;
}

/*
 * Under io. The head can't be trusted any more: a new one begins with the state that its durable part
 * comes to, and holds what was flying.
 */
static int leave_broken_head(struct store *s)
{
	struct buf rebuilt = BUF_INIT, *state = s->head.fd < 0 ? &s->first_state : &rebuilt;
	struct head head;
	int err = s->head.fd < 0 ? 0 : head_rebuild_state(&s->head, &rebuilt);

	if (!err)
		err = head_create(
			s->dirfd, take_number(s), s->salt, state, &s->flying.bytes, &head);
	buf_release(&rebuilt);
	if (!err) {
		diag_warning("%s: a new head after a failed write", s->dir);
		replace_head(s, &head);
	}
	return err;
}

/* Under io. Makes what is flying durable, in this head or a new one. */
static int land(struct store *s)
{
	uint64_t began = clock_monotonic_ns();
	int err = 0;

	if (s->flying.bytes.len == 0 && !s->head.broken)
		return 0;
	if (!s->head.broken)
		err = head_append(&s->head, &s->flying.bytes);
	if (s->head.broken)
		err = leave_broken_head(s);
	if (err)
		come_back(s);
	else
		landed(s);
	pthread_mutex_lock(&s->lock);
	s->sync_error = err;
	s->stats.syncs++;
	s->stats.sync_ns += clock_monotonic_ns() - began;
	pthread_mutex_unlock(&s->lock);
	return err;
}

/* Under io and lock: all that is appended flies now. */
static int take_off(struct store *s)
{
	struct batch empty = s->flying;
	int err;

	if (s->flying.bytes.len > 0) { /* it could not come back for want of memory */
		err = batch_prepend(&s->batch, &s->flying);
		if (err)
			return err;
		empty = s->flying;
	}
	s->flying = s->batch;
	s->batch = empty;
	return 0;
}

int store_sync(struct store *s)
{
	int err;

	pthread_mutex_lock(&s->io);
	pthread_mutex_lock(&s->lock);
	err = take_off(s);
	pthread_mutex_unlock(&s->lock);
	if (!err)
		err = land(s);
	pthread_mutex_unlock(&s->io);
	return err;
}

/* --- sealing -------------------------------------------------------------------------------- */

/* Under lock. */
static bool head_due(const struct store *s, uint64_t now_ns)
{
	return s->head_records > s->opt.head_bytes ||
	       (s->head_records > 0 && now_ns - s->head_began_ns > s->opt.head_age_ns);
}

bool store_seal_due(const struct store *cs, uint64_t now_ns)
{
	struct store *s = (struct store *)cs; /* only its mutex */
	bool due;

	pthread_mutex_lock(&s->lock);
	due = (head_due(s, now_ns) || s->nold > 0) && now_ns >= s->retry_ns;
	pthread_mutex_unlock(&s->lock);
	return due;
}

/*
 * Under io. The state for the new head is taken at the moment when the last record for the old one is
 * in the batch; what is appended while files are written belongs to the new head.
 */
static int rotate_head(struct store *s)
{
	uint64_t old_number = s->head.number;
	struct buf state = BUF_INIT;
	struct head head;
	bool nothing_new;
	int err = 0;

	pthread_mutex_lock(&s->lock);
	nothing_new = s->head_records == 0 && s->batch.bytes.len == 0;
	if (!nothing_new)
		err = nodeset_put_state(&s->nodes, &state);
	if (!err)
		err = take_off(s);
	pthread_mutex_unlock(&s->lock);
	if (!err)
		err = land(s);
	if (err || nothing_new ||
		s->head.number != old_number) /* a failed sync has begun a new head already */
		goto out;
	err = head_create(s->dirfd, take_number(s), s->salt, &state, NULL, &head);
	if (!err)
		err = replace_head(s, &head);
out:
	buf_release(&state);
	return err;
}

/* Seals the head at this place of s->old, and takes it out of there. */
static int seal_one(struct store *s, size_t at, uint64_t number, struct errmsg *e)
{
	char name[HEAD_NAME_SIZE];
	uint64_t size;
	int err = seal_head(s->dirfd, number, &size);

	snprintf(name, sizeof(name), HEAD_NAME_FORMAT, (unsigned long long)number);
	if (err)
		return err_set(e, err, "%s/%s: cannot seal: %s", s->dir, name, strerror(-err));
	err = os->unlink(s->dirfd, name);
	if (err) /* both exist: the sealed one counts, and opening removes the head */
		diag_warning("%s/%s: cannot remove: %s", s->dir, name, strerror(-err));
	pthread_mutex_lock(&s->lock);
	s->nold--;
	memmove(s->old + at, s->old + at + 1, (s->nold - at) * sizeof(*s->old));
	s->stats.sealed_files++;
	s->stats.sealed_bytes += size;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static bool old_at(struct store *s, size_t at, uint64_t *ret)
{
	bool any;

	pthread_mutex_lock(&s->lock);
	any = at < s->nold;
	if (any)
		*ret = s->old[at];
	pthread_mutex_unlock(&s->lock);
	return any;
}

/* One that can't be read must not keep the others from being sealed. */
static int seal_old(struct store *s, struct errmsg *e)
{
	uint64_t number;
	size_t at = 0;
	int first_err = 0;

	while (old_at(s, at, &number)) {
		int err = seal_one(s, at, number, first_err ? NULL : e);

		if (err && err != -EIO && err != -EBADMSG)
			return err;
		at += err != 0;
		first_err = first_err ? first_err : err;
	}
	return first_err;
}

/* Heads are left from before, and this one has still time: a retry must not make ever more of them. */
static bool only_old_due(struct store *s)
{
	bool only;

	pthread_mutex_lock(&s->lock);
	only = s->nold > 0 && !head_due(s, clock_monotonic_ns());
	pthread_mutex_unlock(&s->lock);
	return only;
}

int store_seal(struct store *s, struct errmsg *e)
{
	uint64_t began = clock_monotonic_ns();
	int err;

	pthread_mutex_lock(&s->seal);
	pthread_mutex_lock(&s->io);
	err = only_old_due(s) ? 0 : rotate_head(s);
	pthread_mutex_unlock(&s->io);
	if (err)
		err_set(e, err, "%s: cannot begin a new head: %s", s->dir, strerror(-err));
	else
		err = seal_old(s, e);
	pthread_mutex_lock(&s->lock);
	if (err)
		s->retry_ns = clock_monotonic_ns() + SEAL_RETRY_NS;
	s->stats.seals += !err;
	s->stats.seal_ns += clock_monotonic_ns() - began;
	pthread_mutex_unlock(&s->lock);
	pthread_mutex_unlock(&s->seal);
	return err;
}

void store_stats(const struct store *cs, struct store_stats *ret)
{
	struct store *s = (struct store *)cs; /* only its mutex */

	pthread_mutex_lock(&s->lock);
	*ret = s->stats;
	pthread_mutex_unlock(&s->lock);
}
