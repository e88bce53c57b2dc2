/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Output of values.
 *
 * JSON: {"mode":"value","series":[{IDENTITY,"samples":[{"time":T,"value":"V"}...]}...]}; times are
 * Unix seconds with nine digits, values are strings, so that no reader rounds a 64-bit counter.
 * CSV: time,node,series,value,unit,flags with RFC 3339 times in UTC.
 */
#include "tools/emit.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/labelwalk.h"
#include "tools/text.h"
#include "tools/timearg.h"

#define SAMPLE_NAME_MAX (SCHEMA_NAME_MAX + 16)

const char *emit_type_name(uint8_t type)
{
	return type == METRIC_COUNTER ? "counter" : type == METRIC_GAUGE ? "gauge" : "histogram";
}

static const char *flags_text(uint32_t flags)
{
	static const char *const texts[] = {"", "reset", "gap", "reset gap"};

	return texts[flags & (SAMPLE_RESET | SAMPLE_GAP)];
}

/* A bucket of a sum keeps its bound; everything else that tells series apart is gone. */
static char *sum_text(const struct pick *pick)
{
	char name[SAMPLE_NAME_MAX], bound[64];

	series_sample_name(pick->series.def, name, sizeof(name));
	if (pick->series.def->part != SERIES_BUCKET ||
		labels_get(pick->series.def->labels, "le", bound, sizeof(bound)) < 0)
		return strdup(name);
	return text_format("%s{le=\"%s\"}", name, bound);
}

static char *series_text(const struct emit_series *s)
{
	return s->summed ? sum_text(s->pick) : pick_text(s->pick);
}

static char *node_text(const struct emit_series *s)
{
	return s->summed ? text_format("(%zu series)", s->summed) : strdup(s->pick->node->name);
}

static char *unit_text(const struct emit *e, const struct emit_series *s)
{
	const char *unit = s->pick->series.def->unit;

	/* Buckets count observations, whatever the unit of what was observed. */
	if (s->pick->series.def->part == SERIES_BUCKET)
		unit = "";
	return text_format("%s%s", unit, e->mode == WINDOW_RATE ? "/s" : "");
}

/* --- JSON --------------------------------------------------------------------------------------- */

static void put_labels(FILE *out, const char *labels, const char *only)
{
	struct label label;
	const char *comma = "";

	fputs(",\"labels\":{", out);
	while (label_next(&labels, &label)) {
		if (only && strcmp(label.name, only))
			continue;
		fputs(comma, out);
		text_put_json(out, label.name);
		putc(':', out);
		text_put_json(out, label.value);
		comma = ",";
	}
	putc('}', out);
}

static void put_member(FILE *out, const char *name, const char *value)
{
	fprintf(out, "\"%s\":", name);
	text_put_json(out, value);
}

static void put_metric(FILE *out, const struct series *def, bool summed)
{
	char name[SAMPLE_NAME_MAX];

	series_sample_name(def, name, sizeof(name));
	put_member(out, "name", name);
	put_labels(out, def->labels, summed ? "le" : NULL);
	putc(',', out);
	put_member(out, "type", emit_type_name(def->type));
	putc(',', out);
	put_member(out, "unit", def->unit);
}

void emit_json_identity(FILE *out, const struct pick *pick)
{
	put_member(out, "node", pick->node->name);
	putc(',', out);
	put_member(out, "fingerprint", pick->fingerprint);
	putc(',', out);
	put_member(out, "group", pick->series.group);
	putc(',', out);
	put_metric(out, pick->series.def, false);
}

static void put_json_point(FILE *out, const struct point *p)
{
	char time[TIME_TEXT_MAX], value[NUMBER_TEXT_MAX];

	time_format_unix(p->time_ns, time);
	number_format(p->value, value, sizeof(value));
	fprintf(out, "{\"time\":%s,\"value\":\"%s\"%s%s}", time, value,
		p->flags & SAMPLE_RESET ? ",\"reset\":true" : "",
		p->flags & SAMPLE_GAP ? ",\"gap\":true" : "");
}

static void emit_json(struct emit *e, const struct emit_series *s)
{
	fputs(e->n ? ",\n{" : "\n{", e->out);
	if (s->summed) {
		fprintf(e->out, "\"sum_of\":%zu,", s->summed);
		put_metric(e->out, s->pick->series.def, true);
	} else {
		emit_json_identity(e->out, s->pick);
	}
	fputs(",\"samples\":[", e->out);
	for (size_t i = 0; i < s->points->n; i++) {
		if (i)
			putc(',', e->out);
		put_json_point(e->out, &s->points->v[i]);
	}
	fputs("]}", e->out);
}

