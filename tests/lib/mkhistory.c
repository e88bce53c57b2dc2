/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mkhistory DIR [END]: a small history whose every value is known, for tests of what reads histories.
 *
 * END is the time of the last poll in Unix seconds (default 1700000000). Polls i = 0 .. 59 are 10 s
 * apart, the last one at END. What is at poll i:
 *
 *   node "web-1"    http_requests{program="server",user="root"}   counter, 100 i; after its reset at
 *                                                                 i = 30: 7 (i - 29)
 *                   http_bytes{program="server",user="root"}      counter, bytes, 4096 i, same reset
 *                   connections{program="server",user="root"}     gauge, i % 7 - 3
 *                   disk_reads{device="sd-a"}, {device="sd_a"}    counters, 10 i and 20 i, no reset
 *                   cpu_seconds{cpu="0",mode="user"|"idle"}       counters in 1/100 s: 250 i, 740 i
 *                   wait_seconds                                  histogram: buckets 0.001 5 i, 0.01 3 i,
 *                                                                 +Inf i; sum 1234567 i ns
 *                   temperature_celsius                           gauge, double, 20.5 + i / 8
 *                   energy_joules                                 counter, double, 1.5 i
 *                   note{text="a \"quoted\", b"}                  gauge, 1
 *   node "2nd node" http_requests{program="server",user="root"}   counter, 50 i
 *                   big                                           counter, 2^64 - 100 + i
 *                   memory_free_bytes                             gauge, 8 GiB - i MiB
 *
 * The provider of web-1 starts anew at i = 30, and the totals of its programs begin anew; its polls 40
 * to 44 never arrived. Polls up to 39 are in a sealed file, the others in the head.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/store.h"
#include "user/lib/util.h"

#define POLLS      60
#define RESTART    30
#define SEAL_AFTER 39
#define LOST_FROM  40
#define LOST_TO    44
#define STEP_NS    (10 * NSEC_PER_SEC)

static const char app_labels[] = "program=\"server\",user=\"root\"";

/* series, value at poll i as `at0 + i * slope`; those of one group follow each other */
static const struct line {
	const char *group, *name, *labels, *unit, *help;
	uint8_t type, kind, part;
	int8_t scale;
	double double_at0, double_slope;
	uint64_t at0, slope, slope_after_reset;
} web[] =
	{
		{"app:server:0", "http_requests", app_labels, "requests", "Requests served.",
			METRIC_COUNTER, VALUE_U64, SERIES_VALUE, 0, 0, 0, 0, 100, 7},
		{"app:server:0", "http_bytes", app_labels, "bytes", "Bytes sent.", METRIC_COUNTER,
			VALUE_U64, SERIES_VALUE, 0, 0, 0, 0, 4096, 4096},
		{"app:server:0", "connections", app_labels, "connections", "Open connections.",
			METRIC_GAUGE, VALUE_I64, SERIES_VALUE, 0},
		{"proc.disk", "disk_reads", "device=\"sd-a\"", "reads", "Reads completed.",
			METRIC_COUNTER, VALUE_U64, SERIES_VALUE, 0, 0, 0, 0, 10},
		{"proc.disk", "disk_reads", "device=\"sd_a\"", "reads", "Reads completed.",
			METRIC_COUNTER, VALUE_U64, SERIES_VALUE, 0, 0, 0, 0, 20},
		{"proc.stat", "cpu_seconds", "cpu=\"0\",mode=\"idle\"", "seconds", "Time of a CPU.",
			METRIC_COUNTER, VALUE_U64, SERIES_VALUE, -2, 0, 0, 0, 740},
		{"proc.stat", "cpu_seconds", "cpu=\"0\",mode=\"user\"", "seconds", "Time of a CPU.",
			METRIC_COUNTER, VALUE_U64, SERIES_VALUE, -2, 0, 0, 0, 250},
		{"wait", "wait_seconds", "le=\"0.001\"", "seconds", "Time waited.",
			METRIC_HISTOGRAM, VALUE_U64, SERIES_BUCKET, 0, 0, 0, 0, 5},
		{"wait", "wait_seconds", "le=\"0.01\"", "seconds", "Time waited.", METRIC_HISTOGRAM,
			VALUE_U64, SERIES_BUCKET, 0, 0, 0, 0, 3},
		{"wait", "wait_seconds", "le=\"+Inf\"", "seconds", "Time waited.", METRIC_HISTOGRAM,
			VALUE_U64, SERIES_BUCKET, 0, 0, 0, 0, 1},
		{"wait", "wait_seconds", "", "seconds", "Time waited.", METRIC_HISTOGRAM, VALUE_U64,
			SERIES_SUM, -9, 0, 0, 0, 1234567},
		{"sensors", "temperature_celsius", "", "celsius", "Temperature.", METRIC_GAUGE,
			VALUE_F64, SERIES_VALUE, 0, 20.5, 0.125},
		{"sensors", "energy_joules", "", "joules", "Energy used.", METRIC_COUNTER,
			VALUE_F64, SERIES_VALUE, 0, 0, 1.5},
		{"sensors", "note", "text=\"a \\\"quoted\\\", b\"", "", "", METRIC_GAUGE, VALUE_U64,
			SERIES_VALUE, 0, 0, 0, 1, 0},
},
  db[] = {
	  {"app:server:0", "http_requests", app_labels, "requests", "Requests served.",
		  METRIC_COUNTER, VALUE_U64, SERIES_VALUE, 0, 0, 0, 0, 50},
	  {"proc.meminfo", "big", "", "", "A counter near its end.", METRIC_COUNTER, VALUE_U64,
		  SERIES_VALUE, 0, 0, 0, UINT64_MAX - 99, 1},
	  {"proc.meminfo", "memory_free_bytes", "", "bytes", "Free memory.", METRIC_GAUGE,
		  VALUE_U64, SERIES_VALUE, 0, 0, 0, 8ull << 30, -(1ull << 20)},
};

