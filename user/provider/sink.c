/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From parsed text to the series of a group. */
#include "user/provider/sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/lib/util.h"

#define SEEN_MAX (2 * SINK_SERIES_MAX)

static uint64_t hash_text(uint64_t h, const char *text, size_t len)
{
	return hash_index(hash_index(h, &len, sizeof(len)), text, len);
}

/* Metrics are tables of the program: their places tell them apart. word: of one of a family. */
static uint64_t hash_key(
	const struct sink_metric *m, const char *word, size_t len, const struct sink_label *labels)
{
	uint64_t h = hash_text(hash_index(HASH_START, &m, sizeof(m)), word, len);

	for (; labels && labels->name; labels++)
		h = hash_text(h, labels->value, labels->len);
	return h;
}

/* The lowest bit of a series' hash tells whether it is a counter: nothing else of its schema is looked at. */
static uint64_t shape_of(uint64_t hash, uint8_t type)
{
	return (hash & ~1ull) | (type == METRIC_COUNTER);
}

/* Without memory the arrays have room for the lesser of both numbers. */
static int resize(struct sink *k, size_t capacity)
{
	uint64_t **arrays[] = {&k->group->values, &k->next, &k->shape};

	if (capacity < k->capacity)
		k->capacity = capacity;
	for (size_t i = 0; i < 3; i++) {
		uint64_t *resized = reallocarray(*arrays[i], capacity, sizeof(uint64_t));

		if (!resized)
			return -ENOMEM;
		*arrays[i] = resized;
	}
	k->capacity = capacity;
	return 0;
}

/* Longer values are cut: whoever puts them and may have such makes them short and distinct before. */
static int add_labelled(struct schema *schema, const struct series *series,
	const struct sink_label *common, const struct sink_label *labels)
{
	const char *names[SINK_LABELS_MAX], *values[SINK_LABELS_MAX];
	char copies[SINK_LABELS_MAX][SINK_LABEL_SIZE];
	size_t n = 0;

	for (int of = 0; of < 2; of++, common = labels) {
		for (; common && common->name && n < SINK_LABELS_MAX; common++, n++) {
			size_t len =
				common->len < SINK_LABEL_SIZE ? common->len : SINK_LABEL_SIZE - 1;

			memcpy(copies[n], common->value, len);
			copies[n][len] = '\0';
			names[n] = common->name;
			values[n] = copies[n];
		}
	}
	return schema_add_labelled(schema, series, n, names, values);
}

static int add_series(struct sink *k, const struct sink_metric *m, const struct sink_label *labels)
{
	struct series s = {
		.name = (char *)m->name,
		.unit = (char *)m->unit,
		.help = (char *)m->help,
		.type = m->type,
		.kind = m->type == METRIC_GAUGE ? VALUE_I64 : VALUE_U64,
		.scale = m->scale,
	};
	int err = k->n == SINK_SERIES_MAX ? -E2BIG : 0;

	if (!err && k->n == k->capacity)
		err = resize(k, k->capacity ? 2 * k->capacity : 8);
	return err ? err : add_labelled(&k->group->schema, &s, k->common, labels);
}

/* What was seen of this series; the search goes on where the last one ended, for they come in order. */
static struct sink_seen *find_seen(struct sink *k, uint64_t hash)
{
	for (size_t i = 0; i < k->nseen; i++) {
		size_t at = (k->hint + i) % k->nseen;

		if (k->seen[at].hash == hash) {
			k->hint = at + 1;
			return &k->seen[at];
		}
	}
	return NULL;
}

/* Before the schema goes: what its counters had reached. */
static int remember_values(struct sink *k)
{
	const struct schema *s = &k->group->schema;
	struct sink_seen *grown;

	grown = s->n ? reallocarray(k->seen, k->nseen + s->n, sizeof(*grown)) : k->seen;
	if (s->n && !grown)
		return -ENOMEM;
	k->seen = grown;
	for (size_t i = 0; i < s->n; i++) {
		struct sink_seen *old = find_seen(k, k->shape[i]);

		if (!old) {
			old = &k->seen[k->nseen++];
			old->hash = k->shape[i];
		}
		old->value = k->group->values[i];
	}
	/* Names that come and go without end: forget them, and count everything from now on. */
	if (k->nseen > SEEN_MAX) {
		k->nseen = 0;
		k->stepped_back = true;
	}
	return 0;
}

/* A counter never goes down: a small known step back is held, any other one is a new beginning. */
static uint64_t check_step(
	struct sink *k, const struct sink_metric *m, uint64_t old, uint64_t value)
{
	if (value >= old)
		return value;
	if (old - value <= m->may_step_back)
		return old;
	k->stepped_back = true;
	return value;
}

