/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `tally ls`: which nodes and series a history holds. */
#include "tools/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/emit.h"
#include "tools/query.h"
#include "tools/text.h"
#include "tools/timearg.h"
#include "user/lib/identity.h"

#define FINGERPRINT_SHOWN 8

struct ls_args {
	struct query_source source;
	bool nodes, json;
};

/* Series of node i among the picks, which are sorted by node but need not be counted so. */
static size_t count_series(const struct picks *picks, size_t node)
{
	size_t n = 0;

	for (size_t i = 0; i < picks->n; i++)
		n += picks->v[i].series.node == node;
	return n;
}

/* --- tables ---------------------------------------------------------------------------------- */

static int print_nodes(struct history *h, const struct picks *picks)
{
	static const char *const heading[] = {"NODE", "FINGERPRINT", "SERIES", "FIRST", "LAST"};
	char fingerprint[FINGERPRINT_SIZE], first[TIME_TEXT_MAX], last[TIME_TEXT_MAX], n[24];
	struct table t;
	int err;

	table_init(&t, 4, 5, heading);
	for (size_t i = 0; i < history_nodes(h); i++) {
		const struct history_node *node = history_node(h, i);

		fingerprint_format(node->id, fingerprint);
		fingerprint[FINGERPRINT_SHOWN] = 0;
		time_format_local(node->first_ns, first);
		time_format_local(node->last_ns, last);
		snprintf(n, sizeof(n), "%zu", count_series(picks, i));
		table_add(&t, (const char *[]){node->name, fingerprint, n, first, last});
	}
	err = table_print(&t, stdout);
	table_release(&t);
	return err;
}

static void add_series(struct table *t, const struct pick *pick)
{
	char value[NUMBER_TEXT_MAX] = "-", *series = pick_text(pick);
	const struct series *def = pick->series.def;

	if (pick->has_newest)
		value_format(pick->newest.value, def->kind, def->scale, value, sizeof(value));
	t->failed |= !series;
	if (series)
		table_add(t, (const char *[]){pick->node->name, emit_type_name(def->type), series,
				     value, def->part == SERIES_BUCKET ? "" : def->unit});
	free(series);
}

static int print_series(const struct picks *picks)
{
	static const char *const heading[] = {"NODE", "TYPE", "SERIES", "NEWEST", "UNIT"};
	struct table t;
	int err;

	table_init(&t, 8, 5, heading);
	for (size_t i = 0; i < picks->n; i++)
		add_series(&t, &picks->v[i]);
	err = table_print(&t, stdout);
	table_release(&t);
	return err;
}

static int print_tables(struct history *h, const struct picks *picks, bool nodes, bool series)
{
	int err = nodes ? print_nodes(h, picks) : 0;

	if (!err && nodes && series)
		putchar('\n');
	return !err && series ? print_series(picks) : err;
}

/* --- JSON -------------------------------------------------------------------------------------- */

static void put_nodes(struct history *h, const struct picks *picks)
{
	char fingerprint[FINGERPRINT_SIZE], first[TIME_TEXT_MAX], last[TIME_TEXT_MAX];

	fputs("\"nodes\":[", stdout);
	for (size_t i = 0; i < history_nodes(h); i++) {
		const struct history_node *node = history_node(h, i);

		fingerprint_format(node->id, fingerprint);
		time_format_unix(node->first_ns, first);
		time_format_unix(node->last_ns, last);
		fputs(i ? ",\n{\"name\":" : "\n{\"name\":", stdout);
		text_put_json(stdout, node->name);
		printf(",\"fingerprint\":\"%s\",\"first\":%s,\"last\":%s,\"series\":%zu}",
			fingerprint, first, last, count_series(picks, i));
	}
	fputs("\n]", stdout);
}

static void put_one_series(const struct pick *pick)
{
	char time[TIME_TEXT_MAX], value[NUMBER_TEXT_MAX];
	const struct series *def = pick->series.def;

	emit_json_identity(stdout, pick);
	fputs(",\"help\":", stdout);
	text_put_json(stdout, def->help);
	if (!pick->has_newest)
		return;
	time_format_unix(pick->newest.realtime_ns, time);
	value_format(pick->newest.value, def->kind, def->scale, value, sizeof(value));
	printf(",\"newest\":{\"time\":%s,\"value\":\"%s\"}", time, value);
}

static void print_json(struct history *h, const struct picks *picks, bool nodes, bool series)
{
	putchar('{');
	if (nodes)
		put_nodes(h, picks);
	if (nodes && series)
		putchar(',');
	if (series) {
		fputs("\"series\":[", stdout);
		for (size_t i = 0; i < picks->n; i++) {
			fputs(i ? ",\n{" : "\n{", stdout);
			put_one_series(&picks->v[i]);
			putchar('}');
		}
		fputs("\n]", stdout);
	}
	fputs("}\n", stdout);
}

/* --- the command ------------------------------------------------------------------------------- */

static int run(const struct ls_args *a, const char *pattern, struct errmsg *e)
{
	bool nodes = a->nodes || !pattern, series = !a->nodes;
	struct picks picks = {0};
	struct history *h;
	int err = query_open(&a->source, pattern, &h, &picks, e);

	if (err)
		return err;
	if (series)
		err = picks_newest(h, &picks);
	if (!err && a->json)
		print_json(h, &picks, nodes, series);
	else if (!err)
		err = print_tables(h, &picks, nodes, series);
	if (err)
		err_set(e, err, "%s: %s", query_source_name(&a->source), strerror(-err));
	picks_release(&picks);
	history_close(h);
	return err;
}

int cmd_ls(int argc, char **argv)
{
	struct ls_args a = {.source = query_source_new()};
	const struct conf_option options[] = {
		QUERY_SOURCE_OPTIONS(a.source),
		{"nodes", CONF_BOOL, &a.nodes, NULL, "nodes only"},
		{"json", CONF_BOOL, &a.json, NULL, "print JSON"},
		{0},
	};
	const struct conf_program prog = {
		.name = "tally ls",
		.summary = "Lists the nodes of a history, and its series with their newest values.",
		.usage = "[OPTION]... [SELECTOR]",
		.epilog = "With a SELECTOR ('tally get --help'), only the series that it means.",
		.options = options,
	};
	struct errmsg e = {""};
	int operand, code = CONF_EXIT_OK, err = 0;

	if (tally_options(&prog, argc, argv, &operand, &code)) {
		if (argc - operand > 1)
			code = tally_usage(prog.name, "more than one selector");
		else
			err = run(&a, operand < argc ? argv[operand] : NULL, &e);
		if (err)
			code = tally_fail(err, &e);
	}
	query_source_release(&a.source);
	return code;
}
