/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Damaged and invented records against everything that reads them: the scanner, the stream, and a
 * store of one node. Nothing may crash, and after a refusal the stream must still take the good
 * record. Runs for FUZZ_SECONDS (default 3).
 */
#include <criterion/criterion.h>

#include "tests/lib/testgroups.h"
#include "tests/lib/teststore.h"
#include "user/lib/util.h"

struct corpus {
	struct buf records;
	struct stream_writer *w;
	struct group groups[3];
};

static void make_corpus(struct corpus *c)
{
	struct incarnation inc = {.id = test_rand() | 1, .start_ns = 1};
	struct group_due due[3];
	uint64_t seq;

	c->w = stream_writer_new(&inc);
	for (int round = 0; round < 30; round++) {
		for (size_t i = 0; i < 3; i++) {
			char name[16];

			snprintf(name, sizeof(name), "g%zu", i);
			if (round == 0 || test_rand_below(20) == 0)
				test_group_reshape(&c->groups[i], name, 1);
			test_group_step(&c->groups[i]);
			due[i] = (struct group_due){&c->groups[i], 1000, 1000};
		}
		cr_assert_eq(stream_writer_snapshot(
				     c->w, round, (uint64_t)round, due, 3, &c->records, &seq),
			0);
	}
	cr_assert_eq(stream_writer_put_state(c->w, &c->records), 0);
}

static void free_corpus(struct corpus *c)
{
	stream_writer_free(c->w);
	for (size_t i = 0; i < 3; i++)
		group_release(&c->groups[i]);
	buf_release(&c->records);
	*c = (struct corpus){0};
}

static void mutate(uint8_t *p, size_t *len)
{
	static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff};
	uint64_t times = 1 + test_rand_below(4);

	for (uint64_t i = 0; i<times && * len> 0; i++) {
		size_t at = test_rand_below(*len), n = test_rand_below(*len - at) % 16;

		switch (test_rand_below(5)) {
		case 0:
			p[at] ^= (uint8_t)(1u << test_rand_below(8));
			break;
		case 1:
			p[at] = edges[test_rand_below(sizeof(edges))];
			break;
		case 2:
			*len = at;
			break;
		case 3: /* a piece is gone */
			memmove(p + at, p + at + n, *len - at - n);
			*len -= n;
			break;
		default: /* a piece comes from elsewhere */
			memmove(p + at, p + test_rand_below(*len - n), n);
		}
	}
}

/* Mutated payloads under valid checksums, as a hostile node would send them. */
static void fuzz_stream(const struct corpus *c, struct store *st)
{
	struct recscan scan = {.data = c->records.data, .len = c->records.len};
	struct stream *s = stream_new();
	struct snapshot_view view;
	struct record rec, bad;
	uint32_t node;

	cr_assert_eq(test_node(st, 0, &node), 0);
	while (recscan_next(&scan, &rec) == 1) {
		uint8_t *copy = malloc(rec.len + 1);

		memcpy(copy, rec.payload, rec.len);
		bad = rec;
		bad.payload = copy;
		if (test_rand_below(4) == 0)
			bad.type = (uint8_t)test_rand_below(7);
		mutate(copy, &bad.len);
		if (test_rand_below(8) == 0)
			stream_lost(s);
		stream_apply(s, bad.type, bad.payload, bad.len, &view);
		store_append(st, node, &bad, &view);
		stream_apply(s, rec.type, rec.payload, rec.len, &view);
		if (rec.type != RECORD_SNAPSHOT || test_rand_below(4))
			store_append(st, node, &rec, &view);
		free(copy);
	}
	stream_free(s);
}

/* A damaged file. */
static void fuzz_scan(const struct corpus *c)
{
	size_t len = c->records.len, steps = 0;
	uint8_t *copy = malloc(len);
	struct recscan scan;
	struct record rec;

	memcpy(copy, c->records.data, len);
	mutate(copy, &len);
	scan = (struct recscan){.data = copy, .len = len};
	while (recscan_next(&scan, &rec) != 0) {
		cr_assert_leq(scan.pos, len);
		cr_assert_lt(++steps, 10000);
	}
	free(copy);
}

static void damage_found(void *arg, const char *file, uint64_t offset, const char *what)
{
	cr_assert_fail("%s: %llu: %s", file, (unsigned long long)offset, what);
}

static int count_sample(void *arg, const struct series *def, const struct sample *s)
{
	(void)def;
	(void)s;
	++*(uint64_t *)arg;
	return 0;
}

/* Whatever was taken in can be read. */
static uint64_t read_all(const char *dir)
{
	struct history *h;
	struct errmsg e;
	uint64_t n = 0;

	cr_assert_eq(history_open(dir, &h, &e), 0, "%s", e.text);
	for (size_t i = 0; i < history_series_count(h); i++)
		cr_assert_eq(history_read(h, history_series(h, i)->id, INT64_MIN, INT64_MAX,
				     count_sample, &n),
			0);
	history_close(h);
	return n;
}

Test(stream_fuzz, nothing_crashes)
{
	const char *seconds = getenv("FUZZ_SECONDS");
	uint64_t end =
		clock_monotonic_ns() + (seconds ? strtoull(seconds, NULL, 10) : 3) * NSEC_PER_SEC;
	uint64_t rounds = 0;
	struct corpus c = {0};
	struct store *st;
	struct errmsg e;
	char dir[PATH_MAX];

	test_rand_init();
	test_without_syncs();
	test_dir_make(dir, "stream-fuzz");
	cr_assert_eq(store_open(dir, NULL, &st, &e), 0, "%s", e.text);
	for (; clock_monotonic_ns() < end; rounds++) {
		make_corpus(&c);
		fuzz_stream(&c, st);
		for (int i = 0; i < 10; i++)
			fuzz_scan(&c);
		free_corpus(&c);
		if (rounds % 20 == 19) {
			cr_assert_eq(store_seal(st, &e), 0, "%s", e.text);
			cr_assert_eq(history_check(dir, damage_found, NULL, &e), 0);
		}
	}
	cr_assert_eq(store_close(st), 0);
	printf("%llu rounds, %llu samples taken in\n", (unsigned long long)rounds,
		(unsigned long long)read_all(dir));
	test_dir_remove(dir);
}
