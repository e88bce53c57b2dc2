/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small history whose every sample can be computed from its number: for tests that break things and
 * then ask what is left. Nodes 0 .. TEST_NODES-1 have one group of TEST_WIDTH series each.
 */
#ifndef TALLY_TESTS_LIB_TESTSTORE_H
#define TALLY_TESTS_LIB_TESTSTORE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/os.h"
#include "gatherer/store/store.h"
#include "tests/lib/testdir.h"

#define TEST_NODES  2u
#define TEST_WIDTH  5u
#define TEST_SECOND 1000000000ll

#define TEST_MUST(x)                                                                    \
	do {                                                                            \
		if (!(x)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                        \
		}                                                                       \
	} while (0)

static inline int test_no_sync(int fd)
{
	(void)fd;
	return 0;
}

/* For tests where no power is lost: syncing thousands of small stores takes minutes. */
static inline void test_without_syncs(void)
{
	static struct os_ops quick;

	quick = os_real;
	quick.fsync = quick.fdatasync = test_no_sync;
	os = &quick;
}

static inline uint64_t test_value(uint32_t node, uint64_t seq, size_t series)
{
	return series == 0 ? 42 : seq * (series + 3) + node + (seq % 3 ? 0 : series);
}

static inline int64_t test_time(uint64_t seq)
{
	return (int64_t)seq * TEST_SECOND;
}

struct test_sender {
	uint32_t node;
	struct stream_writer *w;
	struct group group;
	uint64_t seq; /* of its last snapshot */
	uint64_t base; /* of the samples before this incarnation */
	struct buf records; /* all that were ever made */
	size_t last; /* where those of the last snapshot begin */
};

/* base samples were made by incarnations before this one. */
static inline void test_sender_start_at(
	struct test_sender *s, uint32_t node, uint64_t incarnation, uint64_t base)
{
	struct incarnation inc = {.id = incarnation, .start_ns = 1, .boot_id = {7}};

	*s = (struct test_sender){.node = node, .base = base, .w = stream_writer_new(&inc)};
	s->group.schema.group = strdup("g");
	s->group.schema.start_ns = 1;
	s->group.values = calloc(TEST_WIDTH, sizeof(uint64_t));
	for (size_t i = 0; i < TEST_WIDTH; i++) {
		char name[16];
		struct series x = {.name = name, .type = METRIC_GAUGE, .kind = VALUE_U64};

		snprintf(name, sizeof(name), "m%zu", i);
		TEST_MUST(schema_add(&s->group.schema, &x) == 0);
	}
	s->group.version = 1;
}

static inline void test_sender_start(struct test_sender *s, uint32_t node)
{
	test_sender_start_at(s, node, 1000 + node, 0);
}

static inline void test_sender_stop(struct test_sender *s)
{
	stream_writer_free(s->w);
	group_release(&s->group);
	buf_release(&s->records);
}

/* Makes the next snapshot. */
static inline void test_sender_poll(struct test_sender *s)
{
	struct group_due due = {.group = &s->group};
	uint64_t seq = s->seq + 1, number = s->base + seq;

	for (size_t i = 0; i < TEST_WIDTH; i++)
		s->group.values[i] = test_value(s->node, number, i);
	s->last = s->records.len;
	TEST_MUST(stream_writer_snapshot(s->w, test_time(number), (uint64_t)test_time(number), &due,
			  1, &s->records, &s->seq) == 0);
	TEST_MUST(s->seq == seq);
}

static inline int test_node(struct store *st, uint32_t node, uint32_t *ret)
{
	uint8_t id[32] = {(uint8_t)(node + 1)};
	char name[16];

	snprintf(name, sizeof(name), "node%u", node);
	return store_node(st, id, name, ret);
}

/* Appends records from `from` on. The first error ends it. */
static inline int test_append(struct store *st, struct test_sender *s, size_t from)
{
	struct recscan scan = {.data = s->records.data, .len = s->records.len, .pos = from};
	struct snapshot_view view;
	struct record rec;
	uint32_t node;
	int result = test_node(st, s->node, &node);

	while (result >= 0 && recscan_next(&scan, &rec) == 1)
		result = store_append(st, node, &rec, &view);
	return result < 0 ? result : 0;
}

/* --- what is there -------------------------------------------------------------------------- */

struct test_found {
	uint32_t node;
	size_t series;
	uint64_t first, last, n; /* numbers of samples */
	bool wrong; /* a value or an order that was never written */
};

static inline int test_found_sample(void *arg, const struct series *def, const struct sample *s)
{
	struct test_found *f = arg;
	uint64_t seq = (uint64_t)(s->realtime_ns / TEST_SECOND);

	f->first = f->n ? f->first : seq;
	f->wrong |= seq <= f->last || s->value != test_value(f->node, seq, f->series) ||
		    s->realtime_ns != test_time(seq);
	f->last = seq;
	f->n++;
	return 0;
}

/*
 * Reads every series of a directory; found[node] is what all its series have in common (first, last and
 * number of samples). Returns what the worst history_read() did.
 */
static inline int test_read(const char *dir, struct test_found found[TEST_NODES])
{
	struct history *h;
	struct errmsg e;
	int worst = 0, err = history_open(dir, &h, &e);

	memset(found, 0, TEST_NODES * sizeof(*found));
	if (err)
		return err;
	for (size_t i = 0; i < history_series_count(h); i++) {
		const struct history_series *hs = history_series(h, i);
		struct test_found f = {
			.node = history_node(h, hs->node)->id[0] - 1u,
			.series = (size_t)atoi(hs->def->name + 1),
		};
		struct test_found *all;

		TEST_MUST(f.node < TEST_NODES && f.series < TEST_WIDTH);
		all = &found[f.node];
		err = history_read(h, hs->id, INT64_MIN, INT64_MAX, test_found_sample, &f);
		worst = err ? err : worst;
		all->wrong |= f.wrong;
		if (f.series > 0 && (f.first != all->first || f.last != all->last || f.n != all->n))
			all->wrong |= worst == 0;
		if (f.series == 0 || f.n < all->n) {
			all->first = f.first;
			all->last = f.last;
			all->n = f.n;
		}
	}
	history_close(h);
	return worst;
}

#endif
