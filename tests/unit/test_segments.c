/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The producer "segments" over segments written by hand: sums per program and user, gauges, death,
 * restarts of the provider at every stage, refusals.
 */
#include <criterion/criterion.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/lib/polling.h"
#include "tests/lib/segmaker.h"
#include "user/lib/buf.h"
#include "user/lib/stream.h"
#include "user/provider/programs.h"
#include "user/provider/segments.h"

#define PROGRAMS_LIMIT PROGRAMS_PER_USER_MAX

static char dir[64], segs[80], state[80];
static struct registry registry;
static struct stream_writer *writer;
static struct snapshot snap;
static struct provider_env env;

#define C TALLY_TYPE_COUNTER
#define G TALLY_TYPE_GAUGE
static const struct segmaker_metric two[] = {{"requests", C, 0}, {"depth", G, 0}};

static void start_provider(void)
{
	struct errmsg e = {""};

	registry = (struct registry){0};
	cr_assert_eq(registry_add(&registry, &producer_segments, &e), 0);
	cr_assert_eq(registry_open(&registry, &env), 1);
	writer = stream_writer_new(&(struct incarnation){.id = 1});
	cr_assert_not_null(writer);
}

/* As SIGKILL leaves it: locks and descriptors go, and nothing more is written. */
static void stop_provider(void)
{
	stream_writer_free(writer);
	registry_close(&registry);
}

/* What was written is what the next poll is compared with. */
static int poll_all(void)
{
	struct buf records = BUF_INIT;
	int err = polling_take(&registry.producers[0], &snap);
	uint64_t seq;

	if (!err)
		err = stream_writer_snapshot(writer, 1, 1, snap.due, snap.n, &records, &seq);
	buf_release(&records);
	return err;
}

/* Labels hold the user's name, groups his number. */
static const char *value(const char *metric, const char *program)
{
	const struct passwd *pw = getpwuid(getuid());
	char name[256];

	snprintf(name, sizeof(name), "%s{program=\"%s\",user=\"%s\"}", metric, program,
		pw ? pw->pw_name : "?");
	return polling_value(&snap, name);
}

static struct group *group(const char *program)
{
	char name[256];

	snprintf(name, sizeof(name), "app:%s:%u", program, (unsigned)getuid());
	return polling_group(&snap, name);
}

static uint64_t start_of(const char *program)
{
	cr_assert_not_null(group(program));
	return group(program)->schema.start_ns;
}

static void expect(const char *requests, const char *depth)
{
	cr_assert_eq(poll_all(), 0);
	cr_expect_str_eq(value("requests_total", "web"), requests);
	if (depth)
		cr_expect_str_eq(value("depth", "web"), depth);
}

static bool exists(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", segs, name);
	return access(path, F_OK) == 0;
}

static struct segments_stats stats(void)
{
	struct segments_stats st;

	segments_stats(&registry, &st);
	return st;
}

