/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "tcp_probe": segments to and fro on one connection, which the kernel counts for its two sockets as well.
 * Others may have connections, too: in one of some tries it must be exact.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <linux/tcp.h>

#define MODULE_UNDER_TEST module_tcp_probe
#include "tests/lib/testmodule.h"
#include "tests/lib/testtcp.h"

enum { TRIES = 20, ROUNDS = 200 };

static void send_and_get(int from, int to)
{
	char c = 'x';

	cr_assert_eq(write(from, &c, 1), 1);
	cr_assert_eq(read(to, &c, 1), 1);
}

/* How many segments the two sockets have got, and the larger of their round-trip times, in us. */
static uint64_t segments(const int fds[2], uint64_t *rtt)
{
	uint64_t sum = 0;

	for (int i = 0; i < 2; i++) {
		struct tcp_info info = {0};
		socklen_t len = sizeof(info);

		cr_assert_eq(getsockopt(fds[i], IPPROTO_TCP, TCP_INFO, &info, &len), 0);
		sum += info.tcpi_segs_in;
		*rtt = info.tcpi_rtt > *rtt ? info.tcpi_rtt : *rtt;
	}
	return sum;
}

Test(tcp_probe, segments_are_those_of_the_sockets, .init = setup, .fini = teardown)
{
	uint64_t wanted = 1, counted = 0, us = 0, rtt = 0;
	int fds[2];

	tcp_pair(fds);
	for (int i = 0; i < 20; i++) { /* so that both have a round-trip time */
		send_and_get(fds[0], fds[1]);
		send_and_get(fds[1], fds[0]);
	}
	for (int try = 0; try < TRIES && counted != wanted; try++) {
		usleep(100000); /* an acknowledgement may come late */
		wanted = segments(fds, &rtt);
		poll_producer();
		counted = value("tcp_live_rtt_seconds", NULL, SERIES_BUCKET);
		us = value("tcp_live_rtt_seconds", NULL, SERIES_SUM);
		for (int i = 0; i < ROUNDS; i++) {
			send_and_get(fds[0], fds[1]);
			send_and_get(fds[1], fds[0]);
		}
		usleep(100000);
		wanted = segments(fds, &rtt) - wanted;
		poll_producer();
		counted = value("tcp_live_rtt_seconds", NULL, SERIES_BUCKET) - counted;
		us = value("tcp_live_rtt_seconds", NULL, SERIES_SUM) - us;
		printf("%lu segments, %lu counted, %lu us in all; the kernel says %lu us\n", wanted,
			counted, us, rtt);
	}
	close(fds[0]);
	close(fds[1]);
	cr_assert_geq(wanted, 2 * ROUNDS);
	cr_assert_eq(counted, wanted, "in none of %d tries", TRIES);
	cr_assert_gt(us, 0);
	if (clocks_are_real())
		cr_assert_leq(us / counted, 10000, "a loopback is faster");
}
