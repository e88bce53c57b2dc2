/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The catalogue of a history; see the header. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/array.h"
#include "gatherer/store/catalog.h"

/* --- tables --------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < n; i++) {
		h = (h ^ p[i]) * 0x9e3779b97f4a7c15u;
		h ^= h >> 32;
	}
	return h;
}

static uint64_t mix_text(uint64_t h, const char *s)
{
	return mix(h, s, strlen(s) + 1);
}

/* Steps through the items of this hash; *at begins as SIZE_MAX. Index + 1, or 0 at the end. */
static uint32_t table_next(const struct catalog_table *t, uint64_t hash, size_t *at)
{
	if (t->cap == 0)
		return 0;
	*at = (*at == SIZE_MAX ? hash : *at + 1) & (t->cap - 1);
	while (t->slots[*at] && t->hashes[*at] != hash)
		*at = (*at + 1) & (t->cap - 1);
	return t->slots[*at];
}

static void table_put(struct catalog_table *t, uint64_t hash, uint32_t slot)
{
	size_t at = hash & (t->cap - 1);

	while (t->slots[at])
		at = (at + 1) & (t->cap - 1);
	t->slots[at] = slot;
	t->hashes[at] = hash;
}

static int table_grow(struct catalog_table *t)
{
	size_t cap = t->cap ? 2 * t->cap : 64;
	struct catalog_table grown = {
		.cap = cap,
		.n = t->n,
		.slots = calloc(cap, sizeof(*grown.slots)),
		.hashes = calloc(cap, sizeof(*grown.hashes)),
	};

	if (!grown.slots || !grown.hashes) {
		free(grown.slots);
		free(grown.hashes);
		return -ENOMEM;
	}
	for (size_t i = 0; i < t->cap; i++)
		if (t->slots[i])
			table_put(&grown, t->hashes[i], t->slots[i]);
	free(t->slots);
	free(t->hashes);
	*t = grown;
	return 0;
}

static int table_add(struct catalog_table *t, uint64_t hash, size_t index)
{
	int err = 2 * (t->n + 1) > t->cap ? table_grow(t) : 0;

	if (err)
		return err;
	table_put(t, hash, (uint32_t)index + 1);
	t->n++;
	return 0;
}

static void table_release(struct catalog_table *t)
{
	free(t->slots);
	free(t->hashes);
}

/* --- nodes and groups ----------------------------------------------------------------------- */

ssize_t catalog_node(struct catalog *c, const uint8_t id[32], const char *name)
{
	char *copy = strdup(name);
	size_t i = 0;

	if (!copy)
		return -ENOMEM;
	while (i < c->nnodes && memcmp(c->nodes[i].id, id, 32) != 0)
		i++;
	if (i == c->nnodes) {
		if (array_reserve(&c->nodes, c->nnodes + 1, &c->nodes_cap, sizeof(*c->nodes))) {
			free(copy);
			return -ENOMEM;
		}
		c->nodes[i] = (struct catalog_node){.first_ns = INT64_MAX, .last_ns = INT64_MIN};
		memcpy(c->nodes[i].id, id, 32);
		c->nnodes++;
	}
	free(c->nodes[i].name);
	c->nodes[i].name = copy;
	return (ssize_t)i;
}

static ssize_t find_group(struct catalog *c, uint32_t node, const char *name)
{
	uint64_t hash = mix_text(node, name);
	size_t at = SIZE_MAX;
	uint32_t slot;

	while ((slot = table_next(&c->group_table, hash, &at)) != 0)
		if (c->groups[slot - 1].node == node && strcmp(c->groups[slot - 1].name, name) == 0)
			return slot - 1;
	if (array_reserve(&c->groups, c->ngroups + 1, &c->groups_cap, sizeof(*c->groups)) ||
		table_add(&c->group_table, hash, c->ngroups))
		return -ENOMEM;
	c->groups[c->ngroups] = (struct catalog_group){.node = node, .name = name};
	return (ssize_t)c->ngroups++;
}

/* --- series and shapes ---------------------------------------------------------------------- */

