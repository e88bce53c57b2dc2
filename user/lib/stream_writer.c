/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writer's side of a stream. A snapshot is made in two steps: everything that can fail (memory)
 * happens first, then the groups' last rows and the sequence number move on together.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/lib/stream_state.h"
#include "user/lib/util.h"

#define NSEC_PER_USEC 1000u

/* What the writer knows of a group; its last row is in the group itself. */
struct wgroup {
	struct group *group;
	uint64_t *next_last; /* room for the rows of a schema that is about to be written */
	uint32_t next_id; /* its id, or 0 if the schema is unchanged */
	bool lost; /* write schema and key row again */
	struct snapshot_clock at; /* seq 0: no row was written */
	uint64_t begin_ns, window_ns, key_seq;
};

struct stream_writer {
	struct incarnation inc;
	struct snapshot_clock newest;
	uint32_t last_schema_id;
	bool lost; /* write the incarnation again */
	size_t n, cap;
	struct wgroup *groups;
	struct buf payload, scratch;
};

struct stream_writer *stream_writer_new(const struct incarnation *inc)
{
	struct stream_writer *w = calloc(1, sizeof(*w));

	if (w) {
		w->inc = *inc;
		w->lost = true;
	}
	return w;
}

void stream_writer_free(struct stream_writer *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->n; i++)
		free(w->groups[i].next_last);
	free(w->groups);
	buf_release(&w->payload);
	buf_release(&w->scratch);
	free(w);
}

const struct incarnation *stream_writer_incarnation(const struct stream_writer *w)
{
	return &w->inc;
}

static struct wgroup *find_group(struct stream_writer *w, const struct group *g)
{
	if (g->slot == 0 || g->slot > w->n || w->groups[g->slot - 1].group != g)
		return NULL;
	return &w->groups[g->slot - 1];
}

