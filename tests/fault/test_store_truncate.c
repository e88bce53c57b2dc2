/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A head that was cut at every byte in turn: it opens, keeps everything before the record that was
 * cut, and takes in the rest again.
 */
#include <criterion/criterion.h>
#include <fcntl.h>

#include "tests/lib/teststore.h"

#define POLLS 8u
#define HEAD  "head-00000001.rec"

struct cut {
	char dir[PATH_MAX], path[PATH_MAX + 32];
	struct test_sender senders[TEST_NODES];
	struct buf whole;
	size_t ends[TEST_NODES][POLLS + 1]; /* of the record of each snapshot, in the head */
};

static void read_whole(struct cut *c)
{
	FILE *f = fopen(c->path, "r");
	uint8_t *p = buf_reserve(&c->whole, 1 << 20);

	cr_assert(f && p);
	c->whole.len = fread(p, 1, 1 << 20, f);
	fclose(f);
}

static void find_ends(struct cut *c)
{
	struct recscan scan = {
		.data = c->whole.data,
		.len = c->whole.len,
		.pos = RECFILE_HEADER,
		.salt = recfile_salt(c->whole.data, c->whole.len),
	};
	uint64_t seq[TEST_NODES] = {0};
	struct record rec;

	while (recscan_next(&scan, &rec) == 1)
		if (rec.type == RECORD_SNAPSHOT)
			c->ends[rec.stream][++seq[rec.stream]] = scan.pos;
	cr_assert_eq(seq[0], POLLS);
	cr_assert_eq(seq[1], POLLS);
}

static void make_head(struct cut *c)
{
	struct store *st;
	struct errmsg e;

	test_dir_make(c->dir, "store-truncate");
	snprintf(c->path, sizeof(c->path), "%s/" HEAD, c->dir);
	cr_assert_eq(store_open(c->dir, NULL, &st, &e), 0, "%s", e.text);
	for (uint32_t i = 0; i < TEST_NODES; i++)
		test_sender_start(&c->senders[i], i);
	for (unsigned int i = 0; i < POLLS; i++)
		for (uint32_t k = 0; k < TEST_NODES; k++) {
			test_sender_poll(&c->senders[k]);
			cr_assert_eq(test_append(st, &c->senders[k], c->senders[k].last), 0);
		}
	cr_assert_eq(store_close(st), 0);
	read_whole(c);
	find_ends(c);
}

static void put_back(const struct cut *c, size_t len)
{
	FILE *f;

	test_dir_remove(c->dir);
	cr_assert_eq(mkdir(c->dir, 0755), 0);
	f = fopen(c->path, "w");
	cr_assert(f && fwrite(c->whole.data, 1, len, f) == len);
	cr_assert_eq(fclose(f), 0);
}

static void assert_before_cut(const struct cut *c, size_t len, const char *when)
{
	struct test_found found[TEST_NODES];

	cr_assert_eq(test_read(c->dir, found), 0, "%s cut at %zu", when, len);
	for (uint32_t i = 0; i < TEST_NODES; i++) {
		uint64_t left = 0;

		while (left < POLLS && c->ends[i][left + 1] <= len)
			left++;
		cr_assert(!found[i].wrong);
		cr_assert_eq(found[i].n, left, "%s cut at %zu: %llu of %llu", when, len,
			(unsigned long long)found[i].n, (unsigned long long)left);
	}
}

static void try_cut(struct cut *c, size_t len)
{
	struct test_found found[TEST_NODES];
	struct store *st;
	struct errmsg e;

	put_back(c, len);
	assert_before_cut(c, len, "reading beside no writer,");
	cr_assert_eq(store_open(c->dir, NULL, &st, &e), 0, "cut at %zu: %s", len, e.text);
	assert_before_cut(c, len, "opened,");
	for (uint32_t i = 0; i < TEST_NODES; i++)
		cr_assert_eq(test_append(st, &c->senders[i], 0), 0, "cut at %zu", len);
	cr_assert_eq(store_close(st), 0);
	cr_assert_eq(test_read(c->dir, found), 0);
	for (uint32_t i = 0; i < TEST_NODES; i++)
		cr_assert(!found[i].wrong && found[i].n == POLLS, "cut at %zu", len);
}

Test(store_truncate, every_byte)
{
	struct cut c = {0};

	test_without_syncs();
	make_head(&c);
	for (size_t len = 0; len <= c.whole.len; len++)
		try_cut(&c, len);
	printf("%zu cuts\n", c.whole.len + 1);
	for (uint32_t i = 0; i < TEST_NODES; i++)
		test_sender_stop(&c.senders[i]);
	buf_release(&c.whole);
	test_dir_remove(c.dir);
}
