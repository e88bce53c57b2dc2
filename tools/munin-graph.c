/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The texts of munin's plugin protocol. */
#include "tools/munin-graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/number.h"

#define SAMPLE_NAME_MAX  (SCHEMA_NAME_MAX + 16)
#define TITLE_MAX        60 /* a longer help text is no title */
#define DOUBLES_PER_UNIT 1000

static bool is_counter(const struct series *def)
{
	return def->type != METRIC_GAUGE;
}

bool munin_is_current(const struct pick *p, int64_t now_ns)
{
	return p->has_newest && now_ns - p->newest.realtime_ns < MUNIN_CONFIG_AGE;
}

/* --- config -------------------------------------------------------------------------------------- */

static void put_line(FILE *out, const char *name, const char *text)
{
	fprintf(out, "%s ", name);
	munin_put_text(out, text);
	putc('\n', out);
}

static void print_vlabel(FILE *out, const struct series *def)
{
	fputs("graph_vlabel ", out);
	if (is_counter(def)) {
		munin_put_text(out, def->unit);
		fprintf(out, "%sper ${graph_period}\n", *def->unit ? " " : "");
		return;
	}
	munin_put_text(out, *def->unit ? def->unit : "value");
	putc('\n', out);
}

static void print_graph(FILE *out, const struct series *def)
{
	size_t len = strlen(def->help);
	bool bytes = !strcmp(def->unit, "bytes");
	char name[SAMPLE_NAME_MAX];

	series_sample_name(def, name, sizeof(name));
	put_line(out, "graph_title", len && len <= TITLE_MAX ? def->help : name);
	fprintf(out, "graph_args --base %d%s\n", bytes ? 1024 : 1000,
		is_counter(def) ? " -l 0" : "");
	print_vlabel(out, def);
	fputs("graph_category tally\ngraph_info ", out);
	if (len) {
		munin_put_text(out, def->help);
		fputs(def->help[len - 1] == '.' ? " " : ". ", out);
	}
	fprintf(out, "Metric %s in tally's history.\n", name);
}

/* DERIVE fields hold integers; what they are multiples of is put right by a cdef. */
static void print_cdef(FILE *out, const struct munin_field *f)
{
	const struct series *def = f->pick->series.def;
	int scale = def->kind == VALUE_F64 ? -3 : def->scale;

	if (scale)
		fprintf(out, "%s.cdef %s,%.0f,%c\n", f->name, f->name, pow(10, abs(scale)),
			scale < 0 ? '/' : '*');
}

static void print_field(FILE *out, const struct munin_field *f)
{
	const struct series *def = f->pick->series.def;

	fprintf(out, "%s.label ", f->name);
	munin_put_text(out, f->label);
	fprintf(out, "\n%s.type %s\n%s.draw LINE1\n", f->name, is_counter(def) ? "DERIVE" : "GAUGE",
		f->name);
	if (!is_counter(def))
		return;
	fprintf(out, "%s.min 0\n", f->name);
	print_cdef(out, f);
}

void munin_print_config(FILE *out, const struct munin_field *fields, size_t n, int64_t now_ns)
{
	bool graph = false;

	for (size_t i = 0; i < n; i++) {
		if (!munin_is_current(fields[i].pick, now_ns))
			continue;
		if (!graph)
			print_graph(out, fields[i].pick->series.def);
		graph = true;
		print_field(out, &fields[i]);
	}
}

/* --- values -------------------------------------------------------------------------------------- */

static bool format_double_counter(double d, char *out, size_t size)
{
	double thousandths = d * DOUBLES_PER_UNIT;

	if (!(fabs(thousandths) < 0x1p63))
		return false;
	snprintf(out, size, "%lld", llround(thousandths));
	return true;
}

/* False: munin can't hold it. */
static bool format_value(const struct pick *p, char *out, size_t size)
{
	const struct series *def = p->series.def;
	double d = value_to_double(p->newest.value, def->kind, def->scale);

	if (is_counter(def) && def->kind == VALUE_F64)
		return format_double_counter(d, out, size);
	value_format(p->newest.value, def->kind, is_counter(def) ? 0 : def->scale, out, size);
	return isfinite(d);
}

void munin_print_values(
	FILE *out, const struct munin_field *fields, size_t n, int64_t now_ns, int64_t max_age_ns)
{
	char value[NUMBER_TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		const struct pick *p = fields[i].pick;
		if (!munin_is_current(p, now_ns))
			continue;
		if (now_ns - p->newest.realtime_ns > max_age_ns ||
			!format_value(p, value, sizeof(value)))
			strcpy(value, "U");
		fprintf(out, "%s.value %s\n", fields[i].name, value);
	}
}
