/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "slices": a thread that has the CPU for a known time, again and again. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <sys/resource.h>
#include <time.h>

#include "bpf/slices.h"

#define MODULE_UNDER_TEST module_slices
#include "tests/lib/testmodule.h"

enum { TURNS = 400, TURN_US = 600, TRIES = 5 };

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

/* Time that all CPUs were busy; the kernel counts it in ticks. */
static uint64_t busy_ns(void)
{
	unsigned long long t[8];
	FILE *f = fopen("/proc/stat", "r");

	cr_assert_not_null(f);
	cr_assert_eq(fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2],
			     &t[3], &t[4], &t[5], &t[6], &t[7]),
		8);
	fclose(f);
	return (t[0] + t[1] + t[2] + t[5] + t[6] + t[7]) *
	       (NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* Those of at least 524 us, of all tasks, and of less than twice as much. */
static uint64_t long_slices(void)
{
	uint64_t n = 0;

	for (uint32_t i = tally_histogram_index(1u << 19, SLICES_LO, SLICES_HI) + 1;
		tally_histogram_upper(i, SLICES_LO, SLICES_HI) <= 1u << 20; i++) {
		char le[80];

		value_format(tally_histogram_upper(i, SLICES_LO, SLICES_HI), VALUE_U64, -9, le + 4,
			sizeof(le) - 5);
		memcpy(le, "le=\"", 4);
		strcat(le, "\"");
		n += value("sched_slice_seconds", le, SERIES_BUCKET);
	}
	return n;
}

/* How often this thread has left its CPU. */
static uint64_t turns_taken(void)
{
	struct rusage u;

	cr_assert_eq(getrusage(RUSAGE_THREAD, &u), 0);
	return (uint64_t)(u.ru_nvcsw + u.ru_nivcsw);
}

/*
 * Each turn is one slice, unless somebody takes the CPU away: then the next try. All slices are not more than the CPUs
 * were busy.
 */
Test(slices, turns_of_a_thread, .init = setup, .fini = teardown)
{
	const struct timespec pause = {.tv_nsec = 100000};
	uint64_t n, all, sum, ours, busy, turns;
	bool good = false;

	stay_on_cpu(sched_getcpu());
	for (int try = 0; try < TRIES && !good; try++) {
		poll_producer();
		n = long_slices();
		all = value("sched_slice_seconds", NULL, SERIES_BUCKET);
		sum = value("sched_slice_seconds", NULL, SERIES_SUM);
		busy = busy_ns();
		turns = turns_taken();
		ours = cpu_ns();
		for (int i = 0; i < TURNS; i++) {
			uint64_t end = cpu_ns() + TURN_US * 1000;

			while (cpu_ns() < end)
				;
			nanosleep(&pause, NULL);
		}
		ours = cpu_ns() - ours;
		turns = turns_taken() - turns;
		busy = busy_ns() - busy;
		poll_producer();
		n = long_slices() - n;
		all = value("sched_slice_seconds", NULL, SERIES_BUCKET) - all;
		sum = value("sched_slice_seconds", NULL, SERIES_SUM) - sum;
		printf("%lu of %d turns are slices of 524 to 1,049 us; %lu in all, %lu us, ours "
		       "%lu, busy %lu\n",
			n, TURNS, all, sum / 1000, ours / 1000, busy / 1000);
		cr_assert_leq(n, all);
		/* a pause may be over before it begins, where all is emulated or others take the CPU */
		cr_assert_geq(turns, TURNS / 2);
		cr_assert_geq(all, turns);
		if (!clocks_are_real())
			return;
		cr_assert_geq(sum, ours - ours / 50);
		/* those are ticks, some of which a virtual machine may lose */
		good = n >= TURNS * 3 / 4 && sum <= busy + ours / 2;
	}
	cr_assert(good, "in none of %d tries", TRIES);
}
