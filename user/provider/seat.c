/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Groups whose series are somebody else's from time to time. */
#include "user/provider/seat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 448u /* the path of a cgroup, for one */

/* Names of processes are whatever bytes they like. */
static void copy_valid(char *to, const char *from)
{
	size_t n = strnlen(from, TEXT_MAX - 1);

	memcpy(to, from, n);
	to[n] = '\0';
	text_make_valid(to);
}

static int add_series(struct schema *schema, const struct seat_metric *m,
	const struct seat_label *labels, size_t nlabels)
{
	const char *names[SEAT_LABELS_MAX + 1], *values[SEAT_LABELS_MAX + 1];
	char texts[SEAT_LABELS_MAX][TEXT_MAX];
	struct series series = {.name = (char *)m->name,
		.unit = (char *)m->unit,
		.help = (char *)m->help,
		.type = m->type,
		.kind = m->type == METRIC_GAUGE ? VALUE_I64 : VALUE_U64,
		.scale = m->scale};
	size_t n = 0;

	for (size_t i = 0; i < nlabels && i < SEAT_LABELS_MAX; i++) {
		if (!*labels[i].value)
			continue;
		copy_valid(texts[n], labels[i].value);
		names[n] = labels[i].name;
		values[n] = texts[n];
		n++;
	}
	if (m->label) {
		names[n] = m->label;
		values[n++] = m->value;
	}
	return schema_add_labelled(schema, &series, n, names, values);
}

int seat_take(struct group *g, const char *name, const struct seat_metric *metrics, size_t nmetrics,
	const struct seat_label *labels, size_t nlabels, uint64_t start_ns, uint32_t interval_ms)
{
	struct schema next = {.interval_ms = interval_ms, .start_ns = start_ns};
	uint64_t *values = calloc(nmetrics, sizeof(*values));
	int rc = values ? 0 : -ENOMEM;

	next.group = strdup(name);
	if (!next.group)
		rc = -ENOMEM;
	for (size_t i = 0; i < nmetrics && !rc; i++)
		rc = add_series(&next, &metrics[i], labels, nlabels);
	if (rc) {
		schema_release(&next);
		free(values);
		return rc;
	}
	schema_release(&g->schema);
	free(g->values);
	g->schema = next;
	g->values = values;
	g->version++;
	return 0;
}

void seat_describe(
	struct describer *d, const struct seat_metric *metrics, size_t nmetrics, const char *labels)
{
	for (size_t i = 0; i < nmetrics; i++) {
		const struct seat_metric *m = &metrics[i];
		char all[128];

		snprintf(all, sizeof(all), "%s%s%s", labels ? labels : "",
			labels && m->label ? ", " : "", m->label ? m->label : "");
		d->tell(d, &(struct metric_doc){.name = m->name,
				   .unit = m->unit,
				   .help = m->help,
				   .labels = all,
				   .source = m->source,
				   .type = m->type,
				   .scale = m->scale});
	}
}
