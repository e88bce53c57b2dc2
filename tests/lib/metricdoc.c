/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metricdoc --modules: the modules' names, a line each.
 * metricdoc FILE: FILE with the part between <!-- modules --> and <!-- end --> made anew from the tables of
 * the modules, to standard output. `make docs` writes docs/kernel-metrics.md so; tests/e2e/metrics-doc.sh compares.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/tally/histogram.h"
#include "user/lib/util.h"
#include "user/provider/kernel/modules.h"
#include "user/provider/provider.h"

static const char *type_of(const struct module_metric *m)
{
	return m->type == METRIC_COUNTER ? "counter"
	       : m->type == METRIC_GAUGE ? "gauge"
					 : "histogram";
}

/* "seconds (kept in ns)" */
static void print_unit(const struct module_metric *m)
{
	static const struct {
		int8_t scale;
		const char *name;
	} kept[] = {{-9, "ns"}, {-6, "µs"}, {-3, "ms"}};

	printf("%s", m->unit);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (m->scale == kept[i].scale)
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
	printf("| `%s` | %s | ", m->name, type_of(m));
	print_unit(m);
	printf(" | ");
	print_labels(module, m);
	printf(" | %s | %s |\n", m->help, m->source);
}

static void print_needs(const struct module *m)
{
	printf("\n| program | tracepoint | runs | needs |\n|---|---|---|---|\n");
	for (size_t i = 0; i < m->nprograms; i++) {
		const struct load_needs *needs = &m->programs[i].needs;
		const char *last = "", *comma = "";

		printf("| `%s` | `%s` | %s | ", needs->module, needs->tracepoint,
			m->programs[i].runs);
		for (const struct load_member *k = needs->members; k && k->type; k++) {
			if (strcmp(k->option, last))
				printf("%s`%s`", comma, k->option);
			comma = ", ";
			last = k->option;
		}
		printf(" |\n");
	}
}

static void print_module(const struct module *m)
{
	printf("\n### `%s`: %s\n\n", m->ops.name, m->ops.help);
	if (m->ops.opt_in)
		printf("Opt-in: %s.", m->ops.opt_in);
	else
		printf("On by default.");
	if (m->capability)
		printf(" Needs `%s` besides `CAP_BPF` and `CAP_PERFMON`.", m->capability->name);
	printf("\n\n");
	printf("| metric | type | unit | labels | | source |\n|---|---|---|---|---|---|\n");
	for (size_t i = 0; i < m->nmetrics; i++)
		print_metric(m, &m->metrics[i]);
	print_needs(m);
	printf("\n%zu bytes a CPU", m->cpu_size);
	if (m->slots)
		printf(", and %zu more for each `%s`", m->slots->size, m->slots->label);
	printf(".\n");
}

static void print_names(void)
{
	for (const struct producer_ops *const *ops = provider_producers; *ops; ops++)
		if ((*ops)->open == module_open)
			printf("%s\n", (*ops)->name);
}

static void print_modules(void)
{
	for (const struct producer_ops *const *ops = provider_producers; *ops; ops++)
		if ((*ops)->open == module_open)
			print_module((const struct module *)*ops);
	printf("\n### Of every module\n\n");
	printf("| metric | type | unit | labels | | source |\n|---|---|---|---|---|---|\n");
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
		if (!strcmp(line, "<!-- modules -->\n")) {
			print_modules();
			skip = true;
		}
	}
	fclose(f);
	return 0;
}
