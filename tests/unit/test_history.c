/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reader, apart from the samples themselves, which tests/model compares. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "tests/lib/teststore.h"
#include "user/lib/sharedtext.h"
#include "user/lib/util.h"

static char dir[PATH_MAX];

static void setup(void)
{
	test_without_syncs();
	test_dir_make(dir, "history");
}

static void teardown(void)
{
	test_dir_remove(dir);
}

TestSuite(history, .init = setup, .fini = teardown);

static struct store *open_store(void)
{
	struct store *st;
	struct errmsg e;

	cr_assert_eq(store_open(dir, NULL, &st, &e), 0, "%s", e.text);
	return st;
}

static struct history *open_history(void)
{
	struct history *h;
	struct errmsg e;

	cr_assert_eq(history_open(dir, &h, &e), 0, "%s", e.text);
	return h;
}

static void poll_sync(struct store *st, struct test_sender *s, unsigned int times)
{
	for (unsigned int i = 0; i < times; i++) {
		test_sender_poll(s);
		cr_assert_eq(test_append(st, s, s->last), 0);
	}
	cr_assert_eq(store_sync(st), 0);
}

struct collected {
	size_t n, stop_at;
	int64_t first_ns, last_ns;
	uint32_t flags; /* of all of them */
	uint64_t gap_at;
};

static int collect(void *arg, const struct series *def, const struct sample *s)
{
	struct collected *c = arg;

	c->first_ns = c->n ? c->first_ns : s->realtime_ns;
	c->last_ns = s->realtime_ns;
	c->flags |= s->flags;
	if (s->flags & SAMPLE_GAP)
		c->gap_at = (uint64_t)(s->realtime_ns / TEST_SECOND);
	return ++c->n == c->stop_at ? 77 : 0;
}

static struct collected read_first(struct history *h, int64_t from_ns, int64_t to_ns, int expected)
{
	struct collected c = {0};

	cr_assert_eq(
		history_read(h, history_series(h, 0)->id, from_ns, to_ns, collect, &c), expected);
	return c;
}

Test(history, a_missing_directory_is_an_error)
{
	struct history *h;
	struct errmsg e;

	cr_assert_eq(history_open("/nonexistent/history", &h, &e), -ENOENT);
	cr_assert(strstr(e.text, "/nonexistent/history"));
}

Test(history, refreshing_follows_the_writer)
{
	struct store *st = open_store();
	struct history *h = open_history();
	struct test_sender s;
	struct errmsg e;

	cr_assert_eq(history_series_count(h), 0);
	test_sender_start(&s, 0);
	for (unsigned int round = 1; round <= 12; round++) {
		poll_sync(st, &s, 3);
		cr_assert_eq(history_refresh(h), 0);
		cr_assert_eq(history_series_count(h), TEST_WIDTH);
		cr_assert_eq(read_first(h, INT64_MIN, INT64_MAX, 0).n, 3 * round);
		cr_assert_eq(history_refresh(h), 0, "nothing new");
		cr_assert_eq(read_first(h, INT64_MIN, INT64_MAX, 0).n, 3 * round);
		if (round % 4 == 0)
			cr_assert_eq(store_seal(st, &e), 0);
	}
	cr_assert_eq(history_node(h, 0)->first_ns, test_time(1));
	cr_assert_eq(history_node(h, 0)->last_ns, test_time(36));
	history_close(h);
	cr_assert_eq(store_close(st), 0);
	test_sender_stop(&s);
}

Test(history, ranges_are_half_open_and_reading_may_stop)
{
	struct store *st = open_store();
	struct collected c = {.stop_at = 5};
	struct history *h;
	struct test_sender s;
	struct errmsg e;

	test_sender_start(&s, 0);
	poll_sync(st, &s, 20);
	cr_assert_eq(store_seal(st, &e), 0);
	poll_sync(st, &s, 20);
	h = open_history();
	cr_assert_eq(history_read(h, 0, INT64_MIN, INT64_MAX, collect, &c), 77);
	cr_assert_eq(c.n, 5);
	c = read_first(h, test_time(15), test_time(31), 0);
	cr_assert(c.n == 16 && c.first_ns == test_time(15) && c.last_ns == test_time(30));
	cr_assert_eq(c.flags, 0);
	cr_assert_eq(read_first(h, test_time(41), INT64_MAX, 0).n, 0);
	cr_assert_eq(read_first(h, INT64_MIN, test_time(1), 0).n, 0);
	cr_assert_eq(history_read(h, 999, INT64_MIN, INT64_MAX, collect, &c), -ENOENT);
	cr_assert_null(history_series(h, 999));
	history_close(h);
	cr_assert_eq(store_close(st), 0);
	test_sender_stop(&s);
}

