/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "cgroup_rtt": connections of one cgroup with another. The kernel itself tells of each socket its round-trip
 * time.
 */
#define MODULE_UNDER_TEST module_cgroup_rtt
#include "tests/lib/testcgroup.h"
#include "tests/lib/testmodule.h"
#include "tests/lib/testrtt.h"

/* All is there in one of the rounds, as in test_cgroup_tcp.c; more than all is never right. */
enum { CONNECTIONS = 10, ROUNDS = 6 };

/* Who connects takes the connections, too. */
static void connect_to(const char *listens, const char *connects, struct rtts *in, struct rtts *out)
{
	struct sockaddr_in a;
	int listener, fds[2];

	cgroup_enter(listens);
	listener = tcp_listen(INADDR_LOOPBACK, &a);
	cgroup_enter(connects);
	for (int i = 0; i < CONNECTIONS; i++) {
		tcp_connect(listener, &a, fds);
		use_up(fds, in, out);
	}
	close(listener);
	cgroup_enter("");
}

/* Compares what has been counted since *before, which is brought up to date; returns whether all has. */
static bool all_counted(const char *path, const struct rtts *wanted, struct rtts *before)
{
	struct rtts now, counted;
	char labels[100];

	snprintf(labels, sizeof(labels), "cgroup=\"%s\"", path);
	now = read_rtts("cgroup_tcp_rtt_seconds", labels);
	counted = rtts_since(path, wanted, &now, before);
	cr_assert_leq(counted.n, wanted->n);
	cr_assert_leq(counted.us, wanted->us);
	cr_assert_leq(counted.low, wanted->low);
	return same_rtts(&counted, wanted);
}

Test(cgroup_rtt, round_trips_of_who_made_the_socket, .init = setup, .fini = teardown)
{
	struct rtts in_before = {0}, out_before = {0};
	char listens[64], connects[64];
	bool all = false;

	snprintf(listens, sizeof(listens), "/tallytest-%d-listens", (int)getpid());
	snprintf(connects, sizeof(connects), "/tallytest-%d-connects", (int)getpid());
	cgroup_make(listens);
	cgroup_make(connects);
	for (int round = 0; round < ROUNDS && !all; round++) {
		struct rtts in = {0}, out = {0};

		connect_to(listens, connects, &in, &out);
		cr_assert_eq(out.n, CONNECTIONS);
		cr_assert_gt(in.n, 0);
		poll_producer();
		all = all_counted(listens, &in, &in_before);
		all &= all_counted(connects, &out, &out_before);
	}
	cgroup_remove(listens);
	cgroup_remove(connects);
	cr_assert(all, "in none of %d rounds", ROUNDS);
}