#define GROUPS_MAX 8

struct maker {
	struct store *store;
	uint32_t node;
	struct stream_writer *writer;
	struct group groups[GROUPS_MAX];
	size_t ngroups, nlines;
	const struct line *lines;
	bool restarts;
};

static void die(const char *what, int err)
{
	fprintf(stderr, "mkhistory: %s: %s\n", what, strerror(-err));
	exit(1);
}

static void must(const char *what, int err)
{
	if (err < 0)
		die(what, err);
}

static uint64_t value_at(const struct maker *m, const struct line *l, uint64_t i)
{
	double d = l->double_at0 + l->double_slope * (double)i;
	uint64_t bits;

	if (!strcmp(l->name, "connections"))
		return i % 7 - 3;
	if (m->restarts && i >= RESTART && l->slope_after_reset)
		return l->slope_after_reset * (i - RESTART + 1);
	if (l->kind != VALUE_F64)
		return l->at0 + l->slope * i;
	memcpy(&bits, &d, sizeof(bits));
	return bits;
}

static void make_groups(struct maker *m)
{
	for (size_t i = 0; i < m->nlines; i++) {
		const struct line *l = &m->lines[i];
		const struct series s = {(char *)l->name, (char *)l->labels, (char *)l->unit,
			(char *)l->help, l->type, l->kind, l->part, l->scale};
		struct group *g = m->ngroups ? &m->groups[m->ngroups - 1] : NULL;

		if (!g || strcmp(g->schema.group, l->group)) {
			g = &m->groups[m->ngroups++];
			*g = (struct group){.version = 1};
			g->schema.group = strdup(l->group);
			g->schema.interval_ms = 10000;
		}
		must(l->name, schema_add(&g->schema, &s));
	}
	for (size_t i = 0; i < m->ngroups; i++)
		m->groups[i].values = calloc(m->groups[i].schema.n, sizeof(uint64_t));
}

static void free_groups(struct maker *m)
{
	for (size_t i = 0; i < m->ngroups; i++)
		group_release(&m->groups[i]);
	m->ngroups = 0;
}

