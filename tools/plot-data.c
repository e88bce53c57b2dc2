/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a plot shows: points with their gaps, and texts. What all series have in common stands in
 * the title, once; the legend names only that in which they differ.
 */
#include "tools/plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/labelwalk.h"
#include "tools/text.h"

#define SAMPLE_NAME_MAX (SCHEMA_NAME_MAX + 16)
/* Finite values beyond it would overflow when a range is computed. */
#define VALUE_LIMIT 1e300

static void sample_name(const struct pick *p, char out[SAMPLE_NAME_MAX])
{
	series_sample_name(p->series.def, out, SAMPLE_NAME_MAX);
}

static bool same_names(const struct pick *picks, size_t n)
{
	char first[SAMPLE_NAME_MAX], other[SAMPLE_NAME_MAX];

	sample_name(&picks[0], first);
	for (size_t i = 1; i < n; i++) {
		sample_name(&picks[i], other);
		if (strcmp(first, other))
			return false;
	}
	return true;
}

static bool same_nodes(const struct pick *picks, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (picks[i].series.node != picks[0].series.node)
			return false;
	return true;
}

static bool same_units(const struct pick *picks, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (strcmp(picks[i].series.def->unit, picks[0].series.def->unit))
			return false;
	return true;
}

static bool all_have(const struct pick *picks, size_t n, const struct label *label)
{
	char value[SCHEMA_LABELS_MAX + 1];

	for (size_t i = 0; i < n; i++)
		if (labels_get(picks[i].series.def->labels, label->name, value, sizeof(value)) <
				0 ||
			strcmp(value, label->value))
			return false;
	return true;
}

/* Those labels of pick that all have in common, or those that not all have. */
static void put_labels(FILE *out, const struct pick *pick, const struct pick *picks, size_t n,
	bool common, const char *separator)
{
	const char *text = pick->series.def->labels;
	const char *before = "";
	struct label label;

	while (label_next(&text, &label)) {
		if (all_have(picks, n, &label) != common)
			continue;
		fprintf(out, "%s%s=", before, label.name);
		text_put_clean(out, label.value);
		before = separator;
	}
}

/* Closes a memory stream; its text without blanks at the end, NULL without memory. */
static char *close_trimmed(FILE *out, char **text, size_t *size)
{
	if (fclose(out)) {
		free(*text);
		return NULL;
	}
	while (*size && (*text)[*size - 1] == ' ')
		(*text)[--*size] = 0;
	return *text;
}

static char *make_label(const struct pick *pick, const struct pick *picks, size_t n)
{
	char *text = NULL, name[SAMPLE_NAME_MAX];
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	sample_name(pick, name);
	if (!same_nodes(picks, n)) {
		text_put_clean(out, pick->node->name);
		putc(' ', out);
	}
	if (n == 1 || !same_names(picks, n))
		fprintf(out, "%s ", name);
	put_labels(out, pick, picks, n, false, " ");
	return close_trimmed(out, &text, &size);
}

static char *make_title(const struct pick *picks, size_t n)
{
	char *text = NULL, name[SAMPLE_NAME_MAX];
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	sample_name(&picks[0], name);
	if (same_names(picks, n))
		fprintf(out, "%s  ", name);
	put_labels(out, &picks[0], picks, n, true, ", ");
	fflush(out);
	if (same_nodes(picks, n)) {
		fputs(size && text[size - 1] != ' ' ? "  on " : "on ", out);
		text_put_clean(out, picks[0].node->name);
	}
	return close_trimmed(out, &text, &size);
}

static struct plot_unit choose_unit(const char *unit, bool rate)
{
	if (!strcmp(unit, "bytes"))
		return (struct plot_unit){.binary = true, .symbol = rate ? "B/s" : "B"};
	/* Seconds per second are a share: no unit at all. */
	if (!strcmp(unit, "seconds") && !rate)
		return (struct plot_unit){.symbol = "s"};
	return (struct plot_unit){.symbol = ""};
}

int plot_describe(struct plot *p, const struct pick *picks, size_t n, enum window_mode mode)
{
	const struct series *def = picks[0].series.def;
	const char *unit = def->part == SERIES_BUCKET ? "observations" : def->unit;
	bool rate = mode == WINDOW_RATE;

	if (!same_units(picks, n))
		unit = "";
	p->unit = choose_unit(unit, rate);
	p->from_zero = mode != WINDOW_VALUE;
	p->title = make_title(picks, n);
	p->subtitle = text_format("%s%s", unit, !rate ? "" : *unit ? " per second" : "per second");
	if (!p->title || !p->subtitle)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		p->series[i].label = make_label(&picks[i], picks, n);
		if (!p->series[i].label)
			return -ENOMEM;
	}
	p->n = n;
	return 0;
}

/* --- points ------------------------------------------------------------------------------------ */

static int compare_doubles(const void *va, const void *vb)
{
	double a = *(const double *)va, b = *(const double *)vb;

	return (a > b) - (a < b);
}

/* How far apart points usually are; 0 if unknown. */
static double usual_distance(const struct points *p)
{
	size_t n = p->n < 1000 ? p->n : 1000;
	double *d = n > 1 ? calloc(n - 1, sizeof(*d)) : NULL, usual;

	if (!d)
		return 0;
	for (size_t i = 1; i < n; i++)
		d[i - 1] = (double)(p->v[i].time_ns - p->v[i - 1].time_ns) / 1e9;
	qsort(d, n - 1, sizeof(*d), compare_doubles);
	usual = d[(n - 1) / 2];
	free(d);
	return usual;
}

static void sum_up(struct plot_series *s)
{
	double sum = 0;

	s->last = s->n ? s->points[s->n - 1].value : NAN;
	s->max = s->n ? -INFINITY : NAN;
	for (size_t i = 0; i < s->n; i++) {
		sum += s->points[i].value / (double)s->n;
		s->max = fmax(s->max, s->points[i].value);
	}
	s->mean = s->n ? sum : NAN;
}

int plot_take_points(
	struct plot_series *s, const struct points *points, enum window_mode mode, int64_t step_ns)
{
	double usual = step_ns ? (double)step_ns / 1e9 : usual_distance(points);
	bool apart = true;

	s->points = calloc(points->n + 1, sizeof(*s->points));
	if (!s->points)
		return -ENOMEM;
	for (size_t i = 0; i < points->n; i++) {
		const struct point *from = &points->v[i];
		struct plot_point p = {(double)from->time_ns / 1e9, number_to_double(from->value)};

		/* NaN and infinity are no place on paper. */
		if (!(fabs(p.value) < VALUE_LIMIT)) {
			apart = true;
			continue;
		}
		if (s->n && usual > 0)
			apart |= p.time - s->points[s->n - 1].time > 2.5 * usual;
		apart |= !step_ns && from->flags & SAMPLE_GAP;
		apart |= mode == WINDOW_VALUE && from->flags & SAMPLE_RESET;
		p.apart = apart;
		apart = false;
		s->points[s->n++] = p;
	}
	sum_up(s);
	return 0;
}

void plot_release(struct plot *p)
{
	free(p->title);
	free(p->subtitle);
	free(p->span);
	for (size_t i = 0; i < PLOT_SERIES_MAX; i++) {
		free(p->series[i].label);
		free(p->series[i].points);
	}
	*p = (struct plot){0};
}
