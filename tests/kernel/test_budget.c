/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A budget against the fastest storm of context switches that this machine makes: module "sched", held and let
 * go on as the registry does it, by a process that has given up its privileges. What its program took is
 * asked of the program's own clock, and of the kernel's where that has statistics of BPF programs.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sched.h>
#include <time.h>

#define MODULE_UNDER_TEST module_sched
#include "tests/lib/testmodule.h"

enum { CPUS_MAX = 64, POLLS = 80, POLL_MS = 50 };

/* A token goes to and fro between two threads that share a CPU: each pass is two switches. */
struct pair {
	int there[2], back[2];
	int cpu;
	pthread_t threads[2];
};
static struct pair pairs[CPUS_MAX];
static bool stop;

static void pass(int from, int to)
{
	char token = 0;

	while (read(from, &token, 1) == 1 && !__atomic_load_n(&stop, __ATOMIC_RELAXED))
		if (write(to, &token, 1) != 1)
			break;
	close(to);
}

static void *first(void *arg)
{
	struct pair *p = arg;

	stay_on_cpu(p->cpu);
	cr_assert_eq(write(p->there[1], "", 1), 1);
	pass(p->back[0], p->there[1]);
	return NULL;
}

static void *second(void *arg)
{
	struct pair *p = arg;

	stay_on_cpu(p->cpu);
	pass(p->there[0], p->back[1]);
	return NULL;
}

static int begin_storm(void)
{
	int n = (int)sysconf(_SC_NPROCESSORS_ONLN);

	n = n < CPUS_MAX ? n : CPUS_MAX;
	for (int i = 0; i < n; i++) {
		struct pair *p = &pairs[i];

		p->cpu = i;
		cr_assert_eq(pipe(p->there) | pipe(p->back), 0);
		cr_assert_eq(pthread_create(&p->threads[0], NULL, first, p), 0);
		cr_assert_eq(pthread_create(&p->threads[1], NULL, second, p), 0);
	}
	return n;
}

static void end_storm(int n)
{
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < n; i++)
		for (int k = 0; k < 2; k++)
			pthread_join(pairs[i].threads[k], NULL);
}

static void sleep_ms(long ms)
{
	const struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static uint64_t switches(void)
{
	return value("sched_switches", NULL, SERIES_VALUE);
}

static uint64_t run_ns(void)
{
	return value("sched_oncpu_seconds", NULL, SERIES_VALUE);
}

/* Nothing of the time between is counted, and all of what comes after; also where bpf(2) is refused by then. */
Test(budget, held_programs_come_back_without_privileges, .init = setup, .fini = teardown)
{
	uint64_t before, held, run, begin;

	drop_all_privileges();
	sleep_ms(20);
	poll_producer();
	cr_assert_eq(module_set_level(&producer, BUDGET_HELD), 0);
	cr_assert_eq(module_set_level(&producer, BUDGET_HELD), 0);
	sleep_ms(50); /* what runs still, ends */
	poll_producer();
	before = switches();
	for (int i = 0; i < 10; i++)
		sleep_ms(10);
	poll_producer();
	cr_assert_eq(switches(), before, "counted while it was held");
	run = run_ns();
	begin = clock_monotonic_ns();
	while (clock_monotonic_ns() - begin < 300 * NSEC_PER_MSEC)
		;
	cr_assert_eq(module_set_level(&producer, BUDGET_WHOLE), 0);
	held = clock_monotonic_ns();
	for (int i = 0; i < 20; i++)
		sleep_ms(2);
	poll_producer();
	cr_assert_geq(switches(), before + 20);
	run = run_ns() - run;
	held = clock_monotonic_ns() - held;
	printf("%lu us on a CPU in %lu us\n", run / 1000, held / 1000);
	cr_assert_leq(run, held * (uint64_t)sysconf(_SC_NPROCESSORS_ONLN),
		"a time from before it was attached");
}

Test(budget, the_fastest_storm_stays_under_it, .init = setup_unless_emulated, .fini = teardown)
{
	const struct budget budget = {.share_ppm = 2000, .span_ns = 500 * NSEC_PER_MSEC};
	struct budget_account account = {0};
	uint32_t cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t begin, used, step, last, step_max = 0, counted, free_ns, free_switches;
	double allowed, seconds;
	unsigned worked = 0;
	enum budget_level before = BUDGET_WHOLE;
	int n;

	n = begin_storm();
	sleep_ms(100);
	/* how fast it is, and what that costs without a budget */
	poll_producer();
	free_switches = switches();
	free_ns = module_programs_ns(&producer);
	begin = clock_monotonic_ns();
	sleep_ms(1000);
	poll_producer();
	seconds = (double)(clock_monotonic_ns() - begin) / NSEC_PER_SEC;
	free_switches = switches() - free_switches;
	free_ns = module_programs_ns(&producer) - free_ns;
	printf("%.0f switches/s on %d CPUs: %.0f ns each, %.3f %% of the CPUs\n",
		(double)free_switches / seconds, n, (double)free_ns / (double)free_switches,
		(double)free_ns / seconds / cpus / 1e7);
	cr_assert_gt((double)free_ns / seconds / cpus, 2.0 * budget.share_ppm * 1e3,
		"the storm is too weak to show anything");

	begin = clock_monotonic_ns();
	used = last = module_programs_ns(&producer);
	for (int i = 0; i < POLLS; i++) {
		uint64_t total = module_programs_ns(&producer);
		enum budget_level level = budget_look(
			&budget, &account, cpus, BUDGET_PROGRAMS, clock_monotonic_ns(), total);

		step = total - last;
		step_max = step > step_max ? step : step_max;
		last = total;
		if (level != BUDGET_WHOLE || before != BUDGET_WHOLE)
			cr_assert_eq(module_set_level(&producer, level), 0);
		before = level;
		worked += level == BUDGET_WHOLE;
		sleep_ms(POLL_MS);
	}
	seconds = (double)(clock_monotonic_ns() - begin) / NSEC_PER_SEC;
	counted = module_programs_ns(&producer) - used;
	end_storm(n);
	allowed = (seconds + (double)budget.span_ns / NSEC_PER_SEC) * budget.share_ppm * 1e3 * cpus;
	printf("%.2f s: %.2f ms used, %.2f allowed, at most %.2f in a poll; held %lu times, at %u "
	       "of %d polls it worked\n",
		seconds, (double)counted / 1e6, allowed / 1e6, (double)step_max / 1e6,
		account.holds, worked, POLLS);
	cr_assert_leq((double)counted, allowed + 2 * (double)step_max);
	cr_assert_geq(account.holds, 2, "it never came back");
	cr_assert_geq(worked, 2);
}
