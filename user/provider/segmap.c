/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which series of its program the metrics of a segment are.
 *
 *	row of the segment    | a | b | c | histogram of 3 | d | e |
 *	                      '-----+----' '-------+-------' '--+--'
 *	series of the program  | span      | span            | span
 *
 * Metrics of one type that follow each other in both are one span, whether a segment has ten thousand counters
 * or one: a poll adds span by span. A histogram and an info are a span each.
 */
#include <stdlib.h>

#include "user/lib/util.h"
#include "user/provider/segments_int.h"

static bool is_plain(uint8_t type)
{
	return type != TALLY_TYPE_HISTOGRAM && type != TALLY_TYPE_INFO;
}

static bool continues(const struct span *s, const struct segfile_metric *m, uint32_t series)
{
	return is_plain(m->type) && s->type == m->type && s->flags == m->flags &&
	       s->series + s->n == series && s->word + s->n == m->word;
}

/* n: its series. */
static int add_span(struct entry *e, const struct segfile_metric *m, uint32_t series, uint32_t n)
{
	struct span *grown;

	if (e->nspans && continues(&e->spans[e->nspans - 1], m, series)) {
		e->spans[e->nspans - 1].n++;
		return 0;
	}
	grown = array_grow(e->spans, e->nspans, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	e->spans = grown;
	e->spans[e->nspans++] = (struct span){
		.series = series,
		.word = m->word,
		.n = n,
		.type = m->type,
		.flags = m->flags,
	};
	return 0;
}

static int map_metric(struct segments *s, struct entry *e, size_t i)
{
	const struct segfile_metric *m = &e->seg->metrics[i - e->seg->forgotten];
	const struct program_metric wanted = {.name = m->name,
		.labels = m->labels,
		.unit = m->unit,
		.help = m->help,
		.type = m->type,
		.scale = m->scale,
		.flags = m->flags,
		.lo = m->lo,
		.hi = m->hi,
		.bits = m->bits,
		.cells = m->cells};
	uint32_t series;
	int err = program_find_metric(&s->programs, e->program, &wanted, &series);

	if (!err)
		err = add_span(e, m, series, program_metric_series(&wanted));
	if (!err)
		program_hold(e->program, series);
	return err;
}

/* A metric of another kind stands in its way. */
static int add_missing(struct entry *e, uint32_t metric)
{
	uint32_t *grown = reallocarray(e->missing, e->nmissing + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	e->missing = grown;
	grown[e->nmissing++] = metric;
	return 0;
}

/* Perhaps that has no segment any more. */
static void map_missing(struct segments *s, struct entry *e)
{
	uint32_t freed = e->program->freed;
	size_t left = 0;

	if (e->freed == freed)
		return;
	for (size_t i = 0; i < e->nmissing; i++) {
		int err = map_metric(s, e, e->missing[i]);

		if (err == -EEXIST || err == -ENOMEM)
			e->missing[left++] = e->missing[i];
		if (err == -ENOMEM)
			freed = e->freed; /* again at the next poll */
	}
	e->freed = freed;
	e->nmissing = left;
}

static int map_next(struct segments *s, struct entry *e)
{
	int err = map_metric(s, e, e->mapped);

	if (err == -EEXIST && add_missing(e, (uint32_t)e->mapped))
		err = -ENOMEM;
	if (err == -ENOMEM)
		return err;
	s->stats.conflicts += err == -EEXIST;
	s->stats.over_limit += err == -E2BIG;
	s->stats.bad_metrics += err == -EPROTO;
	e->mapped++;
	return 0;
}

int segments_map(struct segments *s, struct entry *e)
{
	int err = 0;

	if (e->nmissing)
		map_missing(s, e);
	while (!err && e->mapped < e->seg->n)
		err = map_next(s, e);
	/* the program has their texts now */
	if (!err && !e->nmissing && e->seg->forgotten < e->seg->n)
		segfile_forget(e->seg);
	return err;
}

void segments_unmap(struct entry *e)
{
	for (size_t i = 0; i < e->nspans; i++) {
		const struct span *span = &e->spans[i];
		uint32_t metrics = is_plain(span->type) ? span->n : 1;

		for (uint32_t k = 0; k < metrics; k++)
			program_drop(e->program, span->series + k);
	}
	e->nspans = 0;
	e->mapped = e->nmissing = 0;
}
