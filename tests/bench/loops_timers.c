/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What timing costs, beside the clocks that it could be done with. All is timed with tally's clock
 * calibrated, which the program makes sure of; how right it is then tells clock.c.
 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <tally/tally.h>

#include "tests/bench/loops.h"

enum { WARM_UP_US = 25000 };

TALLY_COUNTER(one, "bench_timed", "Counted beside");
TALLY_TIMER(scope, "bench_scope_seconds", "Scopes");
TALLY_TIMER(sampled, "bench_sampled_seconds", "Scopes, some of them timed");
TALLY_TIMER(by_hand, "bench_by_hand_seconds", "From START to STOP");

static void two_clock_gettime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	clock_gettime(CLOCK_MONOTONIC, &t);
}

static void two_rdtsc(void)
{
#ifdef __x86_64__
	__builtin_ia32_rdtsc();
	__builtin_ia32_rdtsc();
#else
#error "the benchmark reads the time stamp counter of x86-64"
#endif
}

static void start_stop(void)
{
	struct tally_start s = TALLY_START();

	TALLY_STOP(by_hand, s);
}

/* clang-format off */
#define CASES(X) \
	X(time, "TALLY_TIME, a scope", 1, 1, { TALLY_TIME(scope); }) \
	X(time64, "TALLY_TIME_SAMPLED, 1 scope in 64", 1, 1, { TALLY_TIME_SAMPLED(sampled, 64); }) \
	X(start_stop, "TALLY_START and TALLY_STOP", 1, 1, start_stop()) \
	X(rdtsc, "two reads of rdtsc", 1, 1, two_rdtsc()) \
	X(clock, "two calls of clock_gettime(CLOCK_MONOTONIC)", 1, 1, two_clock_gettime()) \
	X(inc, "TALLY_INC, beside the timers", 1, 1, TALLY_INC(one))
/* clang-format on */

CASES(LOOP_DEFINE)
static const struct loop_case cases[] = {CASES(LOOP_ROW)};

/* The rate is measured at the start of a timer, 10 ms and more after the program's. */
static int before(void)
{
	TALLY_INC(one);
	usleep(WARM_UP_US);
	(void)TALLY_START();
	if (TALLY_START().rate)
		return 0;
	fprintf(stderr, "timers do not use the processor's counter, as the kernel does not\n");
	return 1;
}

/* All scopes were timed by the counter, and none is missing. */
static int after(void)
{
	uint64_t scopes = TALLY_HISTOGRAM_COUNT(scope);

	loop_time(0, 1000);
	if (TALLY_START().rate && TALLY_HISTOGRAM_COUNT(scope) - scopes == 1000)
		return 0;
	fprintf(stderr, "scopes were lost\n");
	return 1;
}

const struct loop_table loop_table = {cases, LOOP_COUNT(cases), before, after};
