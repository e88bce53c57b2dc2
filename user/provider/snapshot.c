/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A snapshot while it is built. Its array grows to what is needed and stays. */
#include "user/provider/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "user/lib/util.h"

void snapshot_begin(struct snapshot *s)
{
	s->n = 0;
	s->series = 0;
	s->realtime_ns = clock_realtime_ns();
	s->monotonic_ns = clock_monotonic_ns();
}

void snapshot_release(struct snapshot *s)
{
	free(s->due);
	*s = (struct snapshot){0};
}

static int snapshot_grow(struct snapshot *s)
{
	size_t capacity = s->capacity ? 2 * s->capacity : 16;
	struct group_due *due = reallocarray(s->due, capacity, sizeof(*due));

	if (!due)
		return -ENOMEM;
	s->due = due;
	s->capacity = capacity;
	return 0;
}

int snapshot_add(struct snapshot *s, struct group *g, uint64_t begin_ns, uint64_t end_ns)
{
	if (s->n == STREAM_GROUPS_MAX)
		return -E2BIG;
	if (s->n == s->capacity && snapshot_grow(s))
		return -ENOMEM;
	s->due[s->n++] = (struct group_due){
		.group = g,
		.begin_ns = begin_ns > s->monotonic_ns ? begin_ns - s->monotonic_ns : 0,
		.window_ns = end_ns > begin_ns ? end_ns - begin_ns : 0,
	};
	s->series += g->schema.n;
	return 0;
}

void snapshot_forget(struct snapshot *s, struct group *g)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->due[i].group != g)
			continue;
		s->series -= g->schema.n;
		memmove(&s->due[i], &s->due[i + 1], (s->n - i - 1) * sizeof(s->due[0]));
		s->n--;
		break;
	}
	if (s->writer)
		stream_writer_forget(s->writer, g);
}
