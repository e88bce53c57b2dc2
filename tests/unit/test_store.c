/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The writer's promises one by one; tests/model and tests/fault drive it at random. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#include "tests/lib/teststore.h"
#include "user/lib/util.h"

static char dir[PATH_MAX];

static struct store *open_in(const struct store_options *opt)
{
	struct store *st;
	struct errmsg e;

	cr_assert_eq(store_open(dir, opt, &st, &e), 0, "%s", e.text);
	return st;
}

static void setup(void)
{
	test_without_syncs();
	test_dir_make(dir, "store");
}

static void teardown(void)
{
	test_dir_remove(dir);
}

TestSuite(store, .init = setup, .fini = teardown);

static void path_of(const char *name, char *path)
{
	snprintf(path, PATH_MAX, "%.3000s/%s", dir, name);
}

static bool exists(const char *name)
{
	char path[PATH_MAX];

	path_of(name, path);
	return access(path, F_OK) == 0;
}

static void poll_and_append(struct store *st, struct test_sender *s, unsigned int times)
{
	for (unsigned int i = 0; i < times; i++) {
		test_sender_poll(s);
		cr_assert_eq(test_append(st, s, s->last), 0);
	}
}

static uint64_t samples_there(uint32_t node)
{
	struct test_found found[TEST_NODES];

	cr_assert_eq(test_read(dir, found), 0);
	cr_assert(!found[node].wrong);
	return found[node].n;
}

static void seal(struct store *st)
{
	struct errmsg e;

	cr_assert_eq(store_seal(st, &e), 0, "%s", e.text);
}

Test(store, one_writer_at_a_time)
{
	struct store *st = open_in(NULL), *second;
	struct errmsg e;

	cr_assert_eq(store_open(dir, NULL, &second, &e), -EBUSY);
	cr_assert_eq(store_close(st), 0);
	cr_assert_eq(store_close(open_in(NULL)), 0);
}

Test(store, durable_follows_sync)
{
	struct store *st = open_in(NULL);
	uint64_t incarnation, seq;
	struct test_sender s;

	test_sender_start(&s, 0);
	poll_and_append(st, &s, 3);
	store_last(st, 0, &incarnation, &seq);
	cr_assert(incarnation == 1000 && seq == 3);
	store_durable(st, 0, &incarnation, &seq);
	cr_assert(incarnation == 0 && seq == 0);
	cr_assert_eq(store_sync(st), 0);
	store_durable(st, 0, &incarnation, &seq);
	cr_assert(incarnation == 1000 && seq == 3);
	cr_assert_eq(store_close(st), 0);
	st = open_in(NULL);
	store_durable(st, 0, &incarnation, &seq);
	cr_assert(incarnation == 1000 && seq == 3);
	cr_assert_eq(store_close(st), 0);
	test_sender_stop(&s);
}

/* Everything that was ever sent comes again, at each stage of a snapshot's life. */
Test(store, nothing_is_stored_twice)
{
	struct test_sender old, s;
	struct store *st = open_in(NULL);
	struct store_stats stats;

	test_sender_start_at(&old, 0, 5, 0);
	test_sender_start_at(&s, 0, 6, 4);
	poll_and_append(st, &old, 4);
	poll_and_append(st, &s, 4);
	for (int stage = 0; stage < 4; stage++) {
		cr_assert_eq(test_append(st, &old, 0), 0);
		cr_assert_eq(test_append(st, &s, 0), 0);
		store_stats(st, &stats);
		cr_assert_eq(stats.snapshots, stage < 2 ? 8 : stage < 3 ? 0 : 1);
		cr_assert_geq(stats.duplicates, 8);
		if (stage == 0) {
			seal(st);
		} else if (stage == 1) {
			cr_assert_eq(store_close(st), 0);
			st = open_in(NULL);
		} else if (stage == 2) {
			poll_and_append(st, &s, 1);
			seal(st);
		}
	}
	cr_assert_eq(store_close(st), 0);
	cr_assert_eq(samples_there(0), 9);
	test_sender_stop(&old);
	test_sender_stop(&s);
}

