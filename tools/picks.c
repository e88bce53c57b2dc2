/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Selection of series, and their newest samples. */
#include "tools/picks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/labelwalk.h"
#include "user/lib/identity.h"
#include "user/lib/util.h"

#define FIRST_LOOK_BACK (60 * (int64_t)NSEC_PER_SEC)

static int compare_sizes(size_t a, size_t b)
{
	return (a > b) - (a < b);
}

int pick_compare_histogram(const struct pick *a, const struct pick *b)
{
	char la[SCHEMA_LABELS_MAX + 1], lb[SCHEMA_LABELS_MAX + 1];
	int order = strcmp(a->node->name, b->node->name);

	order = order ? order : compare_sizes(a->series.node, b->series.node);
	order = order ? order : strcmp(a->series.def->name, b->series.def->name);
	order = order ? order : compare_sizes(a->series.def->part, b->series.def->part);
	if (order)
		return order;
	if (a->series.def->part != SERIES_BUCKET) {
		order = strcmp(a->series.def->labels, b->series.def->labels);
	} else {
		labels_without_bound(a->series.def->labels, la);
		labels_without_bound(b->series.def->labels, lb);
		order = strcmp(la, lb);
	}
	return order ? order : strcmp(a->series.group, b->series.group);
}

static int compare_picks(const void *va, const void *vb)
{
	const struct pick *a = va, *b = vb;
	int order = pick_compare_histogram(a, b);

	if (order)
		return order;
	/* A bucket whose bound is no number sorts last, so that this stays an order. */
	order = isnan(a->bound) - isnan(b->bound);
	return order ? order : (a->bound > b->bound) - (a->bound < b->bound);
}

