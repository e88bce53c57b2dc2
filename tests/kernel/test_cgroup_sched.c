/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "cgroup_sched": threads of a cgroup that share one CPU, whose time on it and without it the kernel itself
 * tells of each thread.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <sys/wait.h>
#include <time.h>

#include "bpf/module.h"
#include "tests/lib/testcgroup.h"

#define MODULE_UNDER_TEST module_cgroup_sched
#include "tests/lib/testmodule.h"

enum { SPINNERS = 3, MOVES = 50, PASSES = 100000 };

static char path[64], labels[100];

static void make_cgroup(const char *name)
{
	snprintf(path, sizeof(path), "/tally-%s-%d", name, (int)getpid());
	snprintf(labels, sizeof(labels), "cgroup=\"%s\"", path);
	cgroup_make(path);
}

struct times {
	uint64_t run_ns, wait_ns, turns;
};

static struct times own_times(void)
{
	unsigned long long run = 0, wait = 0, turns = 0;
	FILE *f = fopen("/proc/self/schedstat", "r");

	if (!f || fscanf(f, "%llu %llu %llu", &run, &wait, &turns) != 3)
		_exit(2);
	fclose(f);
	return (struct times){run, wait, turns};
}

static uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

/* Spins in the cgroup for half a second, and writes what the kernel says of it since it was there. */
static void spin_inside(int cpu, int out)
{
	struct times begin, end;
	uint64_t until;

	stay_on_cpu(cpu);
	cgroup_enter(path);
	usleep(1000); /* what was before is before the first turn in the cgroup */
	begin = own_times();
	until = wall_ns() + NSEC_PER_SEC / 2;
	while (wall_ns() < until)
		;
	end = own_times();
	end.run_ns -= begin.run_ns;
	end.wait_ns -= begin.wait_ns;
	end.turns -= begin.turns;
	_exit(write(out, &end, sizeof(end)) != sizeof(end));
}

/* Half a second of all spinners in a new cgroup: what the kernel says of them together. */
static struct times spin(const char *name)
{
	struct times one, all = {0};
	int cpu = sched_getcpu(), fds[2], status;

	cr_assert_eq(pipe(fds), 0);
	make_cgroup(name);
	for (int i = 0; i < SPINNERS; i++)
		if (!fork())
			spin_inside(cpu, fds[1]);
	for (int i = 0; i < SPINNERS; i++) {
		cr_assert_eq(read(fds[0], &one, sizeof(one)), sizeof(one));
		all.run_ns += one.run_ns;
		all.wait_ns += one.wait_ns;
		all.turns += one.turns;
	}
	while (wait(&status) > 0)
		cr_assert_eq(status, 0);
	close(fds[0]);
	close(fds[1]);
	usleep(20000);
	cgroup_remove(path);
	return all;
}

/* Theirs lack what was before and after, a tenth at most; where all is emulated that takes longer. */
static bool is_time(uint64_t ns, uint64_t kernel_ns)
{
	return ns >= kernel_ns - kernel_ns / 100 &&
	       ns <= kernel_ns + kernel_ns / (clocks_are_real() ? 10 : 2);
}

/* A switch that is missed takes a whole turn with it, so there are rounds, each in a cgroup of its own. */
Test(cgroup_sched, time_on_a_cpu_and_without, .init = setup, .fini = teardown)
{
	bool good = false;

	for (int round = 0; round < 4 && !good; round++) {
		char name[16];
		struct times all;
		uint64_t run, waited, turns, longer;

		snprintf(name, sizeof(name), "sched%d", round);
		all = spin(name);
		poll_producer();
		run = value("cgroup_oncpu_seconds", labels, SERIES_VALUE);
		waited = value("cgroup_runq_latency_seconds", labels, SERIES_SUM);
		turns = value("cgroup_switches", labels, SERIES_VALUE);
		longer = value("cgroup_runq_latency_seconds", labels, SERIES_BUCKET);
		printf("on the CPU %lu us, the kernel says %lu; without %lu us, %lu; %lu turns, "
		       "%lu\n",
			run / 1000, all.run_ns / 1000, waited / 1000, all.wait_ns / 1000, turns,
			all.turns);
		cr_assert_gt(all.wait_ns, 500 * NSEC_PER_MSEC, "they did share a CPU");
		cr_assert_leq(longer, turns);
		good = is_time(run, all.run_ns) && is_time(waited, all.wait_ns) &&
		       turns >= all.turns && turns <= all.turns + 10 * SPINNERS;
	}
	cr_assert(good);
}

