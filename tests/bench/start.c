/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that does nothing, with as many counters as -DCOUNTERS says, or without tally. With an
 * argument it prints how many ns attaching took: the time between two constructors around tally's.
 */
#include <stdio.h>
#include <time.h>

#ifdef COUNTERS
#include <tally/tally.h>

#include "tests/bench/repeat.h"

#define DEFINE(n) TALLY_COUNTER(c##n, "bench_start" #n, "One of many");
#if COUNTERS == 1000
REPEAT_1000(DEFINE, _)
#elif COUNTERS == 100
REPEAT_100(DEFINE, _)
#elif COUNTERS != 0
#error "COUNTERS is 0, 100 or 1000"
#endif
#endif

static struct timespec before, after;

__attribute__((constructor(100))) static void construct_before(void)
{
	clock_gettime(CLOCK_MONOTONIC, &before);
}

__attribute__((constructor(102))) static void construct_after(void)
{
	clock_gettime(CLOCK_MONOTONIC, &after);
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		printf("%ld\n", (after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec -
					before.tv_nsec);
	return 0;
}
