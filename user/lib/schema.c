/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Schemas: building, checking, comparing, and their protobuf message. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/lib/schema.h"
#include "user/lib/schema_int.h"
#include "user/lib/sharedtext.h"
#include "user/lib/util.h"
#include "user/lib/wire.pb-c.h"

#define UNIT_MAX 64u

static void series_release(struct series *s)
{
	text_free(s->name);
	text_free(s->labels);
	text_free(s->unit);
	text_free(s->help);
}

void schema_release(struct schema *s)
{
	for (size_t i = 0; i < s->n; i++)
		series_release(&s->series[i]);
	free(s->series);
	free(s->group);
	*s = (struct schema){0};
}

static int series_check(const struct series *s)
{
	bool histogram = s->type == METRIC_HISTOGRAM;
	char le[64];

	if (s->type < METRIC_COUNTER || s->type > METRIC_HISTOGRAM || s->kind < VALUE_U64 ||
		s->kind > VALUE_F64 || s->part > SERIES_SUM ||
		histogram != (s->part != SERIES_VALUE))
		return -EPROTO;
	if (s->scale < -18 || s->scale > 18 || (s->kind == VALUE_F64 && s->scale != 0))
		return -EPROTO;
	if (strlen(s->labels) > SCHEMA_LABELS_MAX || strlen(s->help) > SCHEMA_HELP_MAX ||
		strlen(s->unit) > UNIT_MAX)
		return -E2BIG;
	if (!metric_name_valid(s->name) || !labels_valid(s->labels) ||
		!text_valid(s->help, strlen(s->help)) || !text_valid(s->unit, strlen(s->unit)))
		return -EPROTO;
	if (s->part == SERIES_BUCKET && labels_get(s->labels, "le", le, sizeof(le)) < 0)
		return -EPROTO;
	return 0;
}

static int series_copy(struct series *to, const struct series *from)
{
	*to = *from;
	to->name = text_dup(from->name);
	to->labels = text_dup(from->labels);
	to->unit = text_dup(from->unit);
	to->help = text_dup(from->help);
	if (to->name && to->labels && to->unit && to->help)
		return 0;
	series_release(to);
	return -ENOMEM;
}

/* The array grows when n reaches a power of two, so that its room needs no field of its own. */
static int schema_make_room(struct schema *s)
{
	struct series *grown;

	if (s->n >= SCHEMA_SERIES_MAX)
		return -E2BIG;
	grown = array_grow(s->series, s->n, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->series = grown;
	return 0;
}

int schema_add(struct schema *s, const struct series *copy_from)
{
	struct series copy = *copy_from;
	int err;

	/* Absent texts are empty ones. */
	copy.labels = copy.labels ? copy.labels : "";
	copy.unit = copy.unit ? copy.unit : "";
	copy.help = copy.help ? copy.help : "";
	err = copy.name ? series_check(&copy) : -EPROTO;
	if (!err)
		err = schema_make_room(s);
	if (!err)
		err = series_copy(&s->series[s->n], &copy);
	if (!err)
		s->n++;
	return err;
}

int schema_add_labelled(struct schema *s, const struct series *copy_from, size_t n,
	const char *const *names, const char *const *values)
{
	struct series copy = *copy_from;
	struct buf text = BUF_INIT;
	int err = labels_format(&text, n, names, values);

	buf_put_u8(&text, 0);
	if (!err)
		err = buf_error(&text);
	copy.labels = (char *)text.data;
	if (!err)
		err = schema_add(s, &copy);
	buf_release(&text);
	return err;
}

void schema_shorten(struct schema *s, size_t n)
{
	while (s->n > n)
		series_release(&s->series[--s->n]);
}

int schema_copy(struct schema *to, const struct schema *from)
{
	struct schema copy = {
		.id = from->id,
		.interval_ms = from->interval_ms,
		.start_ns = from->start_ns,
		.group = strdup(from->group ? from->group : ""),
	};
	int err = copy.group ? 0 : -ENOMEM;

	for (size_t i = 0; i < from->n && !err; i++) {
		err = schema_make_room(&copy);
		if (!err)
			err = series_copy(&copy.series[i], &from->series[i]);
		if (!err)
			copy.n++;
	}
	if (err) {
		schema_release(&copy);
		return err;
	}
	*to = copy;
	return 0;
}

/* Texts are often shared (user/lib/sharedtext.h). */
static bool text_equal(const char *a, const char *b)
{
	return a == b || strcmp(a, b) == 0;
}

static bool series_equal(const struct series *a, const struct series *b)
{
	return a->type == b->type && a->kind == b->kind && a->part == b->part &&
	       a->scale == b->scale && text_equal(a->name, b->name) &&
	       text_equal(a->labels, b->labels) && text_equal(a->unit, b->unit) &&
	       text_equal(a->help, b->help);
}

bool schema_equal_shape(const struct schema *a, const struct schema *b)
{
	if (a->n != b->n || a->interval_ms != b->interval_ms || a->start_ns != b->start_ns ||
		strcmp(a->group, b->group) != 0)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!series_equal(&a->series[i], &b->series[i]))
			return false;
	return true;
}

