/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the peers of bench_read.c share, in C and C++: a clock, and the line that tells a result. */
#ifndef TALLY_TESTS_BENCH_PEER_H
#define TALLY_TESTS_BENCH_PEER_H

#include <stdio.h>
#include <time.h>

#define PEER_RUNS 51

static inline double peer_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static inline void peer_result(
	const char *name, const char *unit, const double *samples, unsigned n)
{
	printf("%s|%s|", name, unit);
	for (unsigned i = 0; i < n; i++)
		printf("%s%.9g", i ? " " : "", samples[i]);
	printf("\n");
	fflush(stdout);
}

#endif
