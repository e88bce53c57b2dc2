/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests of the kernel: TCP connections of this machine with itself, after criterion. */
#ifndef TALLY_TESTS_LIB_TESTTCP_H
#define TALLY_TESTS_LIB_TESTTCP_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <linux/filter.h>
#include <linux/tcp.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

/* A socket that listens at any port of the address, in the host's byte order; *a says which. */
static int tcp_listen(uint32_t address, struct sockaddr_in *a)
{
	socklen_t len = sizeof(*a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
	cr_assert_eq(bind(fd, (struct sockaddr *)a, sizeof(*a)), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)a, &len), 0);
	cr_assert_eq(listen(fd, 16), 0);
	return fd;
}

/* fds[0] is who connected, fds[1] who was asked. */
static void tcp_connect(int listener, const struct sockaddr_in *a, int fds[2])
{
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(connect(fds[0], (const struct sockaddr *)a, sizeof(*a)), 0);
	fds[1] = accept(listener, NULL, NULL);
	cr_assert_geq(fds[1], 0);
}

__attribute__((unused)) static void tcp_pair(int fds[2])
{
	struct sockaddr_in a;
	int listener = tcp_listen(INADDR_LOOPBACK, &a);

	tcp_connect(listener, &a, fds);
	close(listener);
}

/* A socket that lingers for 0 s is closed by a reset, and sends no more. */
__attribute__((unused)) static void tcp_give_up(int fd)
{
	struct linger now = {.l_onoff = 1};

	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close(fd);
}

/* What the kernel tells of a socket, once all that it sent has arrived: then it does no more. */
__attribute__((unused)) static struct tcp_info tcp_at_rest(int fd)
{
	struct tcp_info info = {.tcpi_unacked = 1};

	for (int i = 0; i < 3000 && info.tcpi_unacked; i++) {
		socklen_t len = sizeof(info);

		if (i)
			usleep(10000);
		cr_assert_eq(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	}
	cr_assert_eq(info.tcpi_unacked, 0, "the other end is silent");
	return info;
}

/* A socket that drops what it gets, before TCP sees it: what is sent to it is sent again and again. */
__attribute__((unused)) static void tcp_drop_all(int fd)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog drop = {1, &none};

	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &drop, sizeof(drop)), 0);
}

#endif
