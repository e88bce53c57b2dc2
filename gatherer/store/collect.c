/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From snapshots to blocks; see the header. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/array.h"
#include "gatherer/store/collect.h"
#include "gatherer/store/gaps.h"

#define GROUP_POLLS 512u
#define TIME_POLLS  1024u
#define WORDS_MAX   (8u << 20) /* of all groups of a node in memory; then all are written */

/* Rows of a group that are not written yet, all with one schema. */
struct gathered {
	struct schema schema; /* a copy; its group names the whole */
	struct block_clocks clocks;
	int64_t *realtime;
	uint64_t *rows;
	size_t realtime_cap, words_cap;
	uint64_t seen_gaps; /* gaps_seen() at its last poll */
};

struct collector {
	struct sealed_writer *w;
	struct block_clocks times;
	struct incarnation inc; /* id 0: none yet */
	bool in_run; /* inc has been written as a run */
	struct gaps gaps;
	size_t n, cap, words;
	struct gathered **groups; /* sorted by name */
};

struct collector *collector_new(struct sealed_writer *w)
{
	struct collector *c = calloc(1, sizeof(*c));

	if (c)
		c->w = w;
	return c;
}

static void gathered_free(struct gathered *g)
{
	schema_release(&g->schema);
	block_clocks_release(&g->clocks);
	free(g->realtime);
	free(g->rows);
	free(g);
}

void collector_free(struct collector *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++)
		gathered_free(c->groups[i]);
	free(c->groups);
	block_clocks_release(&c->times);
	free(c);
}

/* How many of n polls the next block takes when no more will come. */
static size_t last_blocks(size_t n, size_t usual)
{
	return n <= usual + usual / 4 ? n : (n + 1) / 2;
}

/* --- writing blocks ------------------------------------------------------------------------- */

static int write_times(struct collector *c, size_t n)
{
	int err = sealed_writer_times(c->w, &c->times, n);

	if (!err)
		block_clocks_drop(&c->times, TIME_COLUMNS, n);
	return err;
}

static int write_rows(struct collector *c, struct gathered *g, size_t n)
{
	size_t nseries = g->schema.n, left = g->clocks.n - n;
	int64_t from = g->realtime[0], to = from;
	int err;

	for (size_t i = 1; i < n; i++) {
		from = g->realtime[i] < from ? g->realtime[i] : from;
		to = g->realtime[i] > to ? g->realtime[i] : to;
	}
	err = sealed_writer_group(c->w, &g->schema, &g->clocks, g->rows, n, from, to);
	if (err)
		return err;
	block_clocks_drop(&g->clocks, GROUP_COLUMNS, n);
	memmove(g->realtime, g->realtime + n, left * sizeof(*g->realtime));
	memmove(g->rows, g->rows + n * nseries, left * nseries * sizeof(*g->rows));
	c->words -= n * (nseries + GROUP_COLUMNS);
	return 0;
}

static int write_group(struct collector *c, struct gathered *g)
{
	int err = 0;

	while (g->clocks.n > 0 && !err)
		err = write_rows(c, g, last_blocks(g->clocks.n, GROUP_POLLS));
	return err;
}

static int write_all_groups(struct collector *c)
{
	int err = 0;

	for (size_t i = 0; i < c->n && !err; i++)
		err = write_group(c, c->groups[i]);
	return err;
}

static int write_run(struct collector *c)
{
	int err = 0;

	while (c->times.n > 0 && !err)
		err = write_times(c, last_blocks(c->times.n, TIME_POLLS));
	return err ? err : write_all_groups(c);
}

int collector_finish(struct collector *c)
{
	return write_run(c);
}

/* --- groups --------------------------------------------------------------------------------- */

