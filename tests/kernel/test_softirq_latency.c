/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "softirq_latency": each packet over the loopback asks for a soft interrupt, which waits for less than the
 * whole took.
 */
#include <arpa/inet.h>
#include <sys/socket.h>

#define MODULE_UNDER_TEST module_softirq_latency
#include "tests/lib/testmodule.h"

#include "tests/lib/testhold.h"

enum { PACKETS = 20000 };

static void send_packets(int n)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int in = socket(AF_INET, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0);
	char c = 0;

	cr_assert_eq(bind(in, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(getsockname(in, (struct sockaddr *)&a, &len), 0);
	cr_assert_eq(connect(out, (struct sockaddr *)&a, sizeof(a)), 0);
	for (int i = 0; i < n; i++) {
		cr_assert_eq(send(out, &c, 1, 0), 1);
		cr_assert_eq(recv(in, &c, 1, 0), 1);
	}
	close(in);
	close(out);
}

static uint64_t received(int part)
{
	return value("softirq_latency_seconds", "type=\"net_rx\"", part);
}

Test(softirq_latency, packets, .init = setup, .fini = teardown)
{
	uint64_t n, ns, wall, served;

	poll_producer();
	n = received(SERIES_BUCKET);
	ns = received(SERIES_SUM);
	wall = clock_monotonic_ns();
	send_packets(PACKETS);
	wall = clock_monotonic_ns() - wall;
	poll_producer();
	n = received(SERIES_BUCKET) - n;
	ns = received(SERIES_SUM) - ns;
	served = value("bpf_program_runs", "program=\"tally_softirq_served\"", SERIES_VALUE);
	printf("%lu waits, %lu us of %lu\n", n, ns / 1000, wall / 1000);
	cr_assert_geq(n, PACKETS * 9 / 10);
	cr_assert_leq(n, served);
	cr_assert_gt(ns, 0);
	cr_assert_lt(ns, wall * (uint64_t)sysconf(_SC_NPROCESSORS_CONF));
}

static void send_some(void)
{
	send_packets(1000);
}

Test(softirq_latency, begins_are_detached_before_ends, .init = setup_unless_emulated,
	.fini = teardown)
{
	check_begins_go_first("tally_softirq_raise", "tally_softirq_served", send_some, 900);
}
