/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Increases, rates and steps; see the drawing in the header. */
#include "tools/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/lib/util.h"

void window_init(struct window *w, const struct window_spec *spec)
{
	*w = (struct window){.spec = *spec};
}

void window_release(struct window *w)
{
	points_release(&w->points);
}

void window_set_previous(struct window *w, const struct sample *s)
{
	w->previous = *s;
	w->has_previous = true;
}

void window_set_born_after(struct window *w, int64_t time_ns)
{
	w->may_be_born = true;
	w->born_after_ns = time_ns;
}

/* Is there anything to say about the first increase? */
static bool has_increase(const struct window *w, const struct sample *s)
{
	if (w->has_previous)
		return true;
	return w->spec.mode == WINDOW_INCREASE && w->may_be_born &&
	       s->realtime_ns > w->born_after_ns;
}

static bool went_down(const struct series *def, uint64_t before, uint64_t now)
{
	switch (def->kind) {
	case VALUE_F64:
		return value_to_double(now, VALUE_F64, 0) < value_to_double(before, VALUE_F64, 0);
	case VALUE_I64:
		return (int64_t)now < (int64_t)before;
	default:
		return now < before;
	}
}

static int insert_point(struct points *p, size_t at, int64_t time_ns)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 64;
		struct point *grown = reallocarray(p->v, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		p->v = grown;
		p->cap = cap;
	}
	memmove(&p->v[at + 1], &p->v[at], (p->n - at) * sizeof(*p->v));
	p->v[at] = (struct point){.time_ns = time_ns};
	p->n++;
	return 0;
}

/* First point at or behind time_ns. Nearly always that is the last one, or behind it. */
static size_t find_point(const struct points *p, int64_t time_ns)
{
	size_t at = p->n;

	while (at && p->v[at - 1].time_ns >= time_ns)
		at--;
	return at;
}

static struct point *point_at(struct points *p, int64_t time_ns)
{
	size_t at = find_point(p, time_ns);

	if (at < p->n && p->v[at].time_ns == time_ns)
		return &p->v[at];
	return insert_point(p, at, time_ns) ? NULL : &p->v[at];
}

static struct point *point_for(struct window *w, int64_t time_ns)
{
	int64_t step = w->spec.step_ns;

	if (!step)
		return insert_point(&w->points, w->points.n, time_ns)
			       ? NULL
			       : &w->points.v[w->points.n - 1];
	return point_at(&w->points, time_ns - (time_ns - w->spec.from_ns) % step);
}

/* Seconds between two samples; 0 if unknown. */
static double seconds_between(const struct sample *a, const struct sample *b, bool reset)
{
	int64_t realtime = b->realtime_ns - a->realtime_ns;

	if (!reset && b->monotonic_ns > a->monotonic_ns)
		return (double)(b->monotonic_ns - a->monotonic_ns) / 1e9;
	return realtime > 0 ? (double)realtime / 1e9 : 0;
}

static void add_increase(
	struct window *w, struct point *p, const struct series *def, const struct sample *s)
{
	struct number now = number_from_value(s->value, def->kind, def->scale), delta = now;
	bool reset = s->flags & SAMPLE_RESET;

	if (w->has_previous) {
		uint64_t before = w->previous.value;
		/* Unmarked, but it went down: what can be said is that it began again. */
		reset |= went_down(def, before, s->value);
		if (!reset)
			delta = number_sub(now, number_from_value(before, def->kind, def->scale));
		p->seconds += seconds_between(&w->previous, s, reset);
	}
	p->value = number_add(p->value, delta);
}

int window_add(void *arg, const struct series *def, const struct sample *s)
{
	struct window *w = arg;
	bool subtract = w->spec.mode != WINDOW_VALUE;
	struct point *p;

	/* Realtime was set back and forth around the range's border: this one is older. */
	if (subtract && w->has_previous && !(s->flags & SAMPLE_RESET) &&
		s->monotonic_ns <= w->previous.monotonic_ns)
		return 0;
	if (!subtract || has_increase(w, s)) {
		p = point_for(w, s->realtime_ns);
		if (!p)
			return -ENOMEM;
		p->flags |= s->flags;
		if (subtract)
			add_increase(w, p, def, s);
		else
			p->value = number_from_value(s->value, def->kind, def->scale);
	}
	window_set_previous(w, s);
	return 0;
}

void window_finish(struct window *w)
{
	size_t kept = 0;

	if (w->spec.mode != WINDOW_RATE)
		return;
	for (size_t i = 0; i < w->points.n; i++) {
		struct point p = w->points.v[i];
		if (p.seconds <= 0)
			continue;
		p.value = number_from_double(number_to_double(p.value) / p.seconds);
		w->points.v[kept++] = p;
	}
	w->points.n = kept;
}

int points_merge(struct points *a, const struct points *b)
{
	struct points sum = {
		.v = calloc(a->n + b->n + 1, sizeof(struct point)), .cap = a->n + b->n + 1};
	size_t i = 0, j = 0;

	if (!sum.v)
		return -ENOMEM;
	while (i < a->n || j < b->n) {
		bool from_a = j == b->n || (i < a->n && a->v[i].time_ns <= b->v[j].time_ns);
		bool both = from_a && j < b->n && a->v[i].time_ns == b->v[j].time_ns;
		struct point *p = &sum.v[sum.n++];

		*p = from_a ? a->v[i++] : b->v[j++];
		if (both) {
			p->value = number_add(p->value, b->v[j].value);
			p->flags |= b->v[j++].flags;
		}
	}
	points_release(a);
	*a = sum;
	return 0;
}

void points_release(struct points *p)
{
	free(p->v);
	*p = (struct points){0};
}