/* Passes a token on, and writes what the kernel says of it since it was in the cgroup. */
static void pass_inside(int cpu, int from, int to, int out)
{
	struct times begin, end;
	char token = 0;

	stay_on_cpu(cpu);
	cgroup_enter(path);
	begin = own_times();
	for (int i = 0; i < PASSES; i++)
		if (write(to, &token, 1) != 1 || read(from, &token, 1) != 1)
			_exit(3);
	end = own_times();
	end.run_ns -= begin.run_ns;
	end.wait_ns -= begin.wait_ns;
	end.turns -= begin.turns;
	_exit(write(out, &end, sizeof(end)) != sizeof(end));
}

/* Sampled more coarsely, one of 16 turns stands for 16: of so many a standard deviation is 0.5 %. */
Test(cgroup_sched, what_is_sampled_stands_for_all, .init = setup_unless_emulated, .fini = teardown)
{
	struct times one, all = {0};
	double run, turns, waits;
	int cpu = sched_getcpu(), there[2], back[2], fds[2], status;

	cr_assert_eq(pipe(there) | pipe(back) | pipe(fds), 0);
	make_cgroup("sampled");
	cr_assert_eq(module_set_level(&producer, BUDGET_COARSE), 0);
	if (!fork())
		pass_inside(cpu, back[0], there[1], fds[1]);
	if (!fork())
		pass_inside(cpu, there[0], back[1], fds[1]);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(read(fds[0], &one, sizeof(one)), sizeof(one));
		all.run_ns += one.run_ns;
		all.turns += one.turns;
	}
	while (wait(&status) > 0)
		cr_assert_eq(status, 0);
	cgroup_remove(path);
	poll_producer();
	run = (double)value("cgroup_oncpu_seconds", labels, SERIES_VALUE);
	turns = (double)value("cgroup_switches", labels, SERIES_VALUE);
	waits = (double)value("cgroup_runq_latency_seconds", labels, SERIES_BUCKET);
	printf("on the CPU %.0f us, the kernel says %lu; %.0f turns, %lu; %.0f waits\n", run / 1e3,
		all.run_ns / 1000, turns, all.turns, waits);
	cr_assert_gt(all.turns, PASSES);
	cr_assert(turns > (double)all.turns * 0.97 && turns < (double)all.turns * 1.03);
	cr_assert(waits > (double)all.turns * 0.97 && waits <= turns);
	cr_assert(run > (double)all.run_ns * 0.93 && run < (double)all.run_ns * 1.07);
	cr_assert_eq((uint64_t)turns % TALLY_COARSE_EVERY, 0, "none was looked at by itself");
}

Test(cgroup_sched, moves, .init = setup, .fini = teardown)
{
	int status;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		cr_skip_test("needs two CPUs");
	make_cgroup("moves");
	if (!fork()) {
		cgroup_enter(path);
		for (int i = 0; i < MOVES; i++)
			stay_on_cpu(i % 2);
		_exit(0);
	}
	cr_assert_gt(wait(&status), 0);
	cr_assert_eq(status, 0);
	cgroup_remove(path);
	poll_producer();
	printf("%lu moves\n", value("cgroup_migrations", labels, SERIES_VALUE));
	cr_assert_geq(value("cgroup_migrations", labels, SERIES_VALUE), MOVES - 1);
	cr_assert_leq(value("cgroup_migrations", labels, SERIES_VALUE), MOVES + 10);
}
