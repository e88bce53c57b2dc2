/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Newest values as a page for scrapers.
 *
 *   collected: one entry per series, in any order
 *   sorted:    family | node, labels without le | bucket by le, sum | order of arrival
 *   printed:   # HELP # TYPE # UNIT once a family, then its samples; buckets become cumulative
 */
#include "gatherer/openmetrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/lib/util.h"

#define VALUE_TEXT 64 /* what value_format() needs */

/* Our own family, the last of a page. No node can have it. */
#define LEFT_OUT_NAME "tally_exposition_left_out_series"

struct entry {
	const struct series *s;
	const char *node;
	const char *key; /* histograms: labels without le, owned; else s->labels */
	uint64_t value;
	int64_t realtime_ns;
	double le; /* buckets: upper bound; the sum stands behind all of them */
	size_t order;
	bool key_owned;
};

struct openmetrics {
	struct entry *entries;
	size_t n, cap;
	size_t left_out;
	enum exposition form;
	struct buf labels; /* of the sample that is printed */
};

struct openmetrics *openmetrics_new(void)
{
	return calloc(1, sizeof(struct openmetrics));
}

void openmetrics_free(struct openmetrics *om)
{
	if (!om)
		return;
	for (size_t i = 0; i < om->n; i++)
		if (om->entries[i].key_owned)
			free((char *)om->entries[i].key);
	free(om->entries);
	buf_release(&om->labels);
	free(om);
}

/* --- label text: name="value",... with escapes, valid by the schema's own check -------------------- */

/* The end of the label that begins at p: its comma, or the text's end. */
static const char *label_end(const char *p)
{
	bool quoted = false;

	for (; *p && (quoted || *p != ','); p++) {
		if (quoted && *p == '\\' && p[1])
			p++;
		else if (*p == '"')
			quoted = !quoted;
	}
	return p;
}

/* The label of that name (with its "="), or NULL. */
static const char *label_find(const char *labels, const char *name_equals)
{
	for (const char *p = labels; *p;) {
		const char *end = label_end(p);

		if (!strncmp(p, name_equals, strlen(name_equals)))
			return p;
		p = *end ? end + 1 : end;
	}
	return NULL;
}

static char *labels_without_le(const char *labels)
{
	const char *le = label_find(labels, "le=");
	char *out = strdup(labels);
	const char *end;

	if (!out || !le)
		return out;
	end = label_end(le);
	if (*end)
		end++; /* its comma goes with it */
	else if (le > labels)
		le--; /* or the one before, if it is the last label */
	memmove(out + (le - labels), end, strlen(end) + 1);
	return out;
}

/* The upper bound of a bucket. False if it has none, or one that is no number. */
static bool label_le(const char *labels, double *ret)
{
	char text[64], *end;

	if (labels_get(labels, "le", text, sizeof(text)))
		return false;
	*ret = strtod(text, &end);
	return !strcmp(text, "+Inf") ||
	       (*end == '\0' && text[0] && strspn(text, "0123456789.eE+-") == strlen(text));
}

/* --- collecting ---------------------------------------------------------------------------------- */

