/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "cgroup_tcp": sockets whose segments nobody takes, made in cgroups that are gone before anybody looks,
 * and connections of one cgroup with another. The kernel itself tells of each socket how often it sent again, and its
 * round-trip time.
 */
#include <netinet/tcp.h>
#include <poll.h>

#define MODULE_UNDER_TEST module_cgroup_tcp
#include "tests/lib/testcgroup.h"
#include "tests/lib/testmodule.h"
#include "tests/lib/testtcp.h"

#define ID "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

enum { MANY = 280, OWN = 255, CONNECTIONS = 10 };

/*
 * A kernel may be made so that programs don't run while some process does, such as the first one of a virtual
 * machine: what a timer sends again just then is not counted. So each test has some rounds, until in one of them
 * all is there; more than all is never right.
 */
enum { ROUNDS = 6 };

/* A socket that has sent one byte to another, fds[1], that drops all. */
static void send_in_vain(int fds[2])
{
	tcp_pair(fds);
	tcp_drop_all(fds[1]);
	cr_assert_eq(write(fds[0], "x", 1), 1);
}

/* Lets what is sent again arrive. */
static void listen_again(const int fds[2])
{
	int none = 0;

	cr_assert_eq(setsockopt(fds[1], SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none)), 0);
}

/* What the kernel tells of a socket, once all that it sent has arrived: then it does no more. */
static struct tcp_info at_rest(int fd)
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

/* How often a socket has sent again. The sockets are closed. */
static uint64_t end(const int fds[2])
{
	uint64_t sent = at_rest(fds[0]).tcpi_total_retrans;

	close(fds[0]);
	close(fds[1]);
	return sent;
}

static uint64_t retransmits(const char *label, const char *text)
{
	char labels[500];

	snprintf(labels, sizeof(labels), "%s=\"%s\"", label, text);
	return value("cgroup_tcp_retransmits", labels, SERIES_VALUE);
}

/* Twice in cgroups of the same name; says how much was sent again. */
static uint64_t send_from_two(const char *path)
{
	uint64_t sent = 0;
	int fds[2];

	for (int i = 0; i < 2; i++) {
		cgroup_make(path);
		cgroup_enter(path);
		send_in_vain(fds);
		usleep(500000);
		listen_again(fds);
		sent += end(fds);
		cgroup_enter("");
		cgroup_remove(path);
	}
	cr_assert_geq(sent, 2);
	return sent;
}

Test(cgroup_tcp, of_a_cgroup_that_is_gone, .init = setup, .fini = teardown)
{
	char parent[64], path[200];
	uint64_t sent = 1, counted = 0, all = 0;

	snprintf(parent, sizeof(parent), "/tallytest-%d.slice", (int)getpid());
	snprintf(path, sizeof(path), "%s/docker-" ID ".scope", parent);
	cgroup_make(parent);
	for (int round = 0; round < ROUNDS && counted < sent; round++) {
		sent = send_from_two(path);
		poll_producer();
		counted = retransmits("cgroup", path) - all;
		all += counted;
		printf("%lu sent again, %lu counted\n", sent, counted);
		cr_assert_leq(counted, sent);
	}
	cgroup_remove(parent);
	cr_assert_eq(counted, sent);
	cr_assert_eq(retransmits("container", ID), all);
	cr_assert_eq(retransmits("unit", "docker-" ID ".scope"), all);
	cr_assert_eq(retransmits("cgroup", parent), 0);
	cr_assert_eq(retransmits("cgroup", "other"), 0);
}

static void send_from_many(char path[MANY][64], uint64_t sent[MANY])
{
	int fds[MANY][2];

	for (int i = 0; i < MANY; i++) {
		cgroup_make(path[i]);
		cgroup_enter(path[i]);
		send_in_vain(fds[i]);
	}
	cgroup_enter("");
	usleep(500000);
	for (int i = 0; i < MANY; i++)
		listen_again(fds[i]);
	for (int i = 0; i < MANY; i++) {
		sent[i] = end(fds[i]);
		cgroup_remove(path[i]);
	}
}

/* How much of what was sent again has not been counted, after a round; `before`: the series before it. */
static uint64_t count_missing(
	char path[MANY][64], const uint64_t sent[MANY], uint64_t before[MANY], uint64_t *other)
{
	uint64_t slotless = 0, missing = 0, were = *other;
	int shown = 0;

	for (int i = 0; i < MANY; i++) {
		uint64_t all = retransmits("cgroup", path[i]), mine = all - before[i];

		before[i] = all;
		shown += all > 0;
		cr_assert_leq(mine, sent[i]);
		if (all)
			missing += sent[i] - mine;
		else
			slotless += sent[i];
	}
	*other = retransmits("cgroup", "other");
	cr_assert_leq(shown, OWN);
	cr_assert_geq(shown, OWN - 25); /* others on this machine, and what two CPUs waste */
	cr_assert_gt(slotless, 0);
	if (*other - were < slotless)
		missing += slotless - (*other - were);
	printf("%d cgroups of %d have series, %lu of others, %lu of these; %lu missing\n", shown,
		MANY, *other - were, slotless, missing);
	return missing;
}

Test(cgroup_tcp, more_cgroups_than_slots, .init = setup_unless_emulated, .fini = teardown)
{
	uint64_t sent[MANY], before[MANY] = {0}, other = 0, missing = 1;
	char path[MANY][64];

	for (int i = 0; i < MANY; i++)
		snprintf(path[i], sizeof(path[i]), "/tallytest-%d-%d", (int)getpid(), i);
	for (int round = 0; round < ROUNDS && missing; round++) {
		send_from_many(path, sent);
		poll_producer();
		missing = count_missing(path, sent, before, &other);
	}
	cr_assert_eq(missing, 0);
}

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
	uint32_t us = at_rest(fd).tcpi_rtt;

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
	at_rest(fds[0]);
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

Test(cgroup_tcp, round_trips_of_who_made_the_socket, .init = setup, .fini = teardown)
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
