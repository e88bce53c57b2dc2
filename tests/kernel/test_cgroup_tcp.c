/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "cgroup_tcp": sockets whose segments nobody takes, made in cgroups that are gone before anybody looks.
 * The kernel itself tells of each socket how often it sent again.
 */
#define MODULE_UNDER_TEST module_cgroup_tcp
#include "tests/lib/testcgroup.h"
#include "tests/lib/testmodule.h"
#include "tests/lib/testtcp.h"

#define ID "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

enum { MANY = 280, OWN = 255 };

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

/* How often a socket has sent again. The sockets are closed. */
static uint64_t end(const int fds[2])
{
	uint64_t sent = tcp_at_rest(fds[0]).tcpi_total_retrans;

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