static int append(struct picks *p, struct history *h, const struct history_series *series,
	const char *fingerprint)
{
	struct pick *grown = p->v;
	struct pick *pick;

	/* Doubles whenever n is a power of two. */
	if (!(p->n & (p->n - 1)))
		grown = reallocarray(p->v, p->n ? 2 * p->n : 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	p->v = grown;
	pick = &p->v[p->n++];
	*pick = (struct pick){.series = *series, .node = history_node(h, series->node)};
	pick->bound = series->def->part == SERIES_BUCKET ? labels_bound(series->def->labels) : NAN;
	strcpy(pick->fingerprint, fingerprint);
	return 0;
}

int picks_select(struct history *h, const struct selector *sel, struct picks *ret)
{
	size_t n = history_series_count(h);
	struct picks picks = {0};

	for (size_t i = 0; i < n; i++) {
		const struct history_series *series = history_series(h, i);
		const struct history_node *node = history_node(h, series->node);
		char fingerprint[FINGERPRINT_SIZE];
		struct selector_node as = {node->name, fingerprint};

		fingerprint_format(node->id, fingerprint);
		if (sel && !selector_match(sel, &as, series->def))
			continue;
		if (append(&picks, h, series, fingerprint)) {
			picks_release(&picks);
			return -ENOMEM;
		}
	}
	if (picks.n)
		qsort(picks.v, picks.n, sizeof(*picks.v), compare_picks);
	*ret = picks;
	return 0;
}

void picks_release(struct picks *p)
{
	free(p->v);
	*p = (struct picks){0};
}

/* --- newest samples --------------------------------------------------------------------------- */

struct newest_search {
	struct picks *picks;
	struct pick **by_identity; /* sorted */
};

/* Identity of a series within history (gatherer/store/store.h). */
static int compare_identity(
	size_t node, const char *group, const struct series *def, const struct pick *pick)
{
	int order = compare_sizes(node, pick->series.node);

	order = order ? order : strcmp(group, pick->series.group);
	order = order ? order : strcmp(def->name, pick->series.def->name);
	order = order ? order : strcmp(def->labels, pick->series.def->labels);
	return order ? order : compare_sizes(def->part, pick->series.def->part);
}

static int compare_by_identity(const void *va, const void *vb)
{
	const struct pick *a = *(struct pick *const *)va;

	return compare_identity(
		a->series.node, a->series.group, a->series.def, *(struct pick *const *)vb);
}

static struct pick *find_pick(
	struct newest_search *s, size_t node, const char *group, const struct series *def)
{
	size_t low = 0, high = s->picks->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = compare_identity(node, group, def, s->by_identity[mid]);
		if (!order)
			return s->by_identity[mid];
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

static int take_newest(void *arg, size_t node, const struct group_state *g)
{
	for (size_t i = 0; g->values && i < g->schema->n; i++) {
		struct pick *pick = find_pick(arg, node, g->schema->group, &g->schema->series[i]);
		if (!pick)
			continue;
		pick->has_newest = true;
		pick->newest = (struct sample){
			.realtime_ns = g->realtime_ns,
			.monotonic_ns = g->monotonic_ns,
			.value = g->values[i],
		};
	}
	return 0;
}

int picks_newest(struct history *h, struct picks *p)
{
	struct newest_search search = {.picks = p};
	int err;

	if (!p->n)
		return 0;
	search.by_identity = calloc(p->n, sizeof(struct pick *));
	if (!search.by_identity)
		return -ENOMEM;
	for (size_t i = 0; i < p->n; i++)
		search.by_identity[i] = &p->v[i];
	qsort(search.by_identity, p->n, sizeof(struct pick *), compare_by_identity);
	err = history_newest(h, take_newest, &search);
	free(search.by_identity);
	return err;
}

struct last_sample {
	bool found;
	struct sample sample;
};

static int take_last(void *arg, const struct series *def, const struct sample *s)
{
	struct last_sample *last = arg;

	last->found = true;
	last->sample = *s;
	return 0;
}

int pick_last_before(struct history *h, const struct pick *p, int64_t before_ns, struct sample *ret)
{
	struct last_sample last = {0};
	int64_t back = FIRST_LOOK_BACK, first = p->node->first_ns;
	int err;

	if (before_ns > p->node->last_ns + PICK_READ_TIME)
		before_ns = p->node->last_ns + PICK_READ_TIME;
	/* Eight times further back at each look: most series are there at the first. */
	while (!last.found && before_ns > first) {
		int64_t from = before_ns - first > back ? before_ns - back : first;
		err = history_read(h, p->series.id, from, before_ns, take_last, &last);
		if (err && err != -EBADMSG)
			return err;
		before_ns = from;
		back = back < INT64_MAX / 8 ? back * 8 : back;
	}
	if (last.found)
		*ret = last.sample;
	return last.found;
}

int picks_newest_search(struct history *h, struct picks *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct pick *pick = &p->v[i];
		int found =
			pick->has_newest ? 1 : pick_last_before(h, pick, INT64_MAX, &pick->newest);
		if (found < 0)
			return found;
		pick->has_newest = found;
	}
	return 0;
}

int64_t picks_begin(const struct picks *p)
{
	int64_t begin = INT64_MAX;

	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].node->first_ns < begin)
			begin = p->v[i].node->first_ns;
	return begin;
}

int64_t picks_end(const struct picks *p)
{
	int64_t end = INT64_MIN;

	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].node->last_ns > end)
			end = p->v[i].node->last_ns;
	return end;
}

bool pick_same_metric(const struct pick *a, const struct pick *b)
{
	const struct series *x = a->series.def, *y = b->series.def;

	return !strcmp(x->name, y->name) && x->type == y->type && x->part == y->part &&
	       !strcmp(x->unit, y->unit);
}

char *pick_text(const struct pick *p)
{
	struct buf b = BUF_INIT;

	series_print(p->series.def, &b);
	buf_put_u8(&b, 0);
	if (buf_error(&b)) {
		buf_release(&b);
		return NULL;
	}
	return (char *)b.data;
}
