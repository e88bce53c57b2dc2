/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Group commit: many who ask share a sync, who is in a hurry does not wait, nothing is promised early. */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gatherer/commit.h"
#include "gatherer/store/store.h"
#include "user/lib/util.h"

static char dir[] = "/tmp/test-commit-XXXXXX";
static struct store *store;
static struct commit *commit;

static void set_up(void)
{
	struct errmsg e = {""};

	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(store_open(dir, NULL, &store, &e), 0, "%s", e.text);
}

static void tear_down(void)
{
	char cmd[80];

	commit_stop(commit);
	store_close(store);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	cr_assert_eq(system(cmd), 0);
}

static void begin(uint64_t delay_ns)
{
	struct errmsg e = {""};

	cr_assert_eq(commit_start(store, delay_ns, &commit, &e), 0, "%s", e.text);
}

/* Waits for one notice; false after timeout_ms. */
static bool noticed(int timeout_ms)
{
	struct pollfd p = {.fd = commit_fd(commit), .events = POLLIN};
	uint64_t n;

	if (poll(&p, 1, timeout_ms) != 1)
		return false;
	cr_assert_eq(read(p.fd, &n, sizeof(n)), (ssize_t)sizeof(n));
	return true;
}

static uint64_t done(void)
{
	int error;
	uint64_t ticket = commit_done(commit, &error);

	cr_assert_eq(error, 0);
	return ticket;
}

TestSuite(commit, .init = set_up, .fini = tear_down, .timeout = 20);

Test(commit, nothing_asked_nothing_done)
{
	begin(0);
	cr_assert_not(noticed(100));
	cr_assert_eq(done(), 0);
}

Test(commit, at_once_without_delay)
{
	begin(0);
	for (uint64_t i = 1; i <= 5; i++) {
		cr_assert_eq(commit_request(commit, false), i);
		while (done() < i)
			cr_assert(noticed(5000));
	}
}

Test(commit, many_share_one_sync)
{
	uint64_t start = clock_monotonic_ns();

	begin(300 * NSEC_PER_MSEC);
	for (int i = 0; i < 100; i++)
		commit_request(commit, false);
	cr_assert(noticed(5000));
	cr_assert_eq(done(), 100, "all that asked within the delay are covered");
	cr_assert_geq(clock_monotonic_ns() - start, 300 * NSEC_PER_MSEC, "it waited for others");
	cr_assert_not(noticed(400), "one sync was enough");
}

Test(commit, a_hurry_takes_all_along)
{
	uint64_t start = clock_monotonic_ns();

	begin(10 * NSEC_PER_SEC);
	commit_request(commit, false);
	commit_request(commit, true);
	cr_assert(noticed(5000));
	cr_assert_eq(done(), 2);
	cr_assert_lt(clock_monotonic_ns() - start, 5 * NSEC_PER_SEC);
}

Test(commit, stopping_does_not_wait_for_the_delay)
{
	uint64_t start = clock_monotonic_ns();

	begin(10 * NSEC_PER_SEC);
	commit_request(commit, false);
	commit_stop(commit);
	commit = NULL;
	cr_assert_lt(clock_monotonic_ns() - start, 5 * NSEC_PER_SEC);
}