static int openmetrics_grow(struct openmetrics *om, size_t more)
{
	struct entry *entries;
	size_t cap = om->cap ? om->cap : 256;

	while (cap < om->n + more)
		cap *= 2;
	if (cap == om->cap)
		return 0;
	entries = reallocarray(om->entries, cap, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	om->entries = entries;
	om->cap = cap;
	return 0;
}

int openmetrics_add(struct openmetrics *om, const char *node, const struct group_state *g)
{
	if (!g->values)
		return 0;
	if (openmetrics_grow(om, g->schema->n))
		return -ENOMEM;
	for (size_t i = 0; i < g->schema->n; i++) {
		const struct series *s = &g->schema->series[i];
		struct entry *e = &om->entries[om->n];

		*e = (struct entry){.s = s,
			.node = node,
			.key = s->labels,
			.value = g->values[i],
			.realtime_ns = g->realtime_ns,
			.le = INFINITY,
			.order = om->n};
		if (s->part == SERIES_BUCKET) {
			if (!label_le(s->labels, &e->le)) {
				om->left_out++;
				continue;
			}
			e->key = labels_without_le(s->labels);
			e->key_owned = true;
		}
		if (!e->key)
			return -ENOMEM;
		om->n++;
	}
	return 0;
}

/* Same labelset of the same family: the buckets and the sum of one histogram. */
static int entry_compare_point(const struct entry *a, const struct entry *b)
{
	int cmp = strcmp(a->s->name, b->s->name);

	if (!cmp)
		cmp = strcmp(a->node, b->node);
	return cmp ? cmp : strcmp(a->key, b->key);
}

static int entry_compare_sample(const struct entry *a, const struct entry *b)
{
	int cmp = entry_compare_point(a, b);

	if (!cmp)
		cmp = (a->s->part == SERIES_SUM) - (b->s->part == SERIES_SUM);
	if (!cmp)
		cmp = (a->le > b->le) - (a->le < b->le);
	return cmp;
}

static int entry_compare(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	int cmp = entry_compare_sample(a, b);

	return cmp ? cmp : (a->order > b->order) - (a->order < b->order);
}

/* --- what is left out ---------------------------------------------------------------------------- */

static bool ends_with(const char *text, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len > n && !memcmp(text + len - n, end, n);
}

/* Type of the family with this name (len bytes), 0 if there is none. */
static uint8_t family_type(const struct openmetrics *om, const char *name, size_t len)
{
	size_t lo = 0, hi = om->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const char *at = om->entries[mid].s->name;
		int cmp = strncmp(at, name, len);

		if (cmp < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < om->n && !strncmp(om->entries[lo].s->name, name, len) &&
		!om->entries[lo].s->name[len])
		return om->entries[lo].s->type;
	return 0;
}

/* Would a sample of another family have this family's name? */
static bool family_name_is_taken(const struct openmetrics *om, const char *name)
{
	static const struct {
		const char *suffix;
		uint8_t type;
	} taken[] = {{"_total", METRIC_COUNTER}, {"_created", METRIC_COUNTER},
		{"_bucket", METRIC_HISTOGRAM}, {"_count", METRIC_HISTOGRAM},
		{"_sum", METRIC_HISTOGRAM}, {"_created", METRIC_HISTOGRAM}};
	size_t len = strlen(name);

	for (size_t i = 0; i < sizeof(taken) / sizeof(*taken); i++)
		if (ends_with(name, len, taken[i].suffix) &&
			family_type(om, name, len - strlen(taken[i].suffix)) == taken[i].type)
			return true;
	return false;
}

static bool entry_fits(const struct entry *first, const struct entry *e)
{
	bool histogram = first->s->type == METRIC_HISTOGRAM;

	return e->s->type == first->s->type && histogram == (e->s->part != SERIES_VALUE);
}

/* --- printing ------------------------------------------------------------------------------------ */

static void put_help(struct openmetrics *om, const char *help, struct buf *out)
{
	for (const char *p = help; *p; p++) {
		if (*p == '\\' || (*p == '"' && om->form == EXPOSITION_OPENMETRICS))
			buf_put_u8(out, '\\');
		buf_put_u8(out, (uint8_t)*p);
	}
}

static void put_header(struct openmetrics *om, const struct series *s, struct buf *out)
{
	static const char *const types[] = {[METRIC_COUNTER] = "counter",
		[METRIC_GAUGE] = "gauge",
		[METRIC_HISTOGRAM] = "histogram"};
	bool om_form = om->form == EXPOSITION_OPENMETRICS;
	const char *suffix = s->type == METRIC_COUNTER && !om_form ? "_total" : "";
	size_t len = strlen(s->name), unit = strlen(s->unit);

	if (s->help[0]) {
		buf_printf(out, "# HELP %s%s ", s->name, suffix);
		put_help(om, s->help, out);
		buf_put_u8(out, '\n');
	}
	buf_printf(out, "# TYPE %s%s %s\n", s->name, suffix, types[s->type]);
	/* A unit must be the end of the name; another one is no unit of OpenMetrics. */
	if (om_form && unit && len > unit + 1 && s->name[len - unit - 1] == '_' &&
		!strcmp(s->name + len - unit, s->unit))
		buf_printf(out, "# UNIT %s %s\n", s->name, s->unit);
}

/* node="..." and the series' own; a label called node of its own becomes exported_node. */
static bool entry_labels(struct openmetrics *om, const struct entry *e)
{
	static const char *const node_name[] = {"node"};
	const char *own = label_find(e->key, "node=");

	buf_reset(&om->labels);
	if (labels_format(&om->labels, 1, node_name, &e->node))
		return false;
	if (own && label_find(e->key, "exported_node="))
		return false;
	if (own)
		buf_printf(&om->labels, ",%.*sexported_%s", (int)(own - e->key), e->key, own);
	else if (e->key[0])
		buf_printf(&om->labels, ",%s", e->key);
	return !buf_error(&om->labels);
}

static void put_sample(struct openmetrics *om, const struct entry *e, const char *suffix,
	const char *le, const char *value, struct buf *out)
{
	int64_t ms = e->realtime_ns / (int64_t)NSEC_PER_MSEC;

	buf_printf(out, "%s%s{%.*s%s%s%s} %s ", e->s->name, suffix, (int)om->labels.len,
		(const char *)om->labels.data, le ? ",le=\"" : "", le ? le : "", le ? "\"" : "",
		value);
	if (om->form == EXPOSITION_OPENMETRICS)
		buf_printf(out, "%lld.%03lld\n", (long long)(ms / 1000), (long long)(ms % 1000));
	else
		buf_printf(out, "%lld\n", (long long)ms);
}

static void put_value(struct openmetrics *om, const struct entry *e, struct buf *out)
{
	char value[VALUE_TEXT];

	value_format(e->value, e->s->kind, e->s->scale, value, sizeof(value));
	put_sample(om, e, e->s->type == METRIC_COUNTER ? "_total" : "", NULL, value, out);
}

/* Buckets and sum of one histogram: n entries, buckets first. */
static void put_histogram(struct openmetrics *om, const struct entry *e, size_t n, struct buf *out)
{
	char le[64], value[VALUE_TEXT];
	uint64_t count = 0;
	bool infinite = false;
	size_t i;

	for (i = 0; i < n && e[i].s->part == SERIES_BUCKET; i++) {
		count += e[i].value;
		infinite = isinf(e[i].le);
		if (labels_get(e[i].s->labels, "le", le, sizeof(le)) || infinite)
			strcpy(le, "+Inf");
		snprintf(value, sizeof(value), "%llu", (unsigned long long)count);
		put_sample(om, &e[i], "_bucket", le, value, out);
	}
	snprintf(value, sizeof(value), "%llu", (unsigned long long)count);
	if (!infinite)
		put_sample(om, e, "_bucket", "+Inf", value, out);
	put_sample(om, e, "_count", NULL, value, out);
	if (i < n) {
		value_format(e[i].value, e[i].s->kind, e[i].s->scale, value, sizeof(value));
		put_sample(om, &e[i], "_sum", NULL, value, out);
	}
}

/* One point: an entry, or the n entries of a histogram. */
static void put_point(struct openmetrics *om, const struct entry *e, size_t n, struct buf *out)
{
	if (!entry_labels(om, e))
		om->left_out += n;
	else if (e->s->type == METRIC_HISTOGRAM)
		put_histogram(om, e, n, out);
	else
		put_value(om, e, out);
}

/* Drops what does not fit the family's first type, and repeats. Returns how many stay, in place. */
static size_t family_clean(struct openmetrics *om, struct entry *e, size_t n)
{
	const struct entry first = *e;
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		bool repeat = kept && !entry_compare_sample(&e[kept - 1], &e[i]);

		if (entry_fits(&first, &e[i]) && !repeat) {
			struct entry keep = e[i];

			e[i] = e[kept]; /* swapped, so that every owned key is freed once */
			e[kept++] = keep;
		} else {
			om->left_out++;
		}
	}
	return kept;
}