/* --- the protobuf message ------------------------------------------------------------------- */

static void message_from_series(Tally__Series *m, const struct series *s)
{
	tally__series__init(m);
	m->name = s->name;
	m->labels = s->labels;
	m->unit = s->unit;
	m->help = s->help;
	m->type = s->type;
	m->kind = s->kind;
	m->part = s->part;
	m->scale = s->scale;
}

int schema_encode(const struct schema *s, struct buf *out)
{
	Tally__Series *items = calloc(s->n ? s->n : 1, sizeof(*items));
	Tally__Series **pointers = calloc(s->n ? s->n : 1, sizeof(*pointers));
	Tally__Schema m = TALLY__SCHEMA__INIT;
	uint8_t *p = NULL;

	if (items && pointers) {
		for (size_t i = 0; i < s->n; i++) {
			message_from_series(&items[i], &s->series[i]);
			pointers[i] = &items[i];
		}
		m.id = s->id;
		m.group = s->group;
		m.interval_ms = s->interval_ms;
		m.start_ns = s->start_ns;
		m.n_series = s->n;
		m.series = pointers;
		p = buf_reserve(out, tally__schema__get_packed_size(&m));
	}
	if (p)
		out->len += tally__schema__pack(&m, p);
	free(items);
	free(pointers);
	return p ? 0 : -ENOMEM;
}

static int add_from_message(struct schema *s, const Tally__Series *m)
{
	struct series series = {
		.name = m->name,
		.labels = m->labels,
		.unit = m->unit,
		.help = m->help,
		.type = (uint8_t)m->type,
		.kind = (uint8_t)m->kind,
		.part = (uint8_t)m->part,
		.scale = (int8_t)m->scale,
	};

	if (m->type > UINT8_MAX || m->kind > UINT8_MAX || m->part > UINT8_MAX ||
		m->scale < INT8_MIN || m->scale > INT8_MAX)
		return -EPROTO;
	return schema_add(s, &series);
}

static int compare_series(const void *pa, const void *pb)
{
	const struct series *a = *(const struct series *const *)pa;
	const struct series *b = *(const struct series *const *)pb;
	int c = strcmp(a->name, b->name);

	if (c == 0)
		c = strcmp(a->labels, b->labels);
	return c ? c : a->part - b->part;
}

/* A series that stood in a row twice could not be told apart later. */
static int check_distinct(const struct schema *s)
{
	const struct series **sorted = calloc(s->n ? s->n : 1, sizeof(*sorted));
	int err = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < s->n; i++)
		sorted[i] = &s->series[i];
	qsort(sorted, s->n, sizeof(*sorted), compare_series);
	for (size_t i = 1; i < s->n && !err; i++)
		if (compare_series(&sorted[i - 1], &sorted[i]) == 0)
			err = -EPROTO;
	free(sorted);
	return err;
}

static int schema_from_message(const Tally__Schema *m, struct schema *s)
{
	size_t len = strlen(m->group);
	int err = 0;

	if (len == 0 || !text_valid(m->group, len))
		return -EPROTO;
	if (len > SCHEMA_NAME_MAX || m->n_series > SCHEMA_SERIES_MAX)
		return -E2BIG;
	s->id = m->id;
	s->interval_ms = m->interval_ms;
	s->start_ns = m->start_ns;
	s->group = strdup(m->group);
	if (!s->group)
		return -ENOMEM;
	for (size_t i = 0; i < m->n_series && !err; i++)
		err = add_from_message(s, m->series[i]);
	return err ? err : check_distinct(s);
}

int schema_decode(const uint8_t *p, size_t n, struct schema *ret)
{
	Tally__Schema *m = tally__schema__unpack(NULL, n, p);
	struct schema s = {0};
	int err;

	if (!m)
		return -EBADMSG;
	err = schema_from_message(m, &s);
	tally__schema__free_unpacked(m, NULL);
	if (err) {
		schema_release(&s);
		return err;
	}
	*ret = s;
	return 0;
}
