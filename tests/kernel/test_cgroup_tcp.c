/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "cgroup_tcp": sockets whose segments nobody takes, made in cgroups that are gone before anybody looks.
 * The kernel itself tells of each socket how often it sent again.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define MODULE_UNDER_TEST module_cgroup_tcp
#include "tests/lib/testmodule.h"

#define ID "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

enum { MANY = 280, OWN = 255 };

static const char *root(void)
{
	return access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) ? "/sys/fs/cgroup"
								   : "/sys/fs/cgroup/unified";
}

/* Moves this process; path "" is the root. */
static void enter(const char *path)
{
	char file[512];
	int fd;

	snprintf(file, sizeof(file), "%s%s/cgroup.procs", root(), path);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0, "%s", file);
	cr_assert_eq(write(fd, "0", 1), 1);
	close(fd);
}

static void make_cgroup(const char *path)
{
	char dir[400];

	snprintf(dir, sizeof(dir), "%s%s", root(), path);
	cr_assert_eq(mkdir(dir, 0755), 0, "%s: %s", dir, strerror(errno));
}

static void remove_cgroup(const char *path)
{
	char dir[400];

	snprintf(dir, sizeof(dir), "%s%s", root(), path);
	cr_assert_eq(rmdir(dir), 0, "%s: %s", dir, strerror(errno));
}

/* A socket that has sent one byte to another, fds[1], that drops all. */
static void send_in_vain(int fds[2])
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog drop = {1, &none};
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(a);

	cr_assert_eq(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	cr_assert_eq(listen(listener, 1), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(connect(fds[0], (struct sockaddr *)&a, sizeof(a)), 0);
	fds[1] = accept(listener, NULL, NULL);
	cr_assert_geq(fds[1], 0);
	close(listener);
	cr_assert_eq(setsockopt(fds[1], SOL_SOCKET, SO_ATTACH_FILTER, &drop, sizeof(drop)), 0);
	cr_assert_eq(write(fds[0], "x", 1), 1);
}

/* How often a socket has sent again; it is reset, so that it does no more. */
static uint64_t end(int fds[2])
{
	struct linger now = {.l_onoff = 1};
	struct tcp_info info;
	socklen_t len = sizeof(info);

	/* first that one, so that nothing is sent between the question and the end */
	cr_assert_eq(getsockopt(fds[0], IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	for (int i = 0; i < 2; i++) {
		setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(fds[i]);
	}
	return info.tcpi_total_retrans;
}

static uint64_t retransmits(const char *label, const char *text)
{
	char labels[500];

	snprintf(labels, sizeof(labels), "%s=\"%s\"", label, text);
	return value("cgroup_tcp_retransmits", labels, SERIES_VALUE);
}

/* In an emulated machine there is time for one more between the question and the end. */
static bool is_sent(uint64_t ours, uint64_t sent)
{
	return ours == sent || (!clocks_are_real() && ours == sent + 1);
}

/* Again in another cgroup of the same name: it is the same series. */
Test(cgroup_tcp, of_a_cgroup_that_is_gone, .init = setup, .fini = teardown)
{
	char parent[64], path[200];
	uint64_t sent = 0;
	int fds[2];

	snprintf(parent, sizeof(parent), "/tallytest-%d.slice", (int)getpid());
	snprintf(path, sizeof(path), "%s/docker-" ID ".scope", parent);
	make_cgroup(parent);
	for (int i = 0; i < 2; i++) {
		make_cgroup(path);
		enter(path);
		send_in_vain(fds);
		usleep(1000000);
		sent += end(fds);
		enter("");
		remove_cgroup(path);
	}
	remove_cgroup(parent);
	poll_producer();
	printf("%lu sent again\n", sent);
	cr_assert_geq(sent, 2);
	cr_assert_eq(retransmits("cgroup", path), sent);
	cr_assert_eq(retransmits("container", ID), sent);
	cr_assert_eq(retransmits("unit", "docker-" ID ".scope"), sent);
	cr_assert_eq(retransmits("cgroup", parent), 0);
	cr_assert_eq(retransmits("cgroup", "other"), 0);
}

Test(cgroup_tcp, more_cgroups_than_slots, .init = setup_unless_emulated, .fini = teardown)
{
	uint64_t sent[MANY], sum = 0, own = 0;
	int fds[MANY][2], shown = 0;
	char path[MANY][64];

	skip_emulated();
	for (int i = 0; i < MANY; i++) {
		snprintf(path[i], sizeof(path[i]), "/tallytest-%d-%d", (int)getpid(), i);
		make_cgroup(path[i]);
		enter(path[i]);
		send_in_vain(fds[i]);
	}
	enter("");
	usleep(1500000);
	for (int i = 0; i < MANY; i++) {
		sent[i] = end(fds[i]);
		sum += sent[i];
		remove_cgroup(path[i]);
	}
	poll_producer();
	for (int i = 0; i < MANY; i++) {
		uint64_t mine = retransmits("cgroup", path[i]);

		cr_assert(mine == 0 || is_sent(mine, sent[i]), "%lu, not %lu", mine, sent[i]);
		shown += mine > 0;
		own += mine;
	}
	printf("%d cgroups of %d have series\n", shown, MANY);
	cr_assert_leq(shown, OWN);
	cr_assert_geq(shown, OWN - 25); /* others on this machine, and what two CPUs waste */
	cr_assert_geq(retransmits("cgroup", "other") + own, sum);
	cr_assert_gt(retransmits("cgroup", "other"), 0);
}
