/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nodes and series of a history as callers see them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/history_int.h"
#include "user/lib/identity.h"

#define SHORT_FINGERPRINT 8

/* --- nodes ---------------------------------------------------------------------------------- */

void history_free_nodes(struct history *h)
{
	for (size_t i = 0; i < h->nnodes; i++)
		free((char *)h->nodes[i].name);
	free(h->nodes);
	h->nodes = NULL;
	h->nnodes = 0;
}

static int compare_names(const void *pa, const void *pb)
{
	const struct catalog_node *const *a = pa, *const *b = pb;
	int c = strcmp((*a)->name, (*b)->name);

	return c ? c : (*a > *b) - (*a < *b); /* the first one that came keeps its name */
}

static const char *unique_name(const struct catalog_node *n, bool taken)
{
	char fingerprint[FINGERPRINT_SIZE], name[NODE_NAME_MAX + FINGERPRINT_SIZE + 2];

	if (!taken)
		return strdup(n->name);
	fingerprint_format(n->id, fingerprint);
	snprintf(name, sizeof(name), "%s-%.*s", n->name, SHORT_FINGERPRINT, fingerprint);
	return strdup(name);
}

static void measure_live(struct history *h)
{
	for (size_t i = 0; i < h->live.set.n; i++) {
		const struct live_node *l = &h->live.nodes[i];
		struct history_node *n = &h->nodes[l->node];

		n->first_ns = l->first_ns < n->first_ns ? l->first_ns : n->first_ns;
		n->last_ns = l->last_ns > n->last_ns ? l->last_ns : n->last_ns;
	}
	for (size_t i = 0; i < h->nnodes; i++)
		if (h->nodes[i].first_ns > h->nodes[i].last_ns) /* no snapshot at all */
			h->nodes[i].first_ns = h->nodes[i].last_ns = 0;
}

static int name_nodes(struct history *h)
{
	const struct catalog *c = &h->catalog;
	const struct catalog_node **sorted = calloc(c->nnodes + 1, sizeof(*sorted));
	int err = sorted ? 0 : -ENOMEM;

	for (size_t i = 0; i < c->nnodes && !err; i++)
		sorted[i] = &c->nodes[i];
	if (!err)
		qsort(sorted, c->nnodes, sizeof(*sorted), compare_names);
	for (size_t i = 0; i < c->nnodes && !err; i++) {
		bool taken = i > 0 && strcmp(sorted[i - 1]->name, sorted[i]->name) == 0;
		const char *name = unique_name(sorted[i], taken || !sorted[i]->name[0]);

		h->nodes[sorted[i] - c->nodes].name = name;
		err = name ? 0 : -ENOMEM;
	}
	free(sorted);
	return err;
}

int history_make_nodes(struct history *h)
{
	const struct catalog *c = &h->catalog;

	history_free_nodes(h);
	h->nodes = calloc(c->nnodes + 1, sizeof(*h->nodes));
	if (!h->nodes)
		return -ENOMEM;
	h->nnodes = c->nnodes;
	for (size_t i = 0; i < c->nnodes; i++) {
		memcpy(h->nodes[i].id, c->nodes[i].id, sizeof(h->nodes[i].id));
		h->nodes[i].first_ns = c->nodes[i].first_ns;
		h->nodes[i].last_ns = c->nodes[i].last_ns;
	}
	measure_live(h);
	return name_nodes(h);
}

size_t history_nodes(const struct history *h)
{
	return h->nnodes;
}

const struct history_node *history_node(const struct history *h, size_t i)
{
	return &h->nodes[i];
}

/* --- series --------------------------------------------------------------------------------- */

static int compare_series(const void *pa, const void *pb)
{
	const struct history_series *a = pa, *b = pb;
	int c = (a->node > b->node) - (a->node < b->node);

	if (c == 0)
		c = strcmp(a->def->name, b->def->name);
	if (c == 0)
		c = strcmp(a->def->labels, b->def->labels);
	if (c == 0)
		c = a->def->part - b->def->part;
	return c ? c : strcmp(a->group, b->group);
}

static void make_series(struct history *h)
{
	const struct catalog *c = &h->catalog;

	h->nseries = 0;
	h->series = calloc(c->nseries + 1, sizeof(*h->series));
	if (!h->series)
		return;
	h->nseries = c->nseries;
	for (uint32_t i = 0; i < c->nseries; i++)
		h->series[i] = (struct history_series){
			.node = c->series[i].node,
			.group = c->groups[c->series[i].group].name,
			.def = c->series[i].def,
			.id = i,
		};
	qsort(h->series, h->nseries, sizeof(*h->series), compare_series);
}

size_t history_series_count(struct history *h)
{
	if (!h->series)
		make_series(h);
	return h->nseries;
}

const struct history_series *history_series(struct history *h, size_t i)
{
	return i < history_series_count(h) ? &h->series[i] : NULL;
}

/* --- newest values, size -------------------------------------------------------------------- */

int history_newest(struct history *h, newest_fn fn, void *arg)
{
	int result = 0;

	for (size_t i = 0; i < h->live.set.n && !result; i++) {
		const struct stream *stream = h->live.set.nodes[i].stream;

		for (size_t k = 0; k < stream_groups(stream) && !result; k++) {
			struct group_state g;

			stream_group(stream, k, &g);
			if (g.values)
				result = fn(arg, h->live.nodes[i].node, &g);
		}
	}
	return result;
}

void history_size(struct history *h, struct history_size *ret)
{
	struct history_size size = {
		.files = h->nfiles + h->live.nfiles,
		.bytes = h->live.bytes + h->live.nfiles * RECFILE_HEADER,
		.samples = h->live.samples,
		.series = h->catalog.nseries,
	};

	for (size_t i = 0; i < h->nfiles; i++) {
		size.bytes += h->files[i]->size;
		size.samples += sealed_index_samples(&h->files[i]->index);
	}
	*ret = size;
}
