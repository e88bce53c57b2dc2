/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "syscalls": known calls, known failures, and known times of one of 64. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>

#include "bpf/module.h"

#define MODULE_UNDER_TEST module_syscalls
#include "tests/lib/testmodule.h"

enum { CALLS = 20000, FAILURES = 3000, SLEEPS = 2000, SLEEP_NS = 200000 };

static uint64_t calls(const char *metric, const char *name, int part)
{
	char labels[64];

	snprintf(labels, sizeof(labels), "syscall=\"%s\"", name);
	return value(metric, labels, part);
}

/* Calls that nothing else makes so often; the machine's own are a few more. */
Test_together(syscalls, calls_and_failures)
{
	uint64_t n, failed, others;

	poll_producer();
	n = calls("syscalls", "getsid", SERIES_VALUE);
	failed = calls("syscall_errors", "getsid", SERIES_VALUE);
	others = calls("syscall_errors", "getpgid", SERIES_VALUE);
	for (int i = 0; i < CALLS; i++)
		cr_assert_gt(getsid(0), -1);
	for (int i = 0; i < FAILURES; i++)
		cr_assert_eq(getsid(-1), -1);
	for (int i = 0; i < CALLS; i++)
		getpgid(0);
	poll_producer();
	n = calls("syscalls", "getsid", SERIES_VALUE) - n;
	failed = calls("syscall_errors", "getsid", SERIES_VALUE) - failed;
	others = calls("syscall_errors", "getpgid", SERIES_VALUE) - others;
	printf("%lu calls, %lu failed; %lu of another failed\n", n, failed, others);
	cr_assert_geq(n, CALLS + FAILURES);
	cr_assert_leq(n, CALLS + FAILURES + 100);
	cr_assert_geq(failed, FAILURES);
	cr_assert_leq(failed, FAILURES + 10);
	cr_assert_leq(others, 10);
}

/* Pairs of calls in strict turn: both are timed as often, one of 64. */
Test(syscalls, one_of_64_is_timed, .init = setup_unless_emulated, .fini = teardown)
{
	uint64_t first, second;

	poll_producer();
	first = calls("syscall_sampled_seconds", "getsid", SERIES_BUCKET);
	second = calls("syscall_sampled_seconds", "getpgid", SERIES_BUCKET);
	for (int i = 0; i < 64 * 500; i++) {
		getsid(0);
		getpgid(0);
	}
	poll_producer();
	first = calls("syscall_sampled_seconds", "getsid", SERIES_BUCKET) - first;
	second = calls("syscall_sampled_seconds", "getpgid", SERIES_BUCKET) - second;
	printf("%lu and %lu timed of 64 x 500 each\n", first, second);
	/* over five standard deviations of what chance makes of 500 */
	cr_assert(first > 350 && first < 650, "%lu", first);
	cr_assert(second > 350 && second < 650, "%lu", second);
}

/* Times are those of the calls: not less than was slept, in all not more than passed. */
Test_together(syscalls, times_are_those_of_the_calls)
{
	const struct timespec t = {.tv_nsec = SLEEP_NS};
	uint64_t n, ns, wall;

	poll_producer();
	n = calls("syscall_sampled_seconds", "clock_nanosleep", SERIES_BUCKET);
	ns = calls("syscall_sampled_seconds", "clock_nanosleep", SERIES_SUM);
	wall = clock_monotonic_ns();
	/* calls between, so that the samples are not all of the poll's */
	for (int i = 0; i < SLEEPS; i++)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
	wall = clock_monotonic_ns() - wall;
	poll_producer();
	n = calls("syscall_sampled_seconds", "clock_nanosleep", SERIES_BUCKET) - n;
	ns = calls("syscall_sampled_seconds", "clock_nanosleep", SERIES_SUM) - ns;
	printf("%lu of %d sleeps timed: %lu us of %lu\n", n, SLEEPS, ns / 1000, wall / 1000);
	cr_assert_gt(n, 5);
	if (clocks_are_real())
		cr_assert_geq(ns, n * SLEEP_NS / 2);
	cr_assert_gt(ns, 0);
}

/* A call that a signal interrupts has not failed by itself; the one that never ends is none. */
Test_together(syscalls, interrupted_and_last_calls)
{
	uint64_t paused, exits;
	pid_t pid;

	poll_producer();
	paused = calls("syscall_errors", "pause", SERIES_VALUE);
	exits = calls("syscalls", "exit_group", SERIES_VALUE);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (!pid) {
		pause();
		_exit(0);
	}
	usleep(50000);
	kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	poll_producer();
	cr_assert_eq(calls("syscall_errors", "pause", SERIES_VALUE), paused);
	cr_assert_eq(calls("syscalls", "exit_group", SERIES_VALUE), exits);
}

/*
 * Sampled more coarsely, one of 16 by chance stands for 16; none is timed, and afterwards none by a begin that was
 * before. Of 200,000 a standard deviation is 0.5 %.
 */
Test(syscalls, what_is_sampled_stands_for_all, .init = setup_unless_emulated, .fini = teardown)
{
	enum { MANY = 200000 };
	uint64_t n, failed, timed;

	poll_producer();
	n = calls("syscalls", "getsid", SERIES_VALUE);
	failed = calls("syscall_errors", "getsid", SERIES_VALUE);
	timed = calls("syscall_sampled_seconds", "getsid", SERIES_BUCKET);
	cr_assert_eq(module_set_level(&producer, BUDGET_COARSE), 0);
	for (int i = 0; i < MANY / 2; i++) {
		getsid(0);
		getsid(-1);
	}
	poll_producer();
	n = calls("syscalls", "getsid", SERIES_VALUE) - n;
	failed = calls("syscall_errors", "getsid", SERIES_VALUE) - failed;
	printf("%lu of %d calls, %lu of %d failed\n", n, MANY, failed, MANY / 2);
	cr_assert(n > MANY * 0.97 && n < MANY * 1.03);
	cr_assert(failed > MANY / 2 * 0.95 && failed < MANY / 2 * 1.05);
	cr_assert_eq(n % TALLY_COARSE_EVERY, 0, "none was looked at by itself");
	cr_assert_eq(calls("syscall_sampled_seconds", "getsid", SERIES_BUCKET), timed);
	cr_assert_eq(module_set_level(&producer, BUDGET_WHOLE), 0);
	poll_producer();
	n = calls("syscalls", "getsid", SERIES_VALUE);
	for (int i = 0; i < CALLS; i++)
		getsid(0);
	poll_producer();
	n = calls("syscalls", "getsid", SERIES_VALUE) - n;
	cr_assert(n >= CALLS && n <= CALLS + 100, "%lu", n);
}
