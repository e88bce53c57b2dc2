/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of modules with round-trip times of connections that ended, after tests/lib/testmodule.h: the kernel
 * itself tells of each socket its own.
 */
#ifndef TALLY_TESTS_LIB_TESTRTT_H
#define TALLY_TESTS_LIB_TESTRTT_H

#include <poll.h>

#include "tests/lib/testtcp.h"

/* Connections that have ended: how many, the sum of their round-trip times, and how many had one up to 32 us. */
struct rtts {
	uint64_t n, us, low;
};

static bool is_low(const struct series *s)
{
	const char *le = strstr(s->labels, "le=\"");

	return s->part == SERIES_BUCKET && le && strtod(le + 4, NULL) <= 0.000032;
}

/* What has been counted, of the series that have these labels; NULL: of all. */
static struct rtts read_rtts(const char *name, const char *labels)
{
	struct rtts r = {
		.n = value(name, labels, SERIES_BUCKET), .us = value(name, labels, SERIES_SUM)};

	for (size_t k = 0; k < snapshot.n; k++) {
		const struct group *g = snapshot.groups[k];

		for (size_t i = 0; i < g->schema.n; i++) {
			const struct series *s = &g->schema.series[i];

			if (!strcmp(s->name, name) && has_labels(s->labels, labels) && is_low(s))
				r.low += g->values[i];
		}
	}
	return r;
}

/* What has been counted since *before, which is brought up to date; says it after `what`, with what is wanted. */
static struct rtts rtts_since(
	const char *what, const struct rtts *wanted, const struct rtts *now, struct rtts *before)
{
	struct rtts since = {now->n - before->n, now->us - before->us, now->low - before->low};

	*before = *now;
	printf("%s: %lu connections of %lu us, %lu below; counted %lu of %lu us, %lu below\n", what,
		wanted->n, wanted->us, wanted->low, since.n, since.us, since.low);
	return since;
}

static bool same_rtts(const struct rtts *a, const struct rtts *b)
{
	return a->n == b->n && a->us == b->us && a->low == b->low;
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

#endif