static bool same_series(const struct series *a, const struct series *b)
{
	return a->part == b->part && strcmp(a->name, b->name) == 0 &&
	       strcmp(a->labels, b->labels) == 0;
}

static ssize_t find_series(
	struct catalog *c, uint32_t node, uint32_t group, const struct series *def)
{
	uint64_t hash =
		mix_text(mix_text(group ^ (uint64_t)def->part << 32, def->name), def->labels);
	size_t at = SIZE_MAX;
	uint32_t slot;

	while ((slot = table_next(&c->series_table, hash, &at)) != 0)
		if (c->series[slot - 1].group == group && same_series(c->series[slot - 1].def, def))
			return slot - 1;
	if (array_reserve(&c->series, c->nseries + 1, &c->series_cap, sizeof(*c->series)) ||
		table_add(&c->series_table, hash, c->nseries))
		return -ENOMEM;
	c->series[c->nseries] = (struct catalog_series){.node = node, .group = group, .def = def};
	return (ssize_t)c->nseries++;
}

static uint64_t shape_hash(uint32_t node, const uint8_t *digest)
{
	return mix(node, digest, DIGEST_SIZE);
}

ssize_t catalog_find_shape(const struct catalog *c, uint32_t node, const uint8_t *digest)
{
	uint64_t hash = shape_hash(node, digest);
	size_t at = SIZE_MAX;
	uint32_t slot;

	while ((slot = table_next(&c->shape_table, hash, &at)) != 0)
		if (c->shapes[slot - 1]->node == node &&
			memcmp(c->shapes[slot - 1]->digest, digest, DIGEST_SIZE) == 0)
			return slot - 1;
	return -ENOENT;
}

static void shape_free(struct catalog_shape *s)
{
	schema_release(&s->schema);
	free(s->series);
	free(s);
}

static int fill_shape(struct catalog *c, struct catalog_shape *s)
{
	ssize_t group = find_group(c, s->node, s->schema.group);

	if (group < 0)
		return (int)group;
	s->group = (uint32_t)group;
	for (size_t i = 0; i < s->schema.n; i++) {
		ssize_t id = find_series(c, s->node, s->group, &s->schema.series[i]);

		if (id < 0)
			return (int)id;
		s->series[i] = (uint32_t)id;
	}
	return 0;
}

void catalog_use_shape(struct catalog *c, uint32_t shape)
{
	const struct catalog_shape *s = c->shapes[shape];

	for (size_t i = 0; i < s->schema.n; i++)
		c->series[s->series[i]].def = &s->schema.series[i];
}

ssize_t catalog_add_shape(
	struct catalog *c, uint32_t node, const uint8_t *digest, const struct schema *schema)
{
	struct catalog_shape *s = calloc(1, sizeof(*s));
	int err = s ? schema_copy(&s->schema, schema) : -ENOMEM;

	if (!err) {
		s->node = node;
		memcpy(s->digest, digest, DIGEST_SIZE);
		s->series = calloc(schema->n ? schema->n : 1, sizeof(*s->series));
		err = s->series ? array_reserve(&c->shapes, c->nshapes + 1, &c->shapes_cap,
					  sizeof(*c->shapes))
				: -ENOMEM;
	}
	if (err) {
		if (s)
			shape_free(s);
		return err;
	}
	/* From here on groups and series may point to its texts: it stays, complete or not. */
	c->shapes[c->nshapes++] = s;
	err = fill_shape(c, s);
	if (!err)
		err = table_add(&c->shape_table, shape_hash(node, digest), c->nshapes - 1);
	return err ? err : (ssize_t)c->nshapes - 1;
}

ssize_t catalog_column(const struct catalog *c, uint32_t shape, uint32_t series)
{
	const struct catalog_shape *s = c->shapes[shape];

	for (size_t i = 0; i < s->schema.n; i++)
		if (s->series[i] == series)
			return (ssize_t)i;
	return -1;
}

/* --- runs and blocks ------------------------------------------------------------------------ */

/* n: how many runs are before. */
static bool gap_after(
	const struct catalog_node *node, size_t n, uint64_t incarnation, uint64_t first_seq)
{
	const struct catalog_run *last = n ? node->runs[n - 1] : NULL;

	if (!last)
		return false; /* nothing is known of what was before */
	return first_seq > (last->run->inc.id == incarnation ? last->last_seq : 0) + 1;
}

