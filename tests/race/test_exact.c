/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No increment is lost or doubled: tests/race/storm counts with threads and processes of all kinds, and
 * what its segments hold afterwards is compared with its own oracle, a file that tally knows nothing of.
 *
 * Nobody killed: returned == total == started. Killed at a random moment: returned <= total <= started.
 */
#include "tests/race/exact.h"

TestSuite(exact, .fini = remove_left);

Test(exact, threads)
{
	check_both("storm", "threads", "1000000", NULL);
}

Test(exact, threads_come_and_go)
{
	struct result res = check_both("storm", "churn", "200", NULL);

	cr_expect_leq(res.rows, 128, "2,400 threads, 8 at a time, left %u rows", res.rows);
}

Test(exact, more_threads_than_rows)
{
	struct result res = check_both("storm", "crowd", "300", NULL);

	cr_expect_eq(res.rows, 1024);
}

Test(exact, more_threads_of_a_family_than_rows)
{
	struct result res = check_both("storm", "crowd-fork", "300", NULL);

	cr_expect_eq(res.rows, 1024);
}

Test(exact, fork_while_threads_count)
{
	check_both("storm", "fork", "400000", NULL);
}

Test(exact, all_threads_fork)
{
	check_both("storm", "forks", "2000", NULL);
}

Test(exact, fork_without_handlers)
{
	check_both("storm", "bare-fork", "400000", NULL);
}

Test(exact, child_of_child_of_child)
{
	check_both("storm", "chain", "400000", NULL);
}

Test(exact, daemons)
{
	check_both("storm", "daemons", "400000", NULL);
}

Test(exact, clone_without_libc)
{
	check_both("storm", "clone", "400000", NULL);
}

Test(exact, vfork)
{
	check_both("storm", "vfork", "400000", NULL);
}

/* What a vfork child claims in its parent's name would be taken from the parent when the child ends. */
Test(exact, first_count_is_a_vfork_childs)
{
	for (long i = 0; i < 3 * exact_scale(); i++)
		check_both("storm", "vfork-first", "500", NULL);
}

Test(exact, threads_vfork_while_others_count)
{
	check_both("storm", "vfork-threads", "300", NULL);
}

Test(exact, spawned_programs)
{
	check_both("storm", "spawn", "2000", NULL);
}

Test(exact, many_programs_of_one_name_at_once)
{
	struct result res = check_both("storm", "spawn-waiting", "2000", NULL);

	cr_expect_eq(res.files, 91);
}

/* Ten programs one after the other: each adopts the file of the one before, if it had died. */
Test(exact, exec_and_adoption)
{
	struct result res = check_both("storm", "exec", "1000", "9");

	cr_expect_eq(res.starts, 10);
	cr_expect_leq(res.files, 2);
}

Test(exact, exec_from_a_thread)
{
	struct result res = check_both("storm", "exec-thread", "1000", "30");

	cr_expect_eq(res.starts, 31);
	cr_expect_leq(res.files, 2);
}

Test(exact, exec_while_threads_count)
{
	for (long i = 0; i < exact_scale(); i++)
		check_bounds(i % 2 ? "storm-cxx" : "storm", "exec-in-air", "1000", "50");
}

Test(exact, exit_while_threads_count)
{
	for (long i = 0; i < 20 * exact_scale(); i++)
		check_bounds(i % 2 ? "storm-cxx" : "storm", "exit-in-air", "10000", NULL);
}

Test(exact, cancelled_threads)
{
	check_bounds("storm", "cancel", "100", NULL);
}

Test(exact, first_thread_ends_before_the_others)
{
	check_both("storm", "leader-gone", "4000", NULL);
}

/* Waits until there are so many segments (and what is not finished), five seconds at most. */
static void wait_segments(const struct run *r, unsigned n)
{
	for (int i = 0; i < 5000; i++) {
		struct result res = {0};

		read_segments(r, false, &res);
		if (res.files >= n && res.unfinished == 0)
			return;
		usleep(1000);
	}
	cr_assert_fail("no %u segments after five seconds", n);
}

/* Two programs at once: both segments are locked, so neither is adopted, nor taken for dead. */
Test(exact, the_living_are_locked)
{
	struct run r, other;
	unsigned files = 0;
	DIR *d;
	struct dirent *e;

	run_init(&r, "storm");
	run_start(&r, "forever", "50", NULL);
	wait_segments(&r, 1);
	other = r;
	run_start(&other, "forever", "50", NULL);
	wait_segments(&r, 2);
	d = opendir(r.seg);
	while ((e = readdir(d))) {
		struct segfile *s;

		if (e->d_name[0] == '.')
			continue;
		cr_assert_eq(segfile_open(dirfd(d), e->d_name, &s, NULL), 0);
		cr_expect_eq(segfile_test_dead(s), 0);
		segfile_close(s);
		files++;
	}
	closedir(d);
	cr_expect_eq(files, 2);
	run_kill(&other);
	run_kill(&r);
	remove_left();
}

Test(exact, killed_at_random_moments)
{
	struct result before = {0}, res = {0};
	struct run r;

	test_rand_init();
	run_init(&r, "storm");
	for (long round = 0; round < 25 * exact_scale(); round++) {
		run_start(&r, "forever", "50", NULL);
		usleep((useconds_t)test_rand_below(60000));
		run_kill(&r);
		res = run_result(&r);
		cr_assert_leq(res.returned, res.total, "round %ld: lost %" PRIu64, round,
			res.returned - res.total);
		cr_assert_leq(res.total, res.started, "round %ld: %" PRIu64 " too many", round,
			res.total - res.started);
		cr_assert_geq(res.total, before.total, "a total went down");
		before = res;
	}
	cr_expect_gt(res.total, 1000);
	cr_expect_leq(res.files, 3, "dead files piled up: %u", res.files);
	expect_bounds("storm", "forever", &res);
	remove_left();
}