Test(store, refused_records_store_nothing)
{
	struct store *st = open_in(NULL);
	struct record rec = {.type = RECORD_SNAPSHOT, .payload = (uint8_t *)"\1\2", .len = 2};
	struct store_stats before, after;
	struct snapshot_view view;
	struct test_sender s;

	test_sender_start(&s, 0);
	poll_and_append(st, &s, 2);
	cr_assert_eq(store_sync(st), 0);
	store_stats(st, &before);
	cr_assert_eq(store_append(st, 0, &rec, &view), -EBADMSG);
	rec.type = RECORD_NODE;
	cr_assert_eq(store_append(st, 0, &rec, &view), -EPROTO);
	rec.type = RECORD_STATE;
	cr_assert_eq(store_append(st, 0, &rec, &view), -EPROTO);
	rec.len = RECORD_PAYLOAD_MAX + 1ul;
	cr_assert_eq(store_append(st, 0, &rec, &view), -E2BIG);
	cr_assert_eq(store_sync(st), 0);
	store_stats(st, &after);
	cr_assert_eq(before.head_bytes, after.head_bytes);
	cr_assert_eq(after.refused, 3);
	cr_assert_eq(store_close(st), 0);
	test_sender_stop(&s);
}

Test(store, names_are_checked_and_may_change)
{
	struct store *st = open_in(NULL);
	uint8_t id[32] = {9};
	struct history *h;
	struct errmsg e;
	char name[300];
	uint32_t node;

	memset(name, 'x', sizeof(name));
	name[256] = '\0';
	cr_assert_eq(store_node(st, id, name, &node), -E2BIG);
	cr_assert_eq(store_node(st, id, "a\x1b[31m", &node), -EPROTO);
	cr_assert_eq(store_node(st, id, "first", &node), 0);
	cr_assert_eq(store_node(st, id, "second", &node), 0);
	cr_assert_eq(node, 0);
	cr_assert_eq(store_close(st), 0);
	st = open_in(NULL);
	cr_assert_eq(history_open(dir, &h, &e), 0, "%s", e.text);
	cr_assert_eq(history_nodes(h), 1);
	cr_assert_str_eq(history_node(h, 0)->name, "second");
	history_close(h);
	cr_assert_eq(store_close(st), 0);
}

Test(store, a_seal_is_due_by_size_and_by_age)
{
	struct store_options opt = {.head_bytes = 2000, .head_age_ns = 10 * NSEC_PER_SEC};
	struct store *st = open_in(&opt);
	uint64_t now = clock_monotonic_ns();
	struct test_sender s;

	test_sender_start(&s, 0);
	cr_assert(!store_seal_due(st, now + 11 * NSEC_PER_SEC), "nothing is there to seal");
	poll_and_append(st, &s, 1);
	cr_assert_eq(store_sync(st), 0);
	cr_assert(!store_seal_due(st, now));
	cr_assert(store_seal_due(st, now + 11 * NSEC_PER_SEC));
	poll_and_append(st, &s, 100);
	cr_assert_eq(store_sync(st), 0);
	cr_assert(store_seal_due(st, now));
	seal(st);
	cr_assert(!store_seal_due(st, now));
	cr_assert(exists("00000001.tly") && !exists("head-00000001.rec"));
	cr_assert_eq(store_close(st), 0);
	cr_assert_eq(samples_there(0), 101);
	test_sender_stop(&s);
}

/* --- what a crash leaves -------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to)
{
	char a[PATH_MAX], b[PATH_MAX], command[2 * PATH_MAX + 16];

	path_of(from, a);
	path_of(to, b);
	snprintf(command, sizeof(command), "cp '%s' '%s'", a, b);
	cr_assert_eq(system(command), 0);
}

static void damage_file(const char *name, off_t at)
{
	char path[PATH_MAX];
	int fd;

	path_of(name, path);
	fd = open(path, O_RDWR);
	cr_assert(fd >= 0 && pwrite(fd, "\xff\xff\xff\xff", 4, at) == 4);
	close(fd);
}

static void make_double(bool damaged)
{
	struct store *st = open_in(NULL);
	struct test_sender s;

	test_sender_start(&s, 0);
	poll_and_append(st, &s, 5);
	cr_assert_eq(store_sync(st), 0);
	copy_file("head-00000001.rec", "saved");
	seal(st);
	poll_and_append(st, &s, 2);
	cr_assert_eq(store_close(st), 0);
	copy_file("saved", "head-00000001.rec");
	if (damaged)
		damage_file("00000001.tly", 60);
	st = open_in(NULL);
	cr_assert_eq(exists("head-00000001.rec"), damaged);
	cr_assert_eq(exists("00000001.tly"), !damaged);
	cr_assert_eq(exists("bad/00000001.tly"), damaged);
	cr_assert_eq(samples_there(0), 7);
	seal(st);
	cr_assert(exists("00000001.tly") && !exists("head-00000001.rec"));
	cr_assert_eq(test_append(st, &s, 0), 0);
	cr_assert_eq(store_close(st), 0);
	cr_assert_eq(samples_there(0), 7);
	test_sender_stop(&s);
}

Test(store, of_head_and_sealed_file_the_sealed_one_counts)
{
	make_double(false);
}

Test(store, a_damaged_sealed_file_gives_way_to_its_head)
{
	make_double(true);
}

Test(store, unfinished_files_go_and_strangers_stay)
{
	struct store *st = open_in(NULL);

	cr_assert_eq(store_close(st), 0);
	copy_file("lock", "00000009.tly.tmp");
	copy_file("lock", "head-00000009.rec.tmp");
	copy_file("lock", "notes.txt");
	copy_file("lock", "9.tly");
	cr_assert_eq(store_close(open_in(NULL)), 0);
	cr_assert(!exists("00000009.tly.tmp") && !exists("head-00000009.rec.tmp"));
	cr_assert(exists("notes.txt") && exists("9.tly"));
}

Test(store, without_heads_old_incarnations_are_still_known)
{
	struct test_sender old, s;
	struct store *st = open_in(NULL);
	char path[PATH_MAX];

	test_sender_start_at(&old, 0, 5, 0);
	test_sender_start_at(&s, 0, 6, 4);
	poll_and_append(st, &old, 4);
	poll_and_append(st, &s, 4);
	seal(st);
	cr_assert_eq(store_close(st), 0);
	path_of("head-00000002.rec", path);
	cr_assert_eq(unlink(path), 0);
	st = open_in(NULL);
	cr_assert_eq(test_append(st, &old, 0), 0);
	cr_assert_eq(test_append(st, &s, 0), 0); /* it may still be going on: taken in again */
	poll_and_append(st, &s, 2);
	cr_assert_eq(store_close(st), 0);
	cr_assert_eq(samples_there(0), 10);
	test_sender_stop(&old);
	test_sender_stop(&s);
}