bool catalog_gap_after(
	const struct catalog *c, uint32_t node, uint64_t incarnation, uint64_t first_seq)
{
	return gap_after(&c->nodes[node], c->nodes[node].nruns, incarnation, first_seq);
}

static void widen(int64_t *from, int64_t *to, int64_t more_from, int64_t more_to)
{
	*from = more_from < *from ? more_from : *from;
	*to = more_to > *to ? more_to : *to;
}

static void measure_run(struct catalog_run *r)
{
	r->from_ns = INT64_MAX;
	r->to_ns = INT64_MIN;
	for (size_t i = 0; i < r->run->nblocks; i++) {
		const struct sealed_block *b = &r->run->blocks[i];

		widen(&r->from_ns, &r->to_ns, b->from_ns, b->to_ns);
		if (!b->is_times)
			continue;
		if (r->first_seq == 0)
			r->first_seq = b->first_seq;
		r->last_seq = b->last_seq;
	}
}

const struct catalog_run *catalog_add_run(
	struct catalog *c, uint32_t node, const struct sealed *file, const struct sealed_run *run)
{
	struct catalog_node *n = &c->nodes[node];
	struct catalog_run *r;

	if (array_reserve(&n->runs, n->nruns + 1, &n->cap, sizeof(*n->runs)))
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->file = file;
	r->run = run;
	measure_run(r);
	r->gap_before = catalog_gap_after(c, node, run->inc.id, r->first_seq);
	n->runs[n->nruns++] = r;
	widen(&n->first_ns, &n->last_ns, r->from_ns, r->to_ns);
	return r;
}

int catalog_add_block(struct catalog *c, const struct catalog_block *block)
{
	struct catalog_group *g = &c->groups[c->shapes[block->shape]->group];
	int err = array_reserve(&g->blocks, g->nblocks + 1, &g->cap, sizeof(*g->blocks));

	if (err)
		return err;
	if (g->nblocks == 0 || g->blocks[g->nblocks - 1].shape != block->shape)
		catalog_use_shape(c, block->shape);
	g->blocks[g->nblocks++] = *block;
	return 0;
}

static void drop_runs(struct catalog_node *n, const struct sealed *file)
{
	size_t kept = 0;

	n->first_ns = INT64_MAX;
	n->last_ns = INT64_MIN;
	for (size_t i = 0; i < n->nruns; i++) {
		struct catalog_run *r = n->runs[i];

		if (r->file == file) {
			free(r);
			continue;
		}
		r->gap_before = gap_after(n, kept, r->run->inc.id, r->first_seq);
		widen(&n->first_ns, &n->last_ns, r->from_ns, r->to_ns);
		n->runs[kept++] = r;
	}
	n->nruns = kept;
}

void catalog_drop_file(struct catalog *c, const struct sealed *file)
{
	for (size_t i = 0; i < c->ngroups; i++) {
		struct catalog_group *g = &c->groups[i];
		size_t kept = 0;

		for (size_t k = 0; k < g->nblocks; k++)
			if (g->blocks[k].run->file != file)
				g->blocks[kept++] = g->blocks[k];
		g->nblocks = kept;
	}
	for (size_t i = 0; i < c->nnodes; i++)
		drop_runs(&c->nodes[i], file);
}

static void node_release(struct catalog_node *n)
{
	for (size_t i = 0; i < n->nruns; i++)
		free(n->runs[i]);
	free(n->runs);
	free(n->name);
}

void catalog_release(struct catalog *c)
{
	for (size_t i = 0; i < c->nnodes; i++)
		node_release(&c->nodes[i]);
	for (size_t i = 0; i < c->ngroups; i++)
		free(c->groups[i].blocks);
	for (size_t i = 0; i < c->nshapes; i++)
		shape_free(c->shapes[i]);
	free(c->nodes);
	free(c->groups);
	free(c->shapes);
	free(c->series);
	table_release(&c->group_table);
	table_release(&c->shape_table);
	table_release(&c->series_table);
	*c = (struct catalog){0};
}