/* A start of the provider, at which the totals of programs begin; the kernel's go on. */
static void start_provider(struct maker *m, uint64_t id, int64_t start_ns)
{
	struct incarnation inc = {.id = id, .start_ns = (uint64_t)start_ns};

	memset(inc.boot_id, 1, sizeof(inc.boot_id));
	stream_writer_free(m->writer);
	free_groups(m);
	make_groups(m);
	for (size_t i = 0; i < m->ngroups; i++)
		m->groups[i].schema.start_ns =
			strncmp(m->groups[i].schema.group, "app:", 4) ? 1 : (uint64_t)start_ns;
	m->writer = stream_writer_new(&inc);
	if (!m->writer)
		die("writer", -ENOMEM);
}

static void append(struct maker *m, const struct buf *records)
{
	for (size_t at = 0; at < records->len;) {
		struct snapshot_view view;
		struct record rec;
		ssize_t size = record_parse(records->data + at, records->len - at, 0, &rec);

		if (size <= 0)
			die("record", -EBADMSG);
		must("append", store_append(m->store, m->node, &rec, &view));
		at += (size_t)size;
	}
}

static void poll_node(struct maker *m, uint64_t i, int64_t realtime_ns)
{
	struct group_due due[GROUPS_MAX];
	struct buf out = BUF_INIT;
	size_t line = 0;
	uint64_t seq;
	bool lost = m->restarts && i >= LOST_FROM && i <= LOST_TO;

	for (size_t g = 0; g < m->ngroups; g++) {
		due[g] = (struct group_due){.group = &m->groups[g], .window_ns = 50000};
		for (size_t j = 0; j < m->groups[g].schema.n; j++)
			m->groups[g].values[j] = value_at(m, &m->lines[line++], i);
	}
	/* The loss ends as it does behind a ring that overflowed: with the state of the stream. */
	if (m->restarts && i == LOST_TO + 1)
		must("state", stream_writer_put_state(m->writer, &out));
	must("snapshot", stream_writer_snapshot(m->writer, realtime_ns, (i + 100) * STEP_NS, due,
				 m->ngroups, &out, &seq));
	if (!lost)
		append(m, &out);
	buf_release(&out);
}

static void make(struct store *store, int64_t end_ns)
{
	static const uint8_t ids[2][32] = {{0x11, 0x22, 0x33}, {0xaa, 0xbb, 0xcc}};
	struct maker m[2] = {
		{.store = store,
			.lines = web,
			.nlines = sizeof(web) / sizeof(web[0]),
			.restarts = true},
		{.store = store, .lines = db, .nlines = sizeof(db) / sizeof(db[0])},
	};
	int64_t first_ns = end_ns - (int64_t)((POLLS - 1) * STEP_NS);
	struct errmsg e;

	must("node", store_node(store, ids[0], "web-1", &m[0].node));
	must("node", store_node(store, ids[1], "2nd node", &m[1].node));
	for (uint64_t i = 0; i < POLLS; i++) {
		int64_t now_ns = first_ns + (int64_t)(i * STEP_NS);

		if (!i || i == RESTART)
			start_provider(&m[0], i ? 2 : 1, now_ns);
		if (!i)
			start_provider(&m[1], 3, now_ns);
		poll_node(&m[0], i, now_ns);
		poll_node(&m[1], i, now_ns);
		if (i == SEAL_AFTER)
			must("seal", store_seal(store, &e));
	}
	for (size_t i = 0; i < 2; i++) {
		stream_writer_free(m[i].writer);
		free_groups(&m[i]);
	}
}

int main(int argc, char **argv)
{
	const struct store_options options = {0};
	int64_t end = argc > 2 ? atoll(argv[2]) : 1700000000;
	struct errmsg e = {""};
	struct store *store;

	if (argc < 2 || argc > 3) {
		fputs("usage: mkhistory DIR [END]\n", stderr);
		return 2;
	}
	must("directory", make_dirs(argv[1], 0755, &e));
	if (store_open(argv[1], &options, &store, &e)) {
		fprintf(stderr, "mkhistory: %s\n", e.text);
		return 1;
	}
	make(store, end * (int64_t)NSEC_PER_SEC);
	must("sync", store_sync(store));
	must("close", store_close(store));
	return 0;
}