static int add_group(struct stream_writer *w, struct group *g)
{
	size_t cap = w->cap ? 2 * w->cap : 16;
	struct wgroup *grown;

	if (w->n == w->cap) {
		grown = realloc(w->groups, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		w->groups = grown;
		w->cap = cap;
	}
	w->groups[w->n++] = (struct wgroup){.group = g};
	g->slot = (uint32_t)w->n;
	return 0;
}

/* --- one snapshot: prepare, encode, commit -------------------------------------------------- */

static bool schema_changed(const struct wgroup *wg)
{
	return wg->at.seq == 0 || wg->group->version != wg->group->written_version ||
	       wg->group->schema.n != wg->group->nlast;
}

/* Gives the group a schema id and room for its row, if its schema is new. */
static int prepare_group(struct wgroup *wg, uint32_t *next_id)
{
	size_t n = wg->group->schema.n;

	free(wg->next_last);
	wg->next_last = NULL;
	wg->next_id = 0;
	if (!schema_changed(wg)) {
		wg->group->schema.id = wg->group->schema_id;
		return 0;
	}
	wg->next_last = calloc(n ? n : 1, sizeof(*wg->next_last));
	if (!wg->next_last)
		return -ENOMEM;
	wg->next_id = wg->group->schema.id = ++*next_id;
	return 0;
}

static int prepare_groups(
	struct stream_writer *w, const struct group_due *due, size_t ndue, uint32_t *next_id)
{
	int err = 0;

	for (size_t i = 0; i < ndue && !err; i++)
		if (!find_group(w, due[i].group))
			err = add_group(w, due[i].group);
	for (size_t i = 0; i < ndue && !err; i++)
		err = prepare_group(find_group(w, due[i].group), next_id);
	return err;
}

static bool key_due(const struct wgroup *wg, uint64_t seq)
{
	return wg->next_id || wg->lost || seq - wg->key_seq >= STREAM_KEY_EVERY;
}

static uint64_t whole_usec(uint64_t ns)
{
	return ns - ns % NSEC_PER_USEC;
}

static void encode_row(
	struct stream_writer *w, const struct group_due *due, const struct snapshot_clock *at)
{
	const struct wgroup *wg = find_group(w, due->group);
	const struct state_row row = {
		.schema = &due->group->schema,
		.values = due->group->values,
		.begin_ns = whole_usec(due->begin_ns),
		.window_ns = whole_usec(due->window_ns),
	};

	snapshot_put_row(
		&w->payload, &row, key_due(wg, at->seq) ? NULL : due->group->last, &w->scratch);
}

static int encode_all(struct stream_writer *w, struct group_due *due, size_t ndue,
	const struct snapshot_clock *at, struct buf *out)
{
	int err = w->lost ? incarnation_put(&w->inc, 0, out) : 0;

	for (size_t i = 0; i < ndue && !err; i++) {
		const struct wgroup *wg = find_group(w, due[i].group);
		size_t before = out->len;

		if (wg->next_id || wg->lost)
			err = schema_put_record(&due[i].group->schema, w->inc.id, 0, out);
		due[i].bytes = (uint32_t)(out->len - before);
	}
	buf_reset(&w->payload);
	snapshot_put_head(&w->payload, w->inc.id, at, 0, ndue);
	for (size_t i = 0; i < ndue; i++) {
		size_t before = w->payload.len;

		encode_row(w, &due[i], at);
		due[i].bytes += (uint32_t)(w->payload.len - before);
	}
	if (!err)
		err = buf_error(&w->payload);
	if (!err && w->payload.len > RECORD_PAYLOAD_MAX)
		err = -E2BIG;
	if (err)
		return err;
	record_put(out, 0, RECORD_SNAPSHOT, 0, w->payload.data, w->payload.len);
	return buf_error(out);
}

static void commit_group(
	struct wgroup *wg, const struct group_due *due, const struct snapshot_clock *at)
{
	struct group *g = due->group;

	if (key_due(wg, at->seq))
		wg->key_seq = at->seq;
	if (wg->next_id) {
		free(g->last);
		g->last = wg->next_last;
		g->schema_id = wg->next_id;
		g->written_version = g->version;
		g->nlast = g->schema.n;
		wg->next_last = NULL;
		wg->next_id = 0;
	}
	if (g->nlast)
		memcpy(g->last, g->values, g->nlast * sizeof(*g->last));
	wg->at = *at;
	wg->begin_ns = whole_usec(due->begin_ns);
	wg->window_ns = whole_usec(due->window_ns);
	wg->lost = false;
}

int stream_writer_snapshot(struct stream_writer *w, int64_t realtime_ns, uint64_t monotonic_ns,
	struct group_due *due, size_t ndue, struct buf *out, uint64_t *ret_seq)
{
	const struct snapshot_clock at = {
		.seq = w->newest.seq + 1,
		.realtime_ns = realtime_ns,
		.monotonic_ns = monotonic_ns,
	};
	uint32_t next_id = w->last_schema_id;
	size_t start = out->len;
	int err = prepare_groups(w, due, ndue, &next_id);

	if (!err)
		err = encode_all(w, due, ndue, &at, out);
	if (err) {
		out->len = start;
		return err;
	}
	for (size_t i = 0; i < ndue; i++)
		commit_group(find_group(w, due[i].group), &due[i], &at);
	w->last_schema_id = next_id;
	w->newest = at;
	w->lost = false;
	*ret_seq = at.seq;
	return 0;
}

/* --- the state, and changes to it ----------------------------------------------------------- */

int stream_writer_put_state(struct stream_writer *w, struct buf *out)
{
	struct state_row *rows = calloc(w->n ? w->n : 1, sizeof(*rows));
	size_t n = 0;
	int err;

	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < w->n; i++) {
		const struct wgroup *wg = &w->groups[i];

		if (schema_changed(wg) || wg->lost)
			continue;
		wg->group->schema.id = wg->group->schema_id;
		rows[n++] = (struct state_row){
			.schema = &wg->group->schema,
			.values = wg->group->last,
			.at = wg->at,
			.begin_ns = wg->begin_ns,
			.window_ns = wg->window_ns,
		};
	}
	err = state_put(&w->inc, rows, n, &w->newest, 0, out);
	free(rows);
	return err;
}

void stream_writer_lost(struct stream_writer *w)
{
	w->lost = true;
	for (size_t i = 0; i < w->n; i++)
		w->groups[i].lost = true;
}

void stream_writer_forget(struct stream_writer *w, struct group *g)
{
	struct wgroup *wg = find_group(w, g);

	if (!wg)
		return;
	free(wg->next_last);
	*wg = w->groups[--w->n];
	wg->group->slot = g->slot;
	g->slot = 0;
}

void group_release(struct group *g)
{
	schema_release(&g->schema);
	free(g->values);
	free(g->last);
	*g = (struct group){0};
}