/* --- CSV ---------------------------------------------------------------------------------------- */

static void emit_csv(struct emit *e, const struct emit_series *s, const char *node,
	const char *series, const char *unit)
{
	char time[TIME_TEXT_MAX], value[NUMBER_TEXT_MAX];

	for (size_t i = 0; i < s->points->n; i++) {
		const struct point *p = &s->points->v[i];

		time_format_utc(p->time_ns, time);
		number_format(p->value, value, sizeof(value));
		fprintf(e->out, "%s,", time);
		text_put_csv(e->out, node);
		putc(',', e->out);
		text_put_csv(e->out, series);
		fprintf(e->out, ",%s,", value);
		text_put_csv(e->out, unit);
		fprintf(e->out, ",%s\r\n", flags_text(p->flags));
	}
}

/* --- tables ------------------------------------------------------------------------------------- */

/* Integers exactly; a rate to six significant digits, as nobody reads seventeen. */
static void format_value(const struct emit *e, const struct point *p, char *out, size_t size)
{
	if (e->mode == WINDOW_RATE && p->value.is_double && isfinite(p->value.d)) {
		double d = p->value.d;
		int digits = d ? 5 - (int)floor(log10(fabs(d))) : 0;
		snprintf(out, size, "%.*f", digits < 0 ? 0 : digits > 12 ? 12 : digits, d);
		return;
	}
	number_format(p->value, out, size);
}

static void emit_latest(struct emit *e, const struct emit_series *s, const char *node,
	const char *series, const char *unit)
{
	char time[TIME_TEXT_MAX] = "", value[NUMBER_TEXT_MAX] = "-";

	if (s->points->n) {
		time_format_local(s->points->v[0].time_ns, time);
		format_value(e, &s->points->v[0], value, sizeof(value));
	}
	table_add(&e->table, (const char *[]){node, series, value, unit, time});
}

static int emit_rows(struct emit *e, const struct emit_series *s, const char *node,
	const char *series, const char *unit)
{
	struct table t;
	int err;

	if (e->n)
		putc('\n', e->out);
	text_put_clean(e->out, series);
	fputs("  ", e->out);
	text_put_clean(e->out, node);
	putc('\n', e->out);
	table_init(&t, 2, 3, (const char *[]){"TIME", *unit ? unit : "VALUE", ""});
	for (size_t i = 0; i < s->points->n; i++) {
		char time[TIME_TEXT_MAX], value[NUMBER_TEXT_MAX];
		const struct point *p = &s->points->v[i];

		time_format_local(p->time_ns, time);
		format_value(e, p, value, sizeof(value));
		table_add(&t, (const char *[]){time, value, flags_text(p->flags)});
	}
	err = table_print(&t, e->out);
	table_release(&t);
	return err;
}

/* --- all of them -------------------------------------------------------------------------------- */

void emit_begin(struct emit *e)
{
	static const char *const modes[] = {"value", "increase", "rate"};
	static const char *const heading[] = {"NODE", "SERIES", "VALUE", "UNIT", "TIME"};

	e->n = 0;
	if (e->format == EMIT_JSON)
		fprintf(e->out, "{\"mode\":\"%s\",\"series\":[", modes[e->mode]);
	else if (e->format == EMIT_CSV)
		fputs("time,node,series,value,unit,flags\r\n", e->out);
	else if (e->latest)
		table_init(&e->table, 4, 5, heading);
}

int emit_series(struct emit *e, const struct emit_series *s)
{
	char *node = node_text(s), *series = series_text(s), *unit = unit_text(e, s);
	int err = node && series && unit ? 0 : -ENOMEM;

	if (!err && e->format == EMIT_JSON)
		emit_json(e, s);
	else if (!err && e->format == EMIT_CSV)
		emit_csv(e, s, node, series, unit);
	else if (!err && e->latest)
		emit_latest(e, s, node, series, unit);
	else if (!err)
		err = emit_rows(e, s, node, series, unit);
	free(node);
	free(series);
	free(unit);
	e->n++;
	return err;
}

int emit_end(struct emit *e)
{
	int err = 0;

	if (e->format == EMIT_JSON)
		fputs("\n]}\n", e->out);
	else if (e->format == EMIT_TABLE && e->latest)
		err = table_print(&e->table, e->out);
	table_release(&e->table);
	return err;
}
