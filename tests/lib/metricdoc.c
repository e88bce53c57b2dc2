/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metricdoc --modules: the modules' names, a line each.
 * metricdoc FILE: FILE with the parts between <!-- producers --> or <!-- modules --> and <!-- end --> made anew from
 * their tables, to standard output. `make docs` writes docs/kernel-metrics.md so; tests/e2e/metrics-doc.sh compares.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"
#include "user/lib/util.h"
#include "user/provider/kernel/modules.h"
#include "user/provider/provider.h"

#define HEADS "| metric | type | unit | labels | | source |\n|---|---|---|---|---|---|\n"

static const char *type_of(uint8_t type)
{
	return type == METRIC_COUNTER ? "counter" : type == METRIC_GAUGE ? "gauge" : "histogram";
}

/* "seconds (kept in ns)" */
static void print_unit(const char *unit, int8_t scale)
{
	static const struct {
		int8_t scale;
		const char *name;
	} kept[] = {{-9, "ns"}, {-6, "µs"}, {-3, "ms"}};

	printf("%s", unit);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (scale == kept[i].scale)
			printf(" (kept in %s)", kept[i].name);
}

static void print_bound(const struct module_metric *m, uint32_t bucket)
{
	char text[64];

	value_format(tally_histogram_upper(bucket, m->lo, m->hi), VALUE_U64, m->scale, text,
		sizeof(text));
	printf("%s", text);
}

static void print_labels(const struct module *module, const struct module_metric *m)
{
	const char *comma = "";

	if (m->slotted) {
		printf("`%s`", module->slots->label);
		if (module->slots->more)
			printf(", %s", module->slots->more);
		comma = ", ";
	}
	if (m->label) {
		printf("%s`%s`", comma, m->label);
		comma = ", ";
	}
	if (m->per_cpu) {
		printf("%s`cpu`", comma);
		comma = ", ";
	}
	if (m->type != METRIC_HISTOGRAM)
		return;
	printf("%s`le`: ", comma);
	print_bound(m, 0);
	printf(" to ");
	print_bound(m, TALLY_HISTOGRAM_BUCKETS(m->lo, m->hi) - 2);
}

/* module: NULL if it is a metric of all. */
static void print_metric(const struct module *module, const struct module_metric *m)
{
	printf("| `%s` | %s | ", m->name, type_of(m->type));
	print_unit(m->unit, m->scale);
	printf(" | ");
	print_labels(module, m);
	printf(" | %s | %s |\n", m->help, m->source);
}

/* Programs of a module are all at tracepoints, or all at functions. */
static void print_needs(const struct module *m)
{
	const struct load_needs *first = &m->programs[0].needs;

	printf("\n| program | %s | runs | needs |\n|---|---|---|---|\n",
		first->function      ? "function"
		: first->cgroup_hook ? "at the root cgroup"
				     : "tracepoint");
	for (size_t i = 0; i < m->nprograms; i++) {
		const struct load_needs *needs = &m->programs[i].needs;
		const char *last = "", *comma = "";

		printf("| `%s` | `%s`", needs->module,
			needs->function      ? needs->function
			: needs->cgroup_hook ? needs->cgroup_hook
					     : needs->tracepoint);
		if (needs->renamed)
			printf(" or `%s`", needs->renamed);
		printf(" | %s | ", m->programs[i].runs);
		for (const struct load_member *k = needs->members; k && k->type; k++) {
			if (strcmp(k->option, last))
				printf("%s`%s`", comma, k->option);
			comma = ", ";
			last = k->option;
		}
		printf(" |\n");
	}
}

static void print_producer(const struct producer_ops *ops)
{
	printf("\n### `%s`: %s\n\n", ops->name, ops->help);
	if (ops->opt_in)
		printf("Opt-in: %s.", ops->opt_in);
	else
		printf("On by default.");
}

static void print_module(const struct module *m)
{
	print_producer(&m->ops);
	if (m->capability)
		printf(" Needs `%s` besides `CAP_BPF` and `CAP_PERFMON`.", m->capability->name);
	printf("\n\n");
	printf(HEADS);
	for (size_t i = 0; i < m->nmetrics; i++)
		print_metric(m, &m->metrics[i]);
	print_needs(m);
	if (m->ops.samples)
		printf("\nNear the limit of its budget one of %u events stands for all.\n",
			TALLY_COARSE_EVERY);
	printf("\n%zu bytes a CPU", m->cpu_size);
	if (m->slots)
		printf(", and %zu more for each `%s`", m->slots->size, m->slots->label);
	printf(".\n");
}

