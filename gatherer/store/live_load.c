/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoding one group of one node from the heads. All its snapshots are walked in order, because rows
 * are differences; rows of other groups are stepped over.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/array.h"
#include "gatherer/store/live.h"
#include "gatherer/store/os.h"
#include "user/lib/rowcode.h"

#define WHOLE_ROWS_MAX (4u << 20) /* words: beyond it one series at a time */
#define ALL_SERIES     UINT32_MAX

struct walk {
	struct live *l;
	struct live_node *n;
	const struct live_schema *schema; /* of the row; NULL: none yet */
	uint64_t *row;
	bool known;
	bool seen_before; /* the group had a row, or a BASE gave it one */
	uint64_t seen; /* gaps_seen() then */
	bool damaged;
};

static const struct live_schema *find_schema(const struct live_node *n, uint32_t inc, uint32_t id)
{
	size_t lo = 0, hi = n->nschemas;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct live_schema *s = &n->schemas[mid];

		if (s->inc == inc && s->id == id)
			return s;
		if (s->inc < inc || (s->inc == inc && s->id < id))
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static const struct catalog_shape *shape(const struct walk *w, const struct live_schema *s)
{
	return w->l->catalog->shapes[s->shape];
}

/* The row as it is now becomes a poll. */
static int keep_row(struct walk *w, const struct live_record *rec, const struct snapshot_head *head,
	const struct snapshot_row *row)
{
	const struct catalog_shape *sh = shape(w, w->schema);
	struct live_rows *rows = &w->l->rows;
	const uint64_t *words = w->row;
	size_t nwords = sh->schema.n;
	int err;

	if (rows->series != ALL_SERIES) {
		ssize_t column = catalog_column(w->l->catalog, w->schema->shape, rows->series);

		if (column < 0)
			return 0;
		words += column;
		nwords = 1;
	}
	err = array_reserve(&rows->polls, rows->n + 1, &rows->cap, sizeof(*rows->polls));
	if (!err)
		err = array_reserve(&rows->words, rows->nwords + nwords, &rows->words_cap,
			sizeof(*rows->words));
	if (err)
		return err;
	rows->polls[rows->n++] = (struct live_poll){
		.inc = rec->inc,
		.shape = w->schema->shape,
		.gap = w->seen_before ? w->seen != rec->gaps : rec->jumped,
		.start_ns = w->schema->start_ns,
		.seq = head->seq,
		.monotonic_ns = head->monotonic_ns + row->begin_ns,
		.realtime_ns = (int64_t)((uint64_t)head->realtime_ns + row->begin_ns),
		.words = rows->nwords,
	};
	if (nwords)
		memcpy(rows->words + rows->nwords, words, nwords * sizeof(*words));
	rows->nwords += nwords;
	return 0;
}

static int change_schema(struct walk *w, const struct live_schema *s)
{
	size_t n = shape(w, s)->schema.n;
	uint64_t *row;

	if (s == w->schema)
		return 0;
	row = calloc(n ? n : 1, sizeof(*row));
	if (!row)
		return -ENOMEM;
	free(w->row);
	w->row = row;
	w->schema = s;
	w->known = false;
	return 0;
}

static int take_row(struct walk *w, const struct live_record *rec, const struct snapshot_head *head,
	const struct snapshot_row *row)
{
	const struct live_schema *s = find_schema(w->n, rec->inc, row->schema_id);
	int err;

	if (!s || shape(w, s)->group != w->l->rows.group)
		return 0;
	err = change_schema(w, s);
	if (err)
		return err;
	if (!row->key && w->known)
		w->known = row_hash(w->row, shape(w, s)->schema.n) == row->base;
	if (!row->key && !w->known)
		return 0;
	w->known = row_decode(&shape(w, s)->schema, row->key, row->bytes, row->len, w->row) == 0;
	if (!w->known) {
		w->damaged = true; /* it was good when it was parsed first */
		return 0;
	}
	err = rec->base ? 0 : keep_row(w, rec, head, row);
	w->seen_before = true;
	w->seen = rec->seen;
	return err;
}

static int find_payload(struct live *l, const struct live_record *rec, const uint8_t **ret)
{
	if (rec->file == LIVE_PACKED) {
		*ret = l->packed.data + rec->offset;
		return 0;
	}
	buf_reset(&l->chunk);
	*ret = buf_reserve(&l->chunk, rec->len);
	if (!*ret)
		return -ENOMEM;
	return os_read_exact(l->files[rec->file].fd, l->chunk.data, rec->len, rec->offset);
}

static int take_record(struct walk *w, const struct live_record *rec)
{
	struct snapshot_head head;
	const uint8_t *payload;
	struct rd r;
	int err = find_payload(w->l, rec, &payload);

	if (rec->jumped)
		w->known = false;
	if (!err) {
		r = rd_init(payload, rec->len);
		err = snapshot_parse_head(&r, &head);
	}
	for (size_t i = 0; !err && i < head.ngroups; i++) {
		struct snapshot_row row;

		err = snapshot_parse_row(&r, &row);
		if (!err)
			err = take_row(w, rec, &head, &row);
	}
	if (!err || err == -ENOMEM)
		return err;
	w->known = false;
	w->damaged = true;
	return 0;
}

static size_t widest_shape(const struct live *l, const struct live_node *n, uint32_t group)
{
	size_t widest = 0;

	for (size_t i = 0; i < n->nschemas; i++) {
		const struct catalog_shape *s = l->catalog->shapes[n->schemas[i].shape];

		if (s->group == group && s->schema.n > widest)
			widest = s->schema.n;
	}
	return widest;
}

int live_load(struct live *l, uint32_t node, uint32_t group, uint32_t series)
{
	struct live_rows *rows = &l->rows;
	struct walk w = {.l = l, .n = &l->nodes[node]};
	bool whole = widest_shape(l, w.n, group) * w.n->nrecords <= WHOLE_ROWS_MAX;
	int err = 0;

	if (whole)
		series = ALL_SERIES;
	if (rows->loaded && rows->node == node && rows->group == group && rows->series == series)
		return 0;
	rows->loaded = false;
	rows->node = node;
	rows->group = group;
	rows->series = series;
	rows->n = rows->nwords = 0;
	for (size_t i = 0; i < w.n->nrecords && !err; i++)
		err = take_record(&w, &w.n->records[i]);
	free(w.row);
	if (err)
		return err;
	rows->loaded = !w.damaged;
	return w.damaged ? -EBADMSG : 0;
}
