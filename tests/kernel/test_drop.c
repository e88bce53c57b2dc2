/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "drop": a known number of packets that nobody wants, or that a filter refuses. Others on the machine
 * may lose packets, too: the exact number must come in one of some tries, and never less.
 */
#include <arpa/inet.h>
#include <linux/filter.h>
#include <sys/socket.h>

#define MODULE_UNDER_TEST module_drop
#include "tests/lib/testmodule.h"

enum { TRIES = 20, PACKETS = 100 };

static int bind_any(struct sockaddr_in *a)
{
	socklen_t len = sizeof(*a);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	*a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	cr_assert_eq(bind(fd, (struct sockaddr *)a, sizeof(*a)), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)a, &len), 0);
	return fd;
}

static void send_to(const struct sockaddr_in *a, int n)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char c = 0;

	for (int i = 0; i < n; i++)
		cr_assert_eq(sendto(fd, &c, 1, 0, (const struct sockaddr *)a, sizeof(*a)), 1);
	close(fd);
}

static uint64_t drops(const char *reason)
{
	char labels[64];

	snprintf(labels, sizeof(labels), "reason=\"%s\"", reason);
	return value("network_drops", labels, SERIES_VALUE);
}

Test_together(drop, nobody_listens)
{
	struct sockaddr_in a;
	bool exact = false;

	close(bind_any(&a)); /* nobody is at that port now */
	for (int i = 0; i < TRIES && !exact; i++) {
		uint64_t before;

		poll_producer();
		before = drops("no_socket");
		send_to(&a, PACKETS);
		poll_producer();
		cr_assert_geq(drops("no_socket") - before, PACKETS);
		exact = drops("no_socket") - before == PACKETS;
	}
	cr_assert(exact, "in none of %d tries", TRIES);
}

Test_together(drop, a_filter_refuses)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog refuse = {1, &none};
	struct sockaddr_in a;
	int fd = bind_any(&a);
	uint64_t before;

	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &refuse, sizeof(refuse)), 0);
	poll_producer();
	before = drops("socket_filter");
	send_to(&a, PACKETS);
	poll_producer();
	printf("%lu packets were refused by a filter\n", drops("socket_filter") - before);
	cr_assert_eq(drops("socket_filter") - before, PACKETS);
	close(fd);
}
