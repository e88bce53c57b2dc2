/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests of producers: polls of one producer, and values by their printed name. */
#ifndef TALLY_TESTS_LIB_POLLING_H
#define TALLY_TESTS_LIB_POLLING_H

#include <string.h>

#include "user/provider/snapshot.h"

/* Takes a snapshot with this producer alone; its code. */
static inline int polling_take(struct producer *p, struct snapshot *s)
{
	snapshot_begin(s);
	return p->ops->get_stats(p, s);
}

static inline struct group *polling_group(const struct snapshot *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->due[i].group->schema.group, name))
			return s->due[i].group;
	return NULL;
}

/* "12.5", "?" if there is no such series, "twice" if there are two. Valid until the next call. */
static inline const char *polling_value(const struct snapshot *s, const char *name)
{
	static char text[64];
	struct buf printed = BUF_INIT;

	strcpy(text, "?");
	for (size_t i = 0; i < s->n; i++) {
		const struct group *g = s->due[i].group;

		for (size_t j = 0; j < g->schema.n; j++) {
			const struct series *series = &g->schema.series[j];

			buf_reset(&printed);
			series_print(series, &printed);
			if (printed.len != strlen(name) || memcmp(printed.data, name, printed.len))
				continue;
			if (strcmp(text, "?"))
				strcpy(text, "twice");
			else
				value_format(g->values[j], series->kind, series->scale, text,
					sizeof(text));
		}
	}
	buf_release(&printed);
	return text;
}

#endif
