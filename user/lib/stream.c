/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reader's side of a stream. Every record comes from somebody who may be hostile: it is decoded
 * completely into spare rows first, and only what has decoded without an error becomes the state.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/lib/rowcode.h"
#include "user/lib/stream_state.h"
#include "user/lib/wire.pb-c.h"

struct sgroup {
	struct schema schema;
	size_t record_len; /* of its SCHEMA record */
	uint64_t *values, *spare;
	bool known; /* values are the row that the next delta refers to */
	uint64_t marked; /* the last call of stream_apply() that met this group */
	struct snapshot_clock at;
	uint64_t begin_ns, window_ns;
};

struct stream {
	struct incarnation inc; /* id 0: none yet */
	struct snapshot_clock newest;
	uint64_t calls;
	size_t ngroups, cap;
	struct sgroup *groups;
	uint32_t *by_id, *by_name; /* indexes of groups, sorted */
	struct group_view *views; /* of the last snapshot, and the groups behind them */
	uint32_t *
		touched; /* groups of the last snapshot: those with a view; from the end, the lost */
	size_t nseries, schema_bytes; /* totals over all groups */
	size_t npast;
	struct stream_past past[STREAM_PAST_MAX];
};

/* --- groups --------------------------------------------------------------------------------- */

static void group_clear(struct sgroup *g)
{
	schema_release(&g->schema);
	free(g->values);
	free(g->spare);
}

static void groups_clear(struct stream *s)
{
	for (size_t i = 0; i < s->ngroups; i++)
		group_clear(&s->groups[i]);
	s->ngroups = s->nseries = s->schema_bytes = 0;
}

/* *(T **)array gets room for n items. */
static int resize(void *array, size_t n, size_t size)
{
	void *p;

	memcpy(&p, array, sizeof(p));
	p = realloc(p, n * size);
	if (!p)
		return -ENOMEM;
	memcpy(array, &p, sizeof(p));
	return 0;
}

static int groups_make_room(struct stream *s)
{
	size_t cap = s->cap ? 2 * s->cap : 16;

	if (s->ngroups < s->cap)
		return 0;
	if (s->ngroups >= STREAM_GROUPS_MAX)
		return -E2BIG;
	if (resize(&s->groups, cap, sizeof(*s->groups)) ||
		resize(&s->by_id, cap, sizeof(*s->by_id)) ||
		resize(&s->by_name, cap, sizeof(*s->by_name)) ||
		resize(&s->views, cap, sizeof(*s->views)) ||
		resize(&s->touched, cap, sizeof(*s->touched)))
		return -ENOMEM;
	s->cap = cap;
	return 0;
}