Test(store, damage_in_the_middle_costs_what_it_hits)
{
	struct test_sender s[TEST_NODES];
	struct test_found found[TEST_NODES];
	struct store *st = open_in(NULL);
	struct store_stats stats;

	for (uint32_t i = 0; i < TEST_NODES; i++) {
		test_sender_start(&s[i], i);
		poll_and_append(st, &s[i], 10);
	}
	cr_assert_eq(store_sync(st), 0);
	store_stats(st, &stats);
	for (uint32_t i = 0; i < TEST_NODES; i++)
		poll_and_append(st, &s[i], 10);
	cr_assert_eq(store_close(st), 0);
	/* The first of node 0's second ten. */
	damage_file("head-00000001.rec", (off_t)stats.head_bytes + 20);
	st = open_in(NULL);
	store_stats(st, &stats);
	cr_assert_gt(stats.damage_bytes, 0);
	cr_assert(exists("bad") && exists("head-00000002.rec"));
	for (uint32_t i = 0; i < TEST_NODES; i++)
		poll_and_append(st, &s[i], 150); /* key rows come within 128 */
	seal(st);
	cr_assert_eq(store_close(st), 0);
	cr_assert_eq(test_read(dir, found), 0);
	cr_assert(!found[0].wrong && !found[1].wrong);
	cr_assert_eq(found[1].n, 170, "the other node lost nothing");
	cr_assert_eq(found[0].last, 170);
	cr_assert(found[0].n >= 10 + 170 - 129 && found[0].n < 170);
	for (uint32_t i = 0; i < TEST_NODES; i++)
		test_sender_stop(&s[i]);
}

/* --- a disk that is full ---------------------------------------------------------------------- */

static uint64_t full_writes;

static ssize_t full_write(int fd, const void *p, size_t n)
{
	full_writes++;
	return -ENOSPC;
}

Test(store, a_full_disk_bounds_memory_and_then_heals)
{
	struct os_ops full = os_real;
	struct store *st = open_in(NULL);
	const struct os_ops *before = os;
	struct test_sender s;
	uint64_t refused_at = 0, incarnation, seq;

	full.write = full_write;
	test_sender_start(&s, 0);
	os = &full;
	while (!refused_at) {
		buf_reset(&s.records);
		test_sender_poll(&s);
		if (test_append(st, &s, 0) == -ENOSPC)
			refused_at = s.seq;
		cr_assert_lt(s.seq, 5000000);
	}
	cr_assert_eq(store_sync(st), -ENOSPC);
	cr_assert_leq(full_writes, 3, "no try at each append");
	store_durable(st, 0, &incarnation, &seq);
	cr_assert_eq(seq, 0);
	os = before;
	cr_assert_eq(store_sync(st), 0);
	store_durable(st, 0, &incarnation, &seq);
	cr_assert_eq(seq, refused_at - 1);
	cr_assert_eq(test_append(st, &s, 0), 0, "what was refused comes again");
	cr_assert_eq(store_close(st), 0);
	cr_assert_eq(samples_there(0), refused_at);
	printf("refused at snapshot %llu\n", (unsigned long long)refused_at);
	test_sender_stop(&s);
}

