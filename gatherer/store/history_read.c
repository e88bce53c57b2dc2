/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Samples of one series: from the blocks of its group, then from the heads. What a sample's flags say
 * is relative to the series' sample before it, also where that one was not asked for.
 */
#include <errno.h>
#include <string.h>

#include "gatherer/store/history_int.h"

/* The sample before, as far as it matters for the next one. */
struct before {
	bool any;
	struct incarnation inc;
	uint64_t seq, start_ns;
};

struct reading {
	struct history *h;
	const struct series *def;
	int64_t from_ns, to_ns;
	sample_fn fn;
	void *arg;
	struct before before;
	bool run_gap; /* the group's next poll does not follow what was before its run */
	bool gap; /* something could not be read before the next sample */
	bool damaged;
};

static bool is_repeat(const struct before *b, const struct incarnation *inc, uint64_t seq)
{
	return b->any && b->inc.id == inc->id && seq <= b->seq;
}

static bool is_reset(const struct before *b, const struct incarnation *inc, uint64_t start_ns)
{
	return b->any && (b->start_ns != start_ns ||
				 memcmp(b->inc.boot_id, inc->boot_id, sizeof(inc->boot_id)) != 0);
}

static int emit(struct reading *r, const struct incarnation *inc, uint64_t seq, uint64_t start_ns,
	struct sample *s, bool gap)
{
	if (is_repeat(&r->before, inc, seq))
		return 0;
	if (is_reset(&r->before, inc, start_ns))
		s->flags |= SAMPLE_RESET;
	if (gap || ((r->gap || r->run_gap) && r->before.any))
		s->flags |= SAMPLE_GAP;
	r->before = (struct before){.any = true, .inc = *inc, .seq = seq, .start_ns = start_ns};
	r->gap = r->run_gap = false;
	if (s->realtime_ns < r->from_ns || s->realtime_ns >= r->to_ns)
		return 0;
	return r->fn(r->arg, r->def, s);
}

/* --- sealed files --------------------------------------------------------------------------- */

/* Finds the clocks of snapshots in a run's time blocks, in order of their numbers. */
struct clock_walk {
	struct sealed_reader *reader;
	const struct catalog_run *run;
	size_t next; /* block to look at */
	const struct block_clocks *clocks;
	size_t at;
};

/* Moves on to the time block that may hold seq. */
static int find_time_block(struct clock_walk *w, uint64_t seq)
{
	const struct sealed_run *run = w->run->run;

	if (w->clocks && w->clocks->columns[TIME_SEQ][w->clocks->n - 1] >= seq)
		return 0;
	w->clocks = NULL;
	for (; w->next < run->nblocks; w->next++) {
		const struct sealed_block *b = &run->blocks[w->next];

		if (!b->is_times || b->last_seq < seq)
			continue;
		w->at = 0;
		return sealed_read_times(w->reader, w->run->file, b, &w->clocks);
	}
	return -EBADMSG;
}

static int find_clock(struct clock_walk *w, uint64_t seq, struct sample *ret)
{
	int err = find_time_block(w, seq);
	const uint64_t *seqs;

	if (err)
		return err;
	seqs = w->clocks->columns[TIME_SEQ];
	while (seqs[w->at] < seq)
		w->at++;
	if (seqs[w->at] != seq)
		return -EBADMSG;
	ret->realtime_ns = (int64_t)w->clocks->columns[TIME_REALTIME][w->at];
	ret->monotonic_ns = w->clocks->columns[TIME_MONOTONIC][w->at];
	return 0;
}

