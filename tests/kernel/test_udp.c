/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "udp": a socket with a full buffer that gets some more, and more ports than have series of their own.
 * The kernel's own RcvbufErrors say how many were dropped.
 */
#include <arpa/inet.h>
#include <sys/socket.h>

#define MODULE_UNDER_TEST module_udp
#include "tests/lib/testmodule.h"

enum { MORE = 150, PORTS = 80, OWN = 63 };

/* A socket with the smallest buffer there is. */
static int bind_small(struct sockaddr_in *a)
{
	socklen_t len = sizeof(*a);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), bytes = 1;

	*a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)a, sizeof(*a)), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)a, &len), 0);
	return fd;
}

static void send_to(const struct sockaddr_in *a, int n)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char text[256] = "";

	for (int i = 0; i < n; i++)
		cr_assert_eq(
			sendto(fd, text, sizeof(text), 0, (const struct sockaddr *)a, sizeof(*a)),
			sizeof(text));
	close(fd);
}

/* How many datagrams wait in a socket; none does afterwards. */
static int drain(int fd)
{
	char text[256];
	int n = 0;

	while (recv(fd, text, sizeof(text), MSG_DONTWAIT) == sizeof(text))
		n++;
	return n;
}

static uint64_t drops(const struct sockaddr_in *a)
{
	char label[32];

	snprintf(label, sizeof(label), "port=\"%u\"", ntohs(a->sin_port));
	poll_producer();
	return value("udp_receive_drops", label, SERIES_VALUE);
}

Test(udp, a_full_buffer, .init = setup, .fini = teardown)
{
	struct sockaddr_in a;
	int fd = bind_small(&a), kept;
	uint64_t counted;

	send_to(&a, MORE);
	counted = drops(&a);
	kept = drain(fd);
	printf("%d kept, %lu dropped\n", kept, counted);
	cr_assert_gt(kept, 0);
	cr_assert_eq(counted, MORE - kept);
	/* now there is room, and then there is not */
	send_to(&a, MORE);
	cr_assert_eq(drops(&a) - counted, MORE - drain(fd));
	close(fd);
}

/* The first ports have series of their own; what others lose is seen together. */
Test(udp, more_ports_than_slots, .init = setup_unless_emulated, .fini = teardown)
{
	struct sockaddr_in a[PORTS];
	uint64_t lost = 0, own = 0;
	int fds[PORTS], with_own = 0;

	for (int i = 0; i < PORTS; i++) {
		fds[i] = bind_small(&a[i]);
		send_to(&a[i], MORE);
	}
	for (int i = 0; i < PORTS; i++) {
		uint64_t mine = drops(&a[i]);
		int dropped = MORE - drain(fds[i]);

		cr_assert(mine == (uint64_t)dropped || mine == 0);
		with_own += mine > 0;
		own += mine;
		lost += (uint64_t)dropped;
		close(fds[i]);
	}
	printf("%d ports of %d have series\n", with_own, PORTS);
	cr_assert_leq(with_own, OWN);
	cr_assert_geq(with_own, OWN - 8); /* others on this machine may have come first */
	cr_assert_geq(value("udp_receive_drops", "port=\"other\"", SERIES_VALUE), lost - own);
	cr_assert_gt(lost - own, 0);
}