Test(history, nodes_of_one_name_are_told_apart)
{
	uint8_t ids[3][32] = {{1}, {2}, {3}};
	struct store *st = open_store();
	struct history *h;
	uint32_t node;

	cr_assert_eq(store_node(st, ids[0], "web", &node), 0);
	cr_assert_eq(store_node(st, ids[1], "web", &node), 0);
	cr_assert_eq(store_node(st, ids[2], "", &node), 0);
	cr_assert_eq(store_close(st), 0);
	h = open_history();
	cr_assert_eq(history_nodes(h), 3);
	cr_assert_str_eq(history_node(h, 0)->name, "web");
	cr_assert_str_eq(history_node(h, 1)->name, "web-aiaaaaaa");
	cr_assert_str_eq(history_node(h, 2)->name, "-amaaaaaa");
	history_close(h);
}

static int sum_newest(void *arg, size_t node, const struct group_state *g)
{
	struct test_sender *s = arg;

	cr_assert_eq(node, 0);
	cr_assert_str_eq(g->schema->group, "g");
	cr_assert_eq(g->realtime_ns, test_time(s->seq));
	cr_assert_eq(g->values[1], test_value(0, s->seq, 1));
	return 5;
}

Test(history, the_newest_row_survives_a_seal)
{
	struct store *st = open_store();
	struct history_size size;
	struct history *h;
	struct test_sender s;
	struct errmsg e;

	test_sender_start(&s, 0);
	poll_sync(st, &s, 4);
	h = open_history();
	cr_assert_eq(history_newest(h, sum_newest, &s), 5);
	cr_assert_eq(store_seal(st, &e), 0);
	cr_assert_eq(history_refresh(h), 0);
	cr_assert_eq(history_newest(h, sum_newest, &s), 5);
	history_size(h, &size);
	cr_assert(size.files == 2 && size.samples == 4 * TEST_WIDTH && size.series == TEST_WIDTH);
	history_close(h);
	cr_assert_eq(store_close(st), 0);
	test_sender_stop(&s);
}

static void take_schema(struct store *st, struct test_sender *s, const char *help)
{
	text_free(s->group.schema.series[0].help);
	s->group.schema.series[0].help = text_dup(help);
	s->group.version++;
	poll_sync(st, s, 1);
}

Test(history, the_newest_definition_is_shown)
{
	struct store *st = open_store();
	struct history *h;
	struct test_sender s;
	struct errmsg e;

	test_sender_start(&s, 0);
	for (int i = 0; i < 4; i++) {
		take_schema(st, &s, i % 2 ? "new" : "old"); /* back to what it was, too */
		if (i == 2)
			cr_assert_eq(store_seal(st, &e), 0);
		h = open_history();
		cr_assert_eq(history_series_count(h), TEST_WIDTH);
		cr_assert_str_eq(history_series(h, 0)->def->help, i % 2 ? "new" : "old");
		cr_assert_eq(read_first(h, INT64_MIN, INT64_MAX, 0).n, (size_t)i + 1);
		history_close(h);
	}
	cr_assert_eq(store_close(st), 0);
	test_sender_stop(&s);
}

/* --- never writing -------------------------------------------------------------------------- */

static int refuse_write_open(int dirfd, const char *name, int flags, mode_t mode)
{
	TEST_MUST((flags & O_ACCMODE) == O_RDONLY && !(flags & (O_CREAT | O_TRUNC)));
	return os_real.open(dirfd, name, flags, mode);
}

static void no_damage(void *arg, const char *file, uint64_t offset, const char *what)
{
	cr_assert_fail("%s: %llu: %s", file, (unsigned long long)offset, what);
}