static void setup(void)
{
	strcpy(dir, "/tmp/tally-segments-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(segs, sizeof(segs), "%s/seg", dir);
	snprintf(state, sizeof(state), "%s/state", dir);
	cr_assert_eq(mkdir(segs, 0700) | mkdir(state, 0700), 0);
	env = (struct provider_env){
		.segment_dir = segs, .state_dir = state, .interval_ns = 1000000000, .boot_id = {1}};
	start_provider();
}

static void teardown(void)
{
	char cmd[128];

	stop_provider();
	snapshot_release(&snap);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	cr_assert_eq(system(cmd), 0);
}

TestSuite(segments, .init = setup, .fini = teardown);

Test(segments, sums_rows_and_processes)
{
	int a = segmaker_make(segs, "a", "web", two, 2), b;

	segmaker_set(a, 0, 0, 5);
	segmaker_set(a, 1, 0, 100);
	segmaker_set(a, 0, 1, 3);
	segmaker_set(a, 1, 1, 99); /* a gauge lives in row 0 alone */
	expect("105", "3");
	b = segmaker_make(segs, "b", "web", two, 2);
	segmaker_set(b, 1, 0, 1000);
	segmaker_set(b, 0, 1, (uint64_t)-10);
	expect("1105", "-7");
	segmaker_set(b, 1, 0, 1001);
	expect("1106", "-7");
	cr_expect_eq(stats().segments, 2);
	close(a);
	close(b);
}

Test(segments, programs_are_apart)
{
	int a = segmaker_make(segs, "a", "web", two, 2), b = segmaker_make(segs, "b", "db", two, 2);

	segmaker_set(a, 0, 0, 1);
	segmaker_set(b, 0, 0, 2);
	expect("1", NULL);
	cr_expect_str_eq(value("requests_total", "db"), "2");
	cr_expect_not_null(group("db"));
	close(a);
	close(b);
}

Test(segments, the_dead_leave_their_counts)
{
	int a = segmaker_make(segs, "a", "web", two, 2);
	uint64_t start;

	segmaker_set(a, 0, 0, 7);
	segmaker_set(a, 0, 1, 2);
	expect("7", "2");
	start = start_of("web");
	segmaker_set(a, 0, 0, 9); /* between the last poll and its death */
	close(a);
	expect("9", "0");
	cr_expect(!exists("a"));
	cr_expect_eq(stats().folded, 1);
	cr_expect_eq(stats().segments, 0);
	expect("9", "0");
	a = segmaker_make(segs, "a", "web", two, 2);
	segmaker_set(a, 0, 0, 1);
	expect("10", "0");
	cr_expect_eq(start_of("web"), start);
	close(a);
}

/* It came and went between two polls. */
Test(segments, short_lives)
{
	for (unsigned i = 0; i < 50; i++) {
		char name[16];
		int fd;

		snprintf(name, sizeof(name), "s%u", i);
		fd = segmaker_make(segs, name, "web", two, 2);
		segmaker_set(fd, 0, 0, i);
		close(fd);
	}
	expect("1225", "0");
	expect("1225", "0");
	cr_expect_eq(stats().folded, 50);
}

Test(segments, totals_survive_the_provider)
{
	int a = segmaker_make(segs, "a", "web", two, 2),
	    b = segmaker_make(segs, "b", "web", two, 2);
	uint64_t start;

	segmaker_set(a, 0, 0, 7);
	segmaker_set(b, 0, 0, 30);
	close(a);
	expect("37", NULL);
	start = start_of("web");
	for (int i = 0; i < 3; i++) {
		stop_provider();
		start_provider();
		expect("37", NULL);
	}
	cr_expect_eq(start_of("web"), start);
	stop_provider();
	close(b); /* while no provider runs */
	start_provider();
	expect("37", NULL);
	cr_expect(!exists("b"));
}

/* Another boot, or a lost journal: totals begin again, and say so. */
Test(segments, totals_that_are_lost_are_a_reset)
{
	int a = segmaker_make(segs, "a", "web", two, 2), b;
	char path[128];
	uint64_t start;

	segmaker_set(a, 0, 0, 7);
	close(a);
	expect("7", NULL);
	start = start_of("web");
	stop_provider();
	env.boot_id[0] = 2;
	start_provider();
	cr_assert_eq(poll_all(), 0);
	cr_expect_eq(snap.n, 0);
	b = segmaker_make(segs, "b", "web", two, 2);
	segmaker_set(b, 0, 0, 1);
	expect("1", NULL);
	cr_expect_gt(start_of("web"), start);
	start = start_of("web");
	stop_provider();
	snprintf(path, sizeof(path), "%s/fold.journal", state);
	cr_assert_eq(unlink(path), 0);
	start_provider();
	expect("1", NULL);
	cr_expect_gt(start_of("web"), start);
	close(b);
}

/*
 * The provider was killed between the fold and the unlink, and a new process took the dead file over
 * before the next provider came: what was folded must not count again.
 */
Test(segments, folded_and_taken_over)
{
	int a = segmaker_make(segs, "a", "web", two, 2);
	char keep[128], path[128];

	segmaker_set(a, 0, 0, 50);
	snprintf(path, sizeof(path), "%s/a", segs);
	snprintf(keep, sizeof(keep), "%s/keep", dir);
	cr_assert_eq(link(path, keep), 0);
	close(a);
	expect("50", NULL);
	stop_provider();
	cr_assert_eq(rename(keep, path), 0); /* the unlink never was */
	start_provider();
	expect("50", NULL);
	cr_expect(!exists("a"));
	stop_provider();
	a = segmaker_make(segs, "b", "web", two, 2);
	segmaker_set(a, 0, 0, 4);
	snprintf(path, sizeof(path), "%s/b", segs);
	cr_assert_eq(link(path, keep), 0);
	close(a);
	start_provider();
	expect("54", NULL);
	stop_provider();
	cr_assert_eq(rename(keep, path), 0);
	a = open(path, O_RDWR | O_CLOEXEC);
	cr_assert(segmaker_lock(a));
	segmaker_set(a, 0, 0, 6);
	start_provider();
	expect("56", NULL);
	segmaker_set(a, 0, 0, 7);
	expect("57", NULL);
	close(a);
	expect("57", NULL);
	cr_expect(!exists("b"));
	stop_provider();
	start_provider();
	expect("57", NULL);
}

Test(segments, one_name_in_several_places_is_summed)
{
	static const struct segmaker_metric twice[] = {{"requests", C, 0}, {"requests", C, 0}};
	int a = segmaker_make(segs, "a", "web", twice, 2),
	    b = segmaker_make(segs, "b", "web", two, 2);

	segmaker_set(a, 0, 0, 1);
	segmaker_set(a, 0, 1, 10);
	segmaker_set(b, 0, 0, 100);
	expect("111", NULL);
	close(a);
	close(b);
	expect("111", NULL);
	stop_provider();
	start_provider();
	expect("111", NULL);
}

Test(segments, conflicts_are_counted)
{
	static const struct segmaker_metric gauge[] = {{"requests", G, 0}};
	static const struct segmaker_metric scaled[] = {{"requests", C, -9}, {"other", C, 0}};
	int a = segmaker_make(segs, "a", "web", two, 2), b, c;

	segmaker_set(a, 0, 0, 1);
	expect("1", NULL);
	b = segmaker_make(segs, "b", "web", gauge, 1);
	segmaker_set(b, 0, 0, 50);
	c = segmaker_make(segs, "c", "web", scaled, 2);
	segmaker_set(c, 0, 0, 60);
	segmaker_set(c, 0, 1, 70);
	expect("1", NULL);
	cr_expect_str_eq(value("other_total", "web"), "70");
	cr_expect_eq(stats().conflicts, 2);
	close(a);
	close(b);
	close(c);
	expect("1", NULL);
	cr_expect_str_eq(value("other_total", "web"), "70");
}

/* A deployment changes the kind of a metric: the old one keeps what it has, the new one gets its name. */
Test(segments, a_new_kind_retires_the_old_one)
{
	static const struct segmaker_metric scaled[] = {{"requests", C, -3}};
	const struct passwd *pw = getpwuid(getuid());
	int a = segmaker_make(segs, "a", "web", two, 2), b;
	char name[256];

	snprintf(name, sizeof(name), "requests_total{program=\"web\",retired=\"1\",user=\"%s\"}",
		pw ? pw->pw_name : "?");
	segmaker_set(a, 0, 0, 7);
	expect("7", NULL);
	b = segmaker_make(segs, "b", "web", scaled, 1); /* while the old one still runs */
	segmaker_set(b, 0, 0, 1500);
	expect("7", NULL);
	cr_expect_eq(stats().conflicts, 1);
	close(a);
	expect("7", NULL);
	expect("1.5", NULL);
	cr_expect_str_eq(polling_value(&snap, name), "7");
	segmaker_set(b, 0, 0, 2500);
	close(b);
	expect("2.5", NULL);
	for (int round = 0; round < 3; round++) {
		stop_provider();
		start_provider();
		expect("2.5", NULL);
		cr_expect_str_eq(polling_value(&snap, name), "7", "after restart %d", round);
	}
}

/* Two builds that take turns do not fill the program with what they retire of each other. */
Test(segments, retiring_ends)
{
	static const struct segmaker_metric other[] = {{"requests", C, -3}};

	for (unsigned i = 0; i < 40; i++) {
		int fd = segmaker_make(segs, "a", "web", i % 2 ? other : two, 1);

		segmaker_set(fd, 0, 0, 1);
		close(fd);
		cr_assert_eq(poll_all(), 0);
	}
	cr_expect_leq(group("web")->schema.n, 3 + PROGRAM_RETIRED_MAX + 1);
	cr_expect_gt(stats().conflicts, 0);
}

/* Somebody writes a smaller number into his own segment: a marked reset, never a silent step. */
Test(segments, a_step_back_is_a_reset)
{
	int a = segmaker_make(segs, "a", "web", two, 2);
	uint64_t start;

	segmaker_set(a, 0, 0, 100);
	expect("100", NULL);
	start = start_of("web");
	segmaker_set(a, 0, 0, 40);
	expect("40", NULL);
	cr_expect_gt(start_of("web"), start);
	close(a);
}

Test(segments, names_may_change)
{
	int a = segmaker_make(segs, "a", "web", two, 2),
	    b = segmaker_make(segs, "b", "web", two, 2);
	char from[128], to[128];

	segmaker_set(a, 0, 0, 1);
	segmaker_set(b, 0, 0, 2);
	expect("3", NULL);
	snprintf(from, sizeof(from), "%s/a", segs);
	snprintf(to, sizeof(to), "%s/z", segs);
	cr_assert_eq(rename(from, to), 0);
	snprintf(from, sizeof(from), "%s/b", segs);
	cr_assert_eq(unlink(from), 0);
	segmaker_set(b, 0, 0, 20); /* it has no name any more, but it lives */
	expect("21", NULL);
	close(a);
	close(b);
	expect("21", NULL);
	cr_expect(!exists("z"));
	cr_expect_eq(stats().segments, 0);
}

Test(segments, a_name_with_a_new_file)
{
	int a = segmaker_make(segs, "a", "web", two, 2), b;
	char path[128];

	segmaker_set(a, 0, 0, 1);
	expect("1", NULL);
	snprintf(path, sizeof(path), "%s/a", segs);
	cr_assert_eq(unlink(path), 0);
	b = segmaker_make(segs, "a", "web", two, 2);
	segmaker_set(b, 0, 0, 5);
	segmaker_set(a, 0, 0, 2);
	expect("7", NULL);
	close(a);
	expect("7", NULL);
	cr_expect(exists("a"));
	close(b);
	expect("7", NULL);
	cr_expect(!exists("a"));
}

Test(segments, garbage_is_refused_once)
{
	int a = segmaker_make(segs, "a", "web", two, 2);
	char path[128], junk[3000];
	int fd;

	segmaker_set(a, 0, 0, 1);
	memset(junk, 'x', sizeof(junk));
	for (int i = 0; i < 20; i++) {
		snprintf(path, sizeof(path), "%s/junk%d", segs, i);
		fd = open(path, O_CREAT | O_WRONLY, 0600);
		cr_assert_eq(write(fd, junk, (size_t)i * 150), i * 150);
		close(fd);
	}
	snprintf(path, sizeof(path), "%s/fifo", segs);
	cr_assert_eq(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/dir", segs);
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/link", segs);
	cr_assert_eq(symlink("/etc/passwd", path), 0);
	for (int i = 0; i < 3; i++)
		expect("1", NULL);
	cr_expect_eq(stats().refused[REFUSED_FORMAT] + stats().refused[REFUSED_UNREADABLE], 23);
	cr_expect(exists("junk0"));
	close(a);
}

Test(segments, truncation_keeps_the_values_before)
{
	int a = segmaker_make(segs, "a", "web", two, 2);

	segmaker_set(a, 0, 0, 8);
	expect("8", NULL);
	cr_assert_eq(ftruncate(a, 100), 0);
	expect("8", NULL);
	cr_expect_gt(stats().shrunk, 0);
	close(a);
	expect("8", NULL);
	stop_provider();
	start_provider();
	expect("8", NULL);
}

Test(segments, unfinished_files)
{
	int made = segmaker_make(segs, "a.1.new", "web", two, 2), lives, old;
	struct timespec times[2] = {{1000000000, 0}, {1000000000, 0}};

	lives = segmaker_make(segs, "b.1.new", "web", two, 2);
	old = segmaker_make(segs, "c.1.new", "web", two, 2);
	cr_assert_eq(futimens(lives, times) | futimens(old, times), 0);
	close(made); /* young and without a lock: it may not have it yet */
	close(old);
	cr_assert_eq(poll_all(), 0);
	cr_expect(exists("a.1.new"));
	cr_expect(exists("b.1.new"));
	cr_expect(!exists("c.1.new"));
	cr_expect_eq(stats().removed, 1);
	cr_expect_eq(snap.n, 0);
	close(lives);
	cr_assert_eq(poll_all(), 0);
	cr_expect(!exists("b.1.new"));
}

/* Files of holes are large for nothing: a poll reads so much of a user's, and all get their turn. */
Test(segments, large_segments_wait_for_their_turn)
{
	int fds[4];

	for (int i = 0; i < 4; i++) {
		char name[32];
		struct tally_segment h;

		snprintf(name, sizeof(name), "large%d", i);
		fds[i] = segmaker_make(segs, name, "web", two, 2);
		cr_assert_eq(pread(fds[i], &h, sizeof(h), 0), (ssize_t)sizeof(h));
		h.row_size = 1u << 20;
		h.rows = h.rows_max = 30;
		cr_assert_eq(pwrite(fds[i], &h, sizeof(h), 0), (ssize_t)sizeof(h));
		cr_assert_eq(ftruncate(fds[i], h.rows_off + 30 * (1 << 20)), 0);
		segmaker_set(fds[i], 0, 0, 1);
	}
	cr_assert_eq(poll_all(), 0);
	cr_expect_null(group("web"), "it is not shown before all of it was read once");
	for (int i = 1; i < 5; i++)
		cr_assert_eq(poll_all(), 0);
	cr_expect_eq(stats().put_off, 10, "two of four at each poll");
	expect("4", NULL);
	for (int i = 0; i < 4; i++)
		segmaker_set(fds[i], 0, 0, 10);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(poll_all(), 0);
	expect("40", NULL);
	cr_expect_eq(stats().folded, 4);
}

/* Texts of many megabytes: one user does not get all of our memory, and waits until some is free. */
Test(segments, memory_per_user)
{
	int fds[10];

	for (int i = 0; i < 10; i++) {
		char name[32];
		struct tally_segment h;

		snprintf(name, sizeof(name), "text%d", i);
		fds[i] = segmaker_make(segs, name, "web", two, 2);
		cr_assert_eq(pread(fds[i], &h, sizeof(h), 0), (ssize_t)sizeof(h));
		h.strings_len = 7u << 20;
		h.tables_off = h.rows_off = 8u << 20;
		cr_assert_eq(ftruncate(fds[i], 9 << 20), 0);
		cr_assert_eq(pwrite(fds[i], &h, sizeof(h), 0), (ssize_t)sizeof(h));
		segmaker_set(fds[i], 0, 0, 1);
	}
	/* looking at so much text may take more than one poll */
	for (int i = 0; i < 10 && stats().segments + stats().refused[REFUSED_LARGE] < 10; i++)
		cr_assert_eq(poll_all(), 0);
	expect("2", NULL);
	cr_expect_eq(stats().segments, 2);
	cr_expect_eq(stats().refused[REFUSED_LARGE], 8);
	for (int i = 0; i < 10; i++)
		close(fds[i]);
	for (int i = 0; i < 12; i++)
		cr_assert_eq(poll_all(), 0);
	cr_expect_eq(stats().folded, 10);
	expect("10", NULL);
}

/* Containers that come and go: their cgroups take half of a user's programs, and he still gets new ones. */
Test(segments, cgroups_leave_room)
{
	struct programs ps = {0};
	struct program *p, *plain, *more;
	char cgroup[32];

	for (unsigned i = 0; i < 2 * PROGRAMS_LIMIT; i++) {
		snprintf(cgroup, sizeof(cgroup), "/box/%u", i);
		cr_assert_eq(programs_find(&ps, "web", 1000, cgroup, &p), 0);
		cr_assert(*p->cgroup == '\0' || !strcmp(p->cgroup, cgroup));
	}
	cr_assert_eq(programs_find(&ps, "web", 1000, "", &plain), 0);
	cr_expect_eq(p, plain, "the last ones are those of no cgroup");
	cr_assert_eq(programs_find(&ps, "another", 1000, "/box/x", &more), 0);
	cr_expect_str_eq(more->name, "another");
	cr_expect_leq(ps.n, PROGRAMS_LIMIT / 2 + 3);
	programs_release(&ps);
}

/* A look at it changes nothing, and counts the same. */
Test(segments, read_only)
{
	int a = segmaker_make(segs, "a", "web", two, 2),
	    b = segmaker_make(segs, "b", "web", two, 2);

	segmaker_set(a, 0, 0, 3);
	close(a);
	expect("3", NULL);
	segmaker_set(b, 0, 0, 4);
	close(b);
	stop_provider();
	env.read_only = true;
	start_provider();
	expect("7", NULL);
	expect("7", NULL);
	cr_expect(exists("b"));
	stop_provider();
	env.read_only = false;
	start_provider();
	expect("7", NULL);
}

Test(segments, too_many_programs_overflow)
{

	for (unsigned i = 0; i < PROGRAMS_LIMIT + 20; i++) {
		char name[16], program[32];
		int fd;

		snprintf(name, sizeof(name), "p%u", i);
		snprintf(program, sizeof(program), "program-%u", i);
		fd = segmaker_make(segs, name, program, two, 1);
		segmaker_set(fd, 0, 0, i);
		close(fd);
	}
	cr_assert_eq(poll_all(), 0);
	cr_assert_eq(poll_all(), 0);
	cr_expect_eq(snap.n, PROGRAMS_LIMIT + 1);
	cr_expect_eq(stats().folded, PROGRAMS_LIMIT + 20);
	cr_expect_not_null(group("overflow"));
}