static size_t place_of(const struct collector *c, const char *name)
{
	size_t lo = 0, hi = c->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (strcmp(c->groups[mid]->schema.group, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int insert_group(struct collector *c, size_t at, const struct schema *schema)
{
	struct gathered *g;
	int err;

	if (array_reserve(&c->groups, c->n + 1, &c->cap, sizeof(*c->groups)))
		return -ENOMEM;
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	err = schema_copy(&g->schema, schema);
	if (err) {
		free(g);
		return err;
	}
	memmove(c->groups + at + 1, c->groups + at, (c->n - at) * sizeof(*c->groups));
	c->groups[at] = g;
	c->n++;
	return 0;
}

/* The group of this schema, ready for its rows; a new one when it is met for the first time. */
static int find_group(struct collector *c, const struct schema *schema, struct gathered **ret)
{
	size_t at = place_of(c, schema->group);
	struct gathered *g;
	struct schema copy;
	int err = 0;

	if (at == c->n || strcmp(c->groups[at]->schema.group, schema->group) != 0) {
		err = insert_group(c, at, schema);
		if (err)
			return err;
		c->groups[at]->seen_gaps = c->gaps.count - c->gaps.jumped;
	}
	g = c->groups[at];
	if (g->schema.id != schema->id) {
		err = write_group(c, g);
		if (!err)
			err = schema_copy(&copy, schema);
		if (err)
			return err;
		schema_release(&g->schema);
		g->schema = copy;
	}
	*ret = g;
	return 0;
}

static int reserve_rows(struct gathered *g)
{
	size_t polls = g->clocks.n + 1;
	int err = array_reserve(&g->realtime, polls, &g->realtime_cap, sizeof(*g->realtime));

	return err ? err
		   : array_reserve(&g->rows, polls * g->schema.n, &g->words_cap, sizeof(*g->rows));
}

static int take_row(
	struct collector *c, const struct snapshot_view *view, const struct group_view *gv)
{
	struct gathered *g;
	int err = find_group(c, gv->schema, &g);
	uint64_t clocks[GROUP_COLUMNS] = {
		[GROUP_SEQ] = view->seq,
		[GROUP_BEGIN] = gv->begin_ns,
		[GROUP_WINDOW] = gv->window_ns,
	};

	if (!err)
		err = reserve_rows(g);
	if (err)
		return err;
	clocks[GROUP_GAP] = g->seen_gaps != c->gaps.count;
	err = block_clocks_add(&g->clocks, GROUP_COLUMNS, clocks);
	if (err)
		return err;
	g->seen_gaps = gaps_seen(&c->gaps);
	g->realtime[g->clocks.n - 1] = (int64_t)((uint64_t)view->realtime_ns + gv->begin_ns);
	memcpy(g->rows + (g->clocks.n - 1) * g->schema.n, gv->values,
		g->schema.n * sizeof(*g->rows));
	c->words += g->schema.n + GROUP_COLUMNS;
	if (g->clocks.n >= 2 * GROUP_POLLS)
		err = write_rows(c, g, GROUP_POLLS);
	if (!err && c->words > WORDS_MAX)
		err = write_all_groups(c);
	return err;
}

/* --- snapshots ------------------------------------------------------------------------------ */

/* Groups that a BASE gives have been polled before: a gap from here on is theirs, too. */
static int take_base(struct collector *c, const struct stream *stream)
{
	struct group_state state;
	struct gathered *g;
	int err = 0;

	c->gaps.jumped = false;
	for (size_t i = 0; i < stream_groups(stream) && !err; i++) {
		stream_group(stream, i, &state);
		if (state.values)
			err = find_group(c, state.schema, &g);
	}
	return err;
}

static int end_incarnation(struct collector *c, const struct incarnation *next)
{
	int err = write_run(c);

	if (err)
		return err;
	c->inc = *next;
	c->in_run = false;
	/* Schema ids begin again: none of the new ones may be taken for an old one. */
	for (size_t i = 0; i < c->n; i++)
		c->groups[i]->schema.id = 0;
	return 0;
}

static int take_times(struct collector *c, const struct snapshot_view *view)
{
	const uint64_t clocks[TIME_COLUMNS] = {
		[TIME_SEQ] = view->seq,
		[TIME_MONOTONIC] = view->monotonic_ns,
		[TIME_REALTIME] = (uint64_t)view->realtime_ns,
	};
	int err = c->in_run ? 0 : sealed_writer_run(c->w, &c->inc);

	if (err)
		return err;
	c->in_run = true;
	err = block_clocks_add(&c->times, TIME_COLUMNS, clocks);
	if (!err && c->times.n >= 2 * TIME_POLLS)
		err = write_times(c, TIME_POLLS);
	return err;
}

int collector_take(struct collector *c, const struct stream *stream, int result,
	const struct snapshot_view *view)
{
	const struct incarnation *inc = stream_incarnation(stream);
	bool moved = stream_seq(stream) != c->gaps.last_seq;
	int err = 0;

	if (inc && inc->id != c->inc.id)
		err = end_incarnation(c, inc);
	gaps_note(&c->gaps, stream, result, view);
	if (!err && result == STREAM_STATE && moved)
		return take_base(c, stream);
	if (err || result != STREAM_SNAPSHOT)
		return err;
	err = take_times(c, view);
	for (size_t i = 0; i < view->ngroups && !err; i++)
		if (view->groups[i].schema->n > 0)
			err = take_row(c, view, &view->groups[i]);
	return err;
}