/* --- threads -------------------------------------------------------------------------------- */

struct threads {
	struct store *store;
	volatile bool stop;
	uint64_t syncs, seals;
};

static void *sync_often(void *arg)
{
	struct threads *t = arg;

	for (; !t->stop; t->syncs++) {
		TEST_MUST(store_sync(t->store) == 0);
		usleep(50);
	}
	return NULL;
}

static void *seal_often(void *arg)
{
	struct threads *t = arg;
	struct errmsg e;

	for (; !t->stop; t->seals++) {
		TEST_MUST(store_seal(t->store, &e) == 0);
		usleep(1000);
	}
	return NULL;
}

Test(store, append_sync_and_seal_may_run_at_once)
{
	struct threads t = {.store = open_in(NULL)};
	struct test_sender s[TEST_NODES];
	struct test_found found[TEST_NODES];
	pthread_t syncer, sealer;

	for (uint32_t i = 0; i < TEST_NODES; i++)
		test_sender_start(&s[i], i);
	cr_assert_eq(pthread_create(&syncer, NULL, sync_often, &t), 0);
	cr_assert_eq(pthread_create(&sealer, NULL, seal_often, &t), 0);
	for (int i = 0; i < 5000; i++)
		for (uint32_t k = 0; k < TEST_NODES; k++)
			poll_and_append(t.store, &s[k], 1);
	t.stop = true;
	pthread_join(syncer, NULL);
	pthread_join(sealer, NULL);
	cr_assert_eq(store_close(t.store), 0);
	cr_assert_eq(test_read(dir, found), 0);
	for (uint32_t i = 0; i < TEST_NODES; i++) {
		cr_assert(!found[i].wrong && found[i].n == 5000 && found[i].last == 5000);
		test_sender_stop(&s[i]);
	}
	printf("%llu syncs, %llu seals\n", (unsigned long long)t.syncs,
		(unsigned long long)t.seals);
}

/* --- when the system says no ---------------------------------------------------------------- */

static struct os_ops denying;
static const char *denied; /* a name that can't be opened */
static int denied_err;
static bool deny_new; /* no file can be made */

static int denying_open(int dirfd, const char *name, int flags, mode_t mode)
{
	if (deny_new && (flags & O_CREAT) && strstr(name, ".tmp"))
		return -ENOSPC;
	if (denied && !strcmp(name, denied))
		return denied_err;
	return os_real.open(dirfd, name, flags, mode);
}

static void deny(const char *name, int err)
{
	denying = os_real;
	denying.open = denying_open;
	denying.fsync = denying.fdatasync = test_no_sync;
	denied = name;
	denied_err = err;
	os = &denying;
}

static unsigned int count_heads(void)
{
	unsigned int n = 0;

	for (unsigned int i = 1; i < 100; i++) {
		char name[40];

		snprintf(name, sizeof(name), "head-%08u.rec", i);
		n += exists(name);
	}
	return n;
}

Test(store, a_head_that_cannot_be_read_costs_only_itself)
{
	struct store *st = open_in(NULL);
	struct test_sender s;
	struct errmsg e;

	test_sender_start(&s, 0);
	poll_and_append(st, &s, 3);
	cr_assert_eq(store_close(st), 0);
	deny("head-00000001.rec", -EIO);
	st = open_in(NULL);
	test_append(st, &s, 0); /* as its provider would, whose ring still has them */
	for (int i = 0; i < 4; i++) {
		poll_and_append(st, &s, 1);
		cr_assert_eq(store_sync(st), 0);
		cr_expect_lt(store_seal(st, &e), 0);
	}
	cr_expect_leq(count_heads(), 2, "%u heads", count_heads());
	denied = NULL;
	cr_assert_eq(store_seal(st, &e), 0, "%s", e.text);
	cr_expect(!exists("head-00000001.rec"), "sealed now");
	cr_assert_eq(store_close(st), 0);
	cr_expect_eq(samples_there(0), 7);
	test_sender_stop(&s);
}

Test(store, opens_on_a_full_disk_and_writes_when_there_is_room)
{
	struct test_sender s;
	struct store *st;

	deny(NULL, 0);
	deny_new = true;
	st = open_in(NULL);
	test_sender_start(&s, 0);
	poll_and_append(st, &s, 3);
	cr_expect_eq(store_sync(st), -ENOSPC);
	cr_expect_eq(count_heads(), 0);
	deny_new = false;
	poll_and_append(st, &s, 1);
	cr_assert_eq(store_sync(st), 0);
	cr_assert_eq(store_close(st), 0);
	cr_expect_eq(samples_there(0), 4);
	test_sender_stop(&s);
}