/* Where id stands, or would stand, among the first n of by_id. */
static size_t id_place(const struct stream *s, size_t n, uint32_t id)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->groups[s->by_id[mid]].schema.id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static size_t name_place(const struct stream *s, const char *name)
{
	size_t lo = 0, hi = s->ngroups;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (strcmp(s->groups[s->by_name[mid]].schema.group, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct sgroup *find_id(const struct stream *s, uint32_t id)
{
	size_t i = id_place(s, s->ngroups, id);
	struct sgroup *g = i < s->ngroups ? &s->groups[s->by_id[i]] : NULL;

	return g && g->schema.id == id ? g : NULL;
}

static struct sgroup *find_name(const struct stream *s, const char *name)
{
	size_t i = name_place(s, name);
	struct sgroup *g = i < s->ngroups ? &s->groups[s->by_name[i]] : NULL;

	return g && strcmp(g->schema.group, name) == 0 ? g : NULL;
}

static void insert_at(uint32_t *list, size_t n, size_t at, uint32_t v)
{
	memmove(list + at + 1, list + at, (n - at) * sizeof(*list));
	list[at] = v;
}

static void remove_at(uint32_t *list, size_t n, size_t at)
{
	memmove(list + at, list + at + 1, (n - at - 1) * sizeof(*list));
}

/* --- incarnations --------------------------------------------------------------------------- */

static bool is_past(const struct stream *s, uint64_t incarnation)
{
	for (size_t i = 0; i < s->npast; i++)
		if (s->past[i].incarnation == incarnation)
			return true;
	return false;
}

void stream_add_past(struct stream *s, uint64_t incarnation, uint64_t seq)
{
	if (is_past(s, incarnation))
		return;
	if (s->npast == STREAM_PAST_MAX) {
		memmove(s->past, s->past + 1, (STREAM_PAST_MAX - 1) * sizeof(*s->past));
		s->npast--;
	}
	s->past[s->npast++] = (struct stream_past){.incarnation = incarnation, .seq = seq};
}

size_t stream_past(const struct stream *s, const struct stream_past **ret)
{
	*ret = s->past;
	return s->npast;
}

static int incarnation_decode(const uint8_t *p, size_t n, struct incarnation *ret)
{
	Tally__Incarnation *m = tally__incarnation__unpack(NULL, n, p);
	int err = -EPROTO;

	if (!m)
		return -EBADMSG;
	if (m->id != 0 && m->boot_id.len == sizeof(ret->boot_id)) {
		ret->id = m->id;
		ret->start_ns = m->start_ns;
		memcpy(ret->boot_id, m->boot_id.data, sizeof(ret->boot_id));
		err = 0;
	}
	tally__incarnation__free_unpacked(m, NULL);
	return err;
}

static int apply_incarnation(struct stream *s, const uint8_t *p, size_t n)
{
	struct incarnation inc;
	int err = n > STREAM_START_MAX ? -E2BIG : incarnation_decode(p, n, &inc);

	if (err)
		return err;
	if (inc.id == s->inc.id || is_past(s, inc.id))
		return STREAM_OLD;
	if (s->inc.id)
		stream_add_past(s, s->inc.id, s->newest.seq);
	groups_clear(s);
	s->inc = inc;
	s->newest = (struct snapshot_clock){0};
	return STREAM_STATE;
}

/*
 * STREAM_STATE for a record of the present incarnation; STREAM_OLD for one of the past, or of one that
 * may come, but whose own record was damaged: the numbers tell later what was missed.
 */
static int check_incarnation(const struct stream *s, uint64_t incarnation)
{
	if (incarnation == 0)
		return -EPROTO;
	return incarnation == s->inc.id ? STREAM_STATE : STREAM_OLD;
}

/* --- schemas -------------------------------------------------------------------------------- */

static int check_limits(const struct stream *s, const struct sgroup *old, const struct sgroup *new)
{
	size_t nseries = s->nseries - (old ? old->schema.n : 0) + new->schema.n;
	size_t bytes = s->schema_bytes - (old ? old->record_len : 0) + new->record_len;

	return nseries > STREAM_SERIES_MAX || bytes > STREAM_SCHEMA_MAX ? -E2BIG : 0;
}

static int alloc_rows(struct sgroup *g)
{
	size_t n = g->schema.n ? g->schema.n : 1;

	g->values = calloc(n, sizeof(*g->values));
	g->spare = calloc(n, sizeof(*g->spare));
	return g->values && g->spare ? 0 : -ENOMEM;
}

static void replace_group(struct stream *s, struct sgroup *old, const struct sgroup *new)
{
	uint32_t index = (uint32_t)(old - s->groups);

	remove_at(s->by_id, s->ngroups, id_place(s, s->ngroups, old->schema.id));
	insert_at(s->by_id, s->ngroups - 1, id_place(s, s->ngroups - 1, new->schema.id), index);
	s->nseries -= old->schema.n;
	s->schema_bytes -= old->record_len;
	group_clear(old);
	*old = *new;
}

static void add_group(struct stream *s, const struct sgroup *new)
{
	uint32_t index = (uint32_t)s->ngroups;
	size_t id_at = id_place(s, s->ngroups, new->schema.id);
	size_t name_at = name_place(s, new->schema.group);

	insert_at(s->by_id, s->ngroups, id_at, index);
	insert_at(s->by_name, s->ngroups, name_at, index);
	s->groups[s->ngroups++] = *new;
}

static int take_schema(struct stream *s, struct sgroup *new)
{
	struct sgroup *old = find_name(s, new->schema.group);
	int err;

	if (new->schema.id == 0)
		return -EPROTO;
	if (old && new->schema.id <= old->schema.id)
		return STREAM_OLD;
	if (find_id(s, new->schema.id))
		return -EPROTO; /* another group's */
	err = check_limits(s, old, new);
	if (!err)
		err = alloc_rows(new);
	if (!err && !old)
		err = groups_make_room(s);
	if (err)
		return err;
	if (old)
		replace_group(s, old, new);
	else
		add_group(s, new);
	s->nseries += new->schema.n;
	s->schema_bytes += new->record_len;
	return STREAM_STATE;
}

static int apply_schema(struct stream *s, const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n);
	uint64_t incarnation = rd_u64(&r);
	struct sgroup g = {.record_len = n};
	int result = r.failed ? -EBADMSG : check_incarnation(s, incarnation);

	if (result != STREAM_STATE)
		return result;
	result = schema_decode(r.p, rd_left(&r), &g.schema);
	if (result == 0)
		result = take_schema(s, &g);
	if (result != STREAM_STATE)
		group_clear(&g);
	return result;
}

/* --- snapshots ------------------------------------------------------------------------------ */

static int decode_row(struct sgroup *g, const struct snapshot_row *row)
{
	if (!row->key)
		memcpy(g->spare, g->values, g->schema.n * sizeof(*g->spare));
	return row_decode(&g->schema, row->key, row->bytes, row->len, g->spare);
}

/* What a snapshot will change once all of it has been decoded. */
struct pending {
	const struct snapshot_head *head;
	size_t taken, skipped, lost; /* rows; of the skipped, those whose group gets unknown */
	bool follows; /* it is the next one, so delta rows can be understood */
};

/* A row is wanted if it brings something new: of a BASE that repeats our newest, only what we lost. */
static bool row_wanted(const struct stream *s, const struct pending *p, const struct sgroup *g)
{
	return !(p->head->flags & SNAPSHOT_BASE) || p->head->seq > s->newest.seq || !g->known;
}

static int take_row(struct stream *s, struct pending *p, struct rd *r)
{
	struct snapshot_row row;
	struct sgroup *g;
	int err = snapshot_parse_row(r, &row);

	if (err)
		return err;
	g = find_id(s, row.schema_id);
	if (!row.key && (p->head->flags & SNAPSHOT_BASE))
		return -EPROTO;
	if (!g) { /* its SCHEMA was damaged */
		p->skipped++;
		return 0;
	}
	if (g->marked == s->calls)
		return -EPROTO;
	g->marked = s->calls;
	if (!row_wanted(s, p, g))
		return 0;
	if (!row.key && !(g->known && p->follows)) {
		p->skipped++;
		return 0;
	}
	if (!row.key && row_hash(g->values, g->schema.n) != row.base) {
		p->skipped++;
		s->touched[s->cap - ++p->lost] = (uint32_t)(g - s->groups);
		return 0;
	}
	err = decode_row(g, &row);
	if (err)
		return err;
	s->touched[p->taken] = (uint32_t)(g - s->groups);
	s->views[p->taken++] = (struct group_view){
		.schema = &g->schema,
		.values = g->spare,
		.begin_ns = row.begin_ns,
		.window_ns = row.window_ns,
	};
	return 0;
}

static void commit_rows(struct stream *s, const struct pending *p)
{
	struct snapshot_clock at = {
		.seq = p->head->seq,
		.realtime_ns = p->head->realtime_ns,
		.monotonic_ns = p->head->monotonic_ns,
	};

	if (!p->follows && !(p->head->flags & SNAPSHOT_BASE))
		stream_lost(s);
	for (size_t i = 1; i <= p->lost; i++)
		s->groups[s->touched[s->cap - i]].known = false;
	for (size_t i = 0; i < p->taken; i++) {
		struct sgroup *g = &s->groups[s->touched[i]];
		uint64_t *row = g->spare;

		g->spare = g->values;
		g->values = row;
		g->known = true;
		g->at = at;
		g->begin_ns = s->views[i].begin_ns;
		g->window_ns = s->views[i].window_ns;
	}
	s->newest = at;
}

static int apply_snapshot(
	struct stream *s, const uint8_t *p, size_t n, struct snapshot_view *ret_view)
{
	struct rd r = rd_init(p, n);
	struct snapshot_head head;
	struct pending pending = {.head = &head};
	int err = snapshot_parse_head(&r, &head);
	bool base;

	if (!err)
		err = check_incarnation(s, head.incarnation);
	if (err != STREAM_STATE)
		return err;
	base = head.flags & SNAPSHOT_BASE;
	if (head.seq < s->newest.seq || (head.seq == s->newest.seq && !base))
		return STREAM_OLD;
	pending.follows = head.seq == s->newest.seq + 1;
	s->calls++;
	err = 0;
	for (size_t i = 0; i < head.ngroups && !err; i++)
		err = take_row(s, &pending, &r);
	if (!err && rd_left(&r) > 0)
		err = -EPROTO;
	if (err)
		return err;
	if (base && pending.taken == 0 && head.seq == s->newest.seq)
		return STREAM_OLD;
	commit_rows(s, &pending);
	if (base)
		return STREAM_STATE;
	*ret_view = (struct snapshot_view){
		.incarnation = head.incarnation,
		.seq = head.seq,
		.realtime_ns = head.realtime_ns,
		.monotonic_ns = head.monotonic_ns,
		.flags = head.flags,
		.ngroups = pending.taken,
		.groups = s->views,
		.nskipped = pending.skipped,
	};
	return STREAM_SNAPSHOT;
}

/* --- public --------------------------------------------------------------------------------- */

struct stream *stream_new(void)
{
	return calloc(1, sizeof(struct stream));
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	groups_clear(s);
	free(s->groups);
	free(s->by_id);
	free(s->by_name);
	free(s->views);
	free(s->touched);
	free(s);
}

int stream_apply(
	struct stream *s, uint8_t type, const uint8_t *p, size_t n, struct snapshot_view *ret_view)
{
	switch (type) {
	case RECORD_INCARNATION:
		return apply_incarnation(s, p, n);
	case RECORD_SCHEMA:
		return apply_schema(s, p, n);
	case RECORD_SNAPSHOT:
		return apply_snapshot(s, p, n, ret_view);
	case RECORD_NODE:
	case RECORD_STATE:
		return -EPROTO;
	default:
		return type >= RECORD_CRITICAL ? -EPROTO : STREAM_OLD;
	}
}

void stream_lost(struct stream *s)
{
	for (size_t i = 0; i < s->ngroups; i++)
		s->groups[i].known = false;
}

const struct incarnation *stream_incarnation(const struct stream *s)
{
	return s->inc.id ? &s->inc : NULL;
}

uint64_t stream_seq(const struct stream *s)
{
	return s->newest.seq;
}

size_t stream_groups(const struct stream *s)
{
	return s->ngroups;
}

void stream_group(const struct stream *s, size_t i, struct group_state *ret)
{
	const struct sgroup *g = &s->groups[i];

	*ret = (struct group_state){
		.schema = &g->schema,
		.values = g->known ? g->values : NULL,
		.realtime_ns = (int64_t)((uint64_t)g->at.realtime_ns + g->begin_ns),
		.monotonic_ns = g->at.monotonic_ns + g->begin_ns,
		.seq = g->at.seq,
	};
}

int stream_put_state(const struct stream *s, uint32_t stream_id, struct buf *out)
{
	struct state_row *rows;
	int err;

	if (!s->inc.id)
		return 0;
	rows = calloc(s->ngroups ? s->ngroups : 1, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < s->ngroups; i++) {
		const struct sgroup *g = &s->groups[i];

		rows[i] = (struct state_row){
			.schema = &g->schema,
			.values = g->known ? g->values : NULL,
			.at = g->at,
			.begin_ns = g->begin_ns,
			.window_ns = g->window_ns,
		};
	}
	err = state_put(&s->inc, rows, s->ngroups, &s->newest, stream_id, out);
	free(rows);
	return err;
}