Test(history, reading_and_checking_never_write)
{
	/* Everything that is absent here would crash. */
	static const struct os_ops read_only = {
		.open = refuse_write_open, .pread = NULL, .close = NULL};
	struct os_ops only = read_only;
	struct store *st = open_store();
	struct history *h;
	struct test_sender s;
	struct errmsg e;

	test_sender_start(&s, 0);
	poll_sync(st, &s, 4);
	cr_assert_eq(store_seal(st, &e), 0);
	poll_sync(st, &s, 4);
	cr_assert_eq(store_close(st), 0);
	only.pread = os_real.pread;
	only.close = os_real.close;
	os = &only;
	h = open_history();
	cr_assert_eq(read_first(h, INT64_MIN, INT64_MAX, 0).n, 8);
	cr_assert_eq(history_refresh(h), 0);
	history_close(h);
	cr_assert_eq(history_check(dir, no_damage, NULL, &e), 0);
	test_sender_stop(&s);
}

/* --- what is missing ------------------------------------------------------------------------ */

static void make_three_files(void)
{
	struct store *st = open_store();
	struct test_sender s;
	struct errmsg e;

	test_sender_start(&s, 0);
	for (int i = 0; i < 3; i++) {
		poll_sync(st, &s, 10);
		cr_assert_eq(store_seal(st, &e), 0);
	}
	poll_sync(st, &s, 10);
	cr_assert_eq(store_close(st), 0);
	test_sender_stop(&s);
}

static void change_file(const char *name, bool remove_it)
{
	char path[PATH_MAX + 32];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (remove_it) {
		cr_assert_eq(unlink(path), 0);
		return;
	}
	fd = open(path, O_RDWR);
	cr_assert(fd >= 0 && pwrite(fd, "\xff\xff\xff", 3, 33) == 3);
	close(fd);
}

Test(history, a_missing_file_is_a_gap)
{
	struct history *h;
	struct collected c;

	make_three_files();
	h = open_history();
	cr_assert_eq(read_first(h, INT64_MIN, INT64_MAX, 0).flags, 0);
	change_file("00000002.tly", true);
	usleep(20000);
	cr_assert_eq(history_refresh(h), 0);
	for (int i = 0; i < 2; i++) {
		c = read_first(h, INT64_MIN, INT64_MAX, 0);
		cr_assert_eq(c.n, 30);
		cr_assert(c.flags == SAMPLE_GAP && c.gap_at == 21);
		history_close(h);
		h = open_history();
	}
	c = read_first(h, test_time(15), INT64_MAX, 0);
	cr_assert(c.n == 20 && c.flags == SAMPLE_GAP && c.gap_at == 21);
	history_close(h);
	change_file("00000003.tly", true); /* now the head follows the hole */
	h = open_history();
	c = read_first(h, INT64_MIN, INT64_MAX, 0);
	cr_assert(c.n == 20 && c.gap_at == 31);
	history_close(h);
}

Test(history, a_damaged_block_is_a_gap_and_an_error)
{
	struct history *h;
	struct collected c;

	make_three_files();
	change_file("00000002.tly", false);
	h = open_history();
	c = read_first(h, INT64_MIN, INT64_MAX, -EBADMSG);
	cr_assert(c.n == 30 && c.flags == SAMPLE_GAP && c.gap_at == 21);
	history_close(h);
}

/* A year of sealed files is more than a process may have open. */
Test(history, files_need_no_descriptor_each)
{
	const struct rlimit few = {.rlim_cur = 24, .rlim_max = 24};
	struct store *st = open_store();
	struct test_sender s;
	struct history *h;
	struct errmsg e;

	test_sender_start(&s, 0);
	for (int i = 0; i < 40; i++) {
		poll_sync(st, &s, 1);
		cr_assert_eq(store_seal(st, &e), 0, "%s", e.text);
	}
	cr_assert_eq(store_close(st), 0);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	h = open_history();
	cr_expect_eq(read_first(h, INT64_MIN, INT64_MAX, 0).n, 40);
	history_close(h);
	test_sender_stop(&s);
}