static void put_family(struct openmetrics *om, struct entry *e, size_t n, struct buf *out)
{
	size_t points;

	if (family_name_is_taken(om, e->s->name) || !strcmp(e->s->name, LEFT_OUT_NAME)) {
		om->left_out += n;
		return;
	}
	n = family_clean(om, e, n);
	if (n)
		put_header(om, e->s, out);
	for (size_t i = 0; i < n; i += points) {
		for (points = 1; i + points < n; points++)
			if (entry_compare_point(&e[i], &e[i + points]))
				break;
		put_point(om, &e[i], points, out);
	}
}

int openmetrics_render(struct openmetrics *om, enum exposition form, struct buf *out)
{
	size_t n;

	om->form = form;
	if (om->n)
		qsort(om->entries, om->n, sizeof(*om->entries), entry_compare);
	for (size_t i = 0; i < om->n; i += n) {
		for (n = 1; i + n < om->n; n++)
			if (strcmp(om->entries[i].s->name, om->entries[i + n].s->name))
				break;
		put_family(om, &om->entries[i], n, out);
	}
	buf_printf(out,
		"# HELP " LEFT_OUT_NAME " Series that would make this page ambiguous.\n"
		"# TYPE " LEFT_OUT_NAME " gauge\n" LEFT_OUT_NAME " %zu\n",
		om->left_out);
	if (form == EXPOSITION_OPENMETRICS)
		buf_printf(out, "# EOF\n");
	return buf_error(out);
}

enum exposition openmetrics_negotiate(const char *accept)
{
	return accept && strstr(accept, "application/openmetrics-text") ? EXPOSITION_OPENMETRICS
									: EXPOSITION_TEXT;
}