/* --- other producers --------------------------------------------------------------------------- */

/* A metric with all of its sources. */
#define ROWS_MAX 256u
struct row {
	char name[96], unit[32], help[512], labels[128], source[512];
	uint8_t type;
	int8_t scale;
};
static struct row rows[ROWS_MAX];
static size_t nrows;

/* Those of one metric that are the same come one after the other. */
static void add_source(struct row *r, const char *source)
{
	size_t n = strlen(r->source), len = strlen(source);

	if (n >= len && !strcmp(r->source + n - len, source) &&
		(n == len || r->source[n - len - 1] == ' '))
		return;
	snprintf(r->source + n, sizeof(r->source) - n, "%s%s", n ? ", " : "", source);
}

static void take_metric(struct describer *d, const struct metric_doc *m)
{
	struct row *r = rows;

	while (r < rows + nrows &&
		(strcmp(r->name, m->name) || strcmp(r->help, m->help) || r->type != m->type))
		r++;
	if (r == rows + ROWS_MAX)
		abort();
	if (r == rows + nrows) {
		nrows++;
		snprintf(r->name, sizeof(r->name), "%s", m->name);
		snprintf(r->unit, sizeof(r->unit), "%s", m->unit);
		snprintf(r->help, sizeof(r->help), "%s", m->help);
		snprintf(r->labels, sizeof(r->labels), "%s", m->labels ? m->labels : "");
		r->type = m->type;
		r->scale = m->scale;
	}
	add_source(r, m->source);
}

/* Two asterisks would be emphasis. */
static void print_text(const char *text)
{
	for (; *text; text++)
		printf("%s%c", *text == '*' ? "\\" : "", *text);
}

/* "cpu, mode" */
static void print_names_of(const char *labels)
{
	for (size_t n; *labels; labels += n + strspn(labels + n, ", ")) {
		n = strcspn(labels, ",");
		printf("`%.*s`%s", (int)n, labels, labels[n] ? ", " : "");
	}
}

static void print_described(const struct producer_ops *ops)
{
	struct describer d = {take_metric};

	nrows = 0;
	memset(rows, 0, sizeof(rows));
	ops->describe(&d);
	print_producer(ops);
	printf(" %s\n\n" HEADS, ops->reads);
	for (const struct row *r = rows; r < rows + nrows; r++) {
		printf("| `%s` | %s | ", r->name, type_of(r->type));
		print_unit(r->unit, r->scale);
		printf(" | ");
		print_names_of(r->labels);
		printf(" | ");
		print_text(r->help);
		printf(" | ");
		print_text(r->source);
		printf(" |\n");
	}
}

/* --- the document ------------------------------------------------------------------------------ */

static bool is_module(const struct producer_ops *ops)
{
	return ops->open == module_open;
}

static void print_names(void)
{
	for (const struct producer_ops *const *ops = provider_producers; *ops; ops++)
		if (is_module(*ops))
			printf("%s\n", (*ops)->name);
}

static void print_producers(void)
{
	for (const struct producer_ops *const *ops = provider_producers; *ops; ops++)
		if ((*ops)->describe)
			print_described(*ops);
	printf("\n");
}

static void print_modules(void)
{
	for (const struct producer_ops *const *ops = provider_producers; *ops; ops++)
		if (is_module(*ops))
			print_module((const struct module *)*ops);
	printf("\n### Of every module\n\n");
	printf(HEADS);
	for (size_t i = 0; i < module_own_metrics_n; i++)
		print_metric(NULL, &module_own_metrics[i]);
	printf("\n");
}

int main(int argc, char **argv)
{
	FILE *f = argc == 2 ? fopen(argv[1], "r") : NULL;
	bool skip = false;
	char line[4096];

	if (argc == 2 && !strcmp(argv[1], "--modules")) {
		print_names();
		return 0;
	}
	if (!f) {
		fprintf(stderr, "usage: metricdoc FILE | --modules\n");
		return 2;
	}
	while (fgets(line, sizeof(line), f)) {
		if (!strcmp(line, "<!-- end -->\n"))
			skip = false;
		if (!skip)
			fputs(line, stdout);
		if (!skip && !strcmp(line, "<!-- producers -->\n")) {
			print_producers();
			skip = true;
		} else if (!skip && !strcmp(line, "<!-- modules -->\n")) {
			print_modules();
			skip = true;
		}
	}
	fclose(f);
	return 0;
}