static int read_block(struct reading *r, const struct catalog_block *cb, size_t column)
{
	struct clock_walk walk = {.reader = r->h->reader, .run = cb->run};
	const struct block_clocks *clocks;
	const uint64_t *values;
	int err =
		sealed_read_group(walk.reader, cb->run->file, cb->block, column, &clocks, &values);

	for (size_t i = 0; !err && i < clocks->n; i++) {
		uint64_t begin = clocks->columns[GROUP_BEGIN][i];
		uint64_t seq = clocks->columns[GROUP_SEQ][i];
		struct sample s = {.value = values[i]};
		int result;

		err = find_clock(&walk, seq, &s);
		if (err)
			break;
		s.realtime_ns = (int64_t)((uint64_t)s.realtime_ns + begin);
		s.monotonic_ns += begin;
		result = emit(r, &cb->run->run->inc, seq, cb->block->start_ns, &s,
			clocks->columns[GROUP_GAP][i]);
		if (result)
			return result;
	}
	if (err == -ENOMEM)
		return err;
	if (err) {
		r->damaged = true;
		r->gap = true;
	}
	return 0;
}

/* A block outside of the time that was asked for: its last poll is before the next one read. */
static void pass_block(struct reading *r, const struct catalog_block *cb)
{
	const struct incarnation *inc = &cb->run->run->inc;

	if (is_repeat(&r->before, inc, cb->block->last_seq))
		return;
	r->before = (struct before){
		.any = true,
		.inc = *inc,
		.seq = cb->block->last_seq,
		.start_ns = cb->block->start_ns,
	};
	r->gap = r->run_gap = false;
}

static int read_sealed(struct reading *r, uint32_t series, const struct catalog_group *g)
{
	const struct catalog_run *run = NULL;
	int result = 0;

	for (size_t i = 0; i < g->nblocks && !result; i++) {
		const struct catalog_block *cb = &g->blocks[i];
		ssize_t column = catalog_column(&r->h->catalog, cb->shape, series);

		if (cb->run != run)
			r->run_gap = cb->run->gap_before;
		run = cb->run;
		if (column < 0)
			r->run_gap = false; /* the group was polled without the series */
		else if (cb->block->to_ns < r->from_ns || cb->block->from_ns >= r->to_ns)
			pass_block(r, cb);
		else
			result = read_block(r, cb, (size_t)column);
	}
	return result;
}

/* --- heads ---------------------------------------------------------------------------------- */

static int read_polls(struct reading *r, uint32_t series, const struct live_node *n)
{
	const struct live_rows *rows = &r->h->live.rows;
	int result = 0;

	for (size_t i = 0; i < rows->n && !result; i++) {
		const struct live_poll *p = &rows->polls[i];
		ssize_t column = catalog_column(&r->h->catalog, p->shape, series);
		struct sample s = {.realtime_ns = p->realtime_ns, .monotonic_ns = p->monotonic_ns};

		if (column < 0) {
			r->run_gap = false;
			continue;
		}
		if (rows->series != UINT32_MAX)
			column = 0;
		s.value = rows->words[p->words + (size_t)column];
		result = emit(r, &n->incs[p->inc], p->seq, p->start_ns, &s, p->gap);
	}
	return result;
}

static int read_live(struct reading *r, uint32_t series, const struct catalog_series *cs)
{
	struct live *l = &r->h->live;
	ssize_t node = live_find(l, cs->node);
	const struct live_node *n;
	int err;

	if (node < 0 || l->nodes[node].first_ns > l->nodes[node].last_ns)
		return 0;
	n = &l->nodes[node];
	r->run_gap =
		catalog_gap_after(&r->h->catalog, cs->node, n->incs[n->first_inc].id, n->first_seq);
	err = live_load(l, (uint32_t)node, cs->group, series);
	if (err == -EBADMSG)
		r->damaged = true;
	else if (err)
		return err;
	return read_polls(r, series, n);
}

int history_read(
	struct history *h, uint32_t series, int64_t from_ns, int64_t to_ns, sample_fn fn, void *arg)
{
	struct reading r = {.h = h, .from_ns = from_ns, .to_ns = to_ns, .fn = fn, .arg = arg};
	const struct catalog_series *cs;
	int result;

	if (series >= h->catalog.nseries)
		return -ENOENT;
	cs = &h->catalog.series[series];
	r.def = cs->def;
	result = read_sealed(&r, series, &h->catalog.groups[cs->group]);
	if (!result)
		result = read_live(&r, series, cs);
	if (!result && (r.damaged || h->nunreadable > 0))
		result = -EBADMSG;
	return result;
}
