/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "cgroup_rtt": connections of one cgroup with another. The kernel itself tells of each socket its round-trip
 * time.
 */
#include <poll.h>

#define MODULE_UNDER_TEST module_cgroup_rtt
#include "tests/lib/testcgroup.h"
#include "tests/lib/testmodule.h"
#include "tests/lib/testtcp.h"

/* All is there in one of the rounds, as in test_cgroup_tcp.c; more than all is never right. */
enum { CONNECTIONS = 10, ROUNDS = 6 };

/* Connections that have ended: how many, the sum of their round-trip times, and how many had one up to 32 us. */
struct rtts {
	uint64_t n, us, low;
};

static struct rtts read_rtts(const char *path)
{
	const char *name = "cgroup_tcp_rtt_seconds";
	char all[100], low[130];

	snprintf(all, sizeof(all), "cgroup=\"%s\"", path);
	snprintf(low, sizeof(low), "%s,le=\"0.000032\"", all);
	return (struct rtts){.n = value(name, all, SERIES_BUCKET),
		.us = value(name, all, SERIES_SUM),
		.low = value(name, low, SERIES_BUCKET)};
}

static void add_rtt(struct rtts *sum, int fd)
{
	uint32_t us = tcp_at_rest(fd).tcpi_rtt;

	sum->n += us > 0;
	sum->us += us;
	sum->low += us > 0 && us <= 32;
}

/*
 * A connection that goes through some states and ends by a reset, which changes no round-trip time any more. Who
 * connected has a long one, since the answer to what it sends is put off.
 */
static void use_up(const int fds[2], struct rtts *in, struct rtts *out)
{
	struct pollfd over = {.fd = fds[1]};
	int no = 0;

	cr_assert_eq(setsockopt(fds[1], IPPROTO_TCP, TCP_QUICKACK, &no, sizeof(no)), 0);
	cr_assert_eq(write(fds[0], "x", 1), 1);
	tcp_at_rest(fds[0]);
	cr_assert_eq(shutdown(fds[0], SHUT_WR), 0);
	add_rtt(out, fds[0]);
	add_rtt(in, fds[1]);
	tcp_give_up(fds[0]);
	cr_assert_eq(poll(&over, 1, 10000), 1);
	close(fds[1]);
}

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
	struct rtts now = read_rtts(path), were = *before;

	*before = now;
	printf("%s: %lu connections of %lu us, %lu below; counted %lu of %lu us, %lu below\n", path,
		wanted->n, wanted->us, wanted->low, now.n - were.n, now.us - were.us,
		now.low - were.low);
	cr_assert_leq(now.n - were.n, wanted->n);
	cr_assert_leq(now.us - were.us, wanted->us);
	cr_assert_leq(now.low - were.low, wanted->low);
	return now.n - were.n == wanted->n && now.us - were.us == wanted->us &&
	       now.low - were.low == wanted->low;
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