static void put(struct sink *k, uint64_t hash, const struct sink_metric *m,
	const struct sink_label *labels, uint64_t value)
{
	const struct sink_seen *seen;

	if (k->err || k->changed)
		return;
	if (k->build) {
		k->err = add_series(k, m, labels);
		if (k->err)
			return;
		k->shape[k->n] = shape_of(hash, m->type);
		seen = m->type == METRIC_COUNTER ? find_seen(k, k->shape[k->n]) : NULL;
		if (seen)
			value = check_step(k, m, seen->value, value);
	} else if (k->n >= k->group->schema.n || (k->shape[k->n] ^ hash) > 1) {
		k->changed = true;
		return;
	} else if (k->shape[k->n] & 1) {
		value = check_step(k, m, k->group->values[k->n], value);
	}
	k->next[k->n++] = value;
}

void sink_put(struct sink *k, const struct sink_metric *m, const struct sink_label *labels,
	uint64_t value)
{
	put(k, hash_key(m, "", 0, labels), m, labels, value);
}

void sink_put_member(struct sink *k, const struct sink_metric *family, const char *word, size_t len,
	const struct sink_metric *m, const struct sink_label *labels, uint64_t value)
{
	put(k, hash_key(family, word, len, labels), m, labels, value);
}

void sink_keep(struct sink *k, size_t n)
{
	if (k->err || k->changed)
		return;
	if (k->build) {
		k->err = -EAGAIN;
		return;
	}
	if (n > k->group->schema.n - k->n) {
		k->changed = true;
		return;
	}
	memcpy(k->next + k->n, k->group->values + k->n, n * sizeof(k->next[0]));
	k->n += n;
}

static int walk_once(struct sink *k, bool build, sink_walk_fn walk, void *arg)
{
	int err;

	k->n = 0;
	k->build = build;
	k->changed = false;
	k->err = 0;
	err = walk(arg, k);
	if (err || k->err)
		return err ? err : k->err;
	if (!k->n && !k->changed)
		return -EBADMSG;
	if (!build && k->n < k->group->schema.n)
		k->changed = true;
	return 0;
}

/* Makes the schema anew. After an error there is none: the next poll tries again. */
static int build_group(struct sink *k, const char *name, sink_walk_fn walk, void *arg)
{
	struct group *g = k->group;
	char *group = strdup(name); /* which may be that of the schema before */
	int err = group ? remember_values(k) : -ENOMEM;

	schema_release(&g->schema);
	if (err) {
		free(group);
		return err;
	}
	g->schema = (struct schema){
		.interval_ms = k->interval_ms, .start_ns = k->start_ns, .group = group};
	g->version++;
	err = walk_once(k, true, walk, arg);
	if (!err) /* most stay as they are */
		err = resize(k, k->n);
	if (err)
		schema_release(&g->schema);
	return err;
}

int sink_take(struct sink *k, const char *name, sink_walk_fn walk, void *arg)
{
	struct group *g = k->group;
	int err;

	k->stepped_back = false;
	err = g->schema.n ? walk_once(k, false, walk, arg) : 0;
	if (!err && (!g->schema.n || k->changed))
		err = build_group(k, name, walk, arg);
	if (err)
		return err;
	/* Only now: half of a damaged file must not be what the next poll is compared with. */
	memcpy(g->values, k->next, g->schema.n * sizeof(uint64_t));
	if (k->stepped_back)
		k->start_ns = (uint64_t)clock_realtime_ns();
	if (g->schema.start_ns != k->start_ns) {
		g->schema.start_ns = k->start_ns;
		g->version++;
	}
	return 0;
}

void sink_release(struct sink *k)
{
	free(k->next);
	free(k->shape);
	free(k->seen);
	*k = (struct sink){0};
}

/* --- texts ------------------------------------------------------------------------------------- */

static size_t append(char *out, size_t n, size_t size, const char *text, size_t len)
{
	len = len < size - n ? len : size - n - 1;
	memcpy(out + n, text, len);
	return n + len;
}

void sink_fill(char *out, size_t size, const char *text, const char *first, const char *others)
{
	size_t n = append(out, 0, size, text, strcspn(text, "*"));

	for (const char *word = first; *(text += strcspn(text, "*")); word = others) {
		n = append(out, n, size, word, strlen(word));
		text++;
		n = append(out, n, size, text, strcspn(text, "*"));
	}
	out[n] = '\0';
}

void sink_describe(struct describer *d, const struct sink_metric *m, const char *labels,
	const char *file, const char *where)
{
	char source[256];

	snprintf(source, sizeof(source), "%s%s%s", file, where ? ": " : "", where ? where : "");
	d->tell(d, &(struct metric_doc){.name = m->name,
			   .unit = m->unit,
			   .help = m->help,
			   .labels = labels,
			   .source = source,
			   .type = m->type,
			   .scale = m->scale});
}
