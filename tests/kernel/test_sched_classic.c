/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run-queue latency by the run queue's clock against the classic design with two programs and a clock of its own,
 * both at the same time on the same work. The run queue's clock is that of its last update, and was read
 * before the tracepoint: so single short waits differ, while counts, sums and long waits agree.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#include "tests/kernel/classic_runq.h"
#include "tests/kernel/classic_runq.skel.h"
#define MODULE_UNDER_TEST module_sched
#include "tests/lib/testmodule.h"

enum { PASSES = 20000, SLEEPS = 1000 };
/* Waits of 65 us and more are compared one by one: none is further off than the next bucket, 14 to 25 %. */
#define LONG_NS 65536u

struct waits {
	double count, sum, buckets[SCHED_WAIT_BUCKETS];
};

static struct classic_runq_bpf *classic;
static const struct classic_cpu *cpus;
static int ncpus;

static void open_classic(void)
{
	classic = classic_runq_bpf__open();
	ncpus = libbpf_num_possible_cpus();
	cr_assert_not_null(classic);
	cr_assert_gt(ncpus, 0);
	cr_assert_eq(bpf_map__set_max_entries(classic->maps.classic_cpu, (uint32_t)ncpus), 0);
	cr_assert_eq(classic_runq_bpf__load(classic), 0);
	cpus = mmap(NULL, (size_t)ncpus * sizeof(*cpus), PROT_READ, MAP_SHARED,
		bpf_map__fd(classic->maps.classic_cpu), 0);
	cr_assert_neq(cpus, MAP_FAILED);
	cr_assert_eq(classic_runq_bpf__attach(classic), 0);
}

static struct waits read_classic(void)
{
	struct waits w = {0};

	for (int cpu = 0; cpu < ncpus; cpu++) {
		w.sum += (double)cpus[cpu].wait_ns;
		for (size_t i = 0; i < SCHED_WAIT_BUCKETS; i++)
			w.buckets[i] += (double)cpus[cpu].waits[i];
	}
	for (size_t i = 0; i < SCHED_WAIT_BUCKETS; i++)
		w.count += w.buckets[i];
	return w;
}

static struct waits read_ours(void)
{
	struct waits w = {.sum = 0};
	size_t first = 0;

	poll_producer();
	while (snapshot.group->schema.series[first].part != SERIES_BUCKET)
		first++;
	for (size_t i = 0; i < SCHED_WAIT_BUCKETS; i++) {
		w.buckets[i] = (double)snapshot.group->values[first + i];
		w.count += w.buckets[i];
	}
	w.sum = (double)value("sched_runq_latency_seconds", NULL, SERIES_SUM);
	return w;
}

static struct waits less(struct waits a, const struct waits *b)
{
	a.count -= b->count;
	a.sum -= b->sum;
	for (size_t i = 0; i < SCHED_WAIT_BUCKETS; i++)
		a.buckets[i] -= b->buckets[i];
	return a;
}

/* --- work: short waits, waits of milliseconds, and sleeps ---------------------------------------- */

static int there[2], back[2];

static void *answer(void *arg)
{
	char c;

	stay_on_cpu(0);
	for (int i = 0; i < PASSES; i++)
		if (read(there[0], &c, 1) != 1 || write(back[1], &c, 1) != 1)
			abort();
	return NULL;
}

static void *spin(void *arg)
{
	uint64_t begin = clock_monotonic_ns();

	stay_on_cpu(0);
	while (clock_monotonic_ns() - begin < 600 * NSEC_PER_MSEC)
		;
	return NULL;
}

static void *doze(void *arg)
{
	for (int i = 0; i < SLEEPS; i++)
		usleep(100);
	return NULL;
}

static void work(void)
{
	pthread_t t[4];
	char c = 0;

	cr_assert_eq(pipe(there) | pipe(back), 0);
	cr_assert_eq(pthread_create(&t[0], NULL, answer, NULL), 0);
	for (int i = 0; i < PASSES; i++)
		cr_assert(write(there[1], &c, 1) == 1 && read(back[0], &c, 1) == 1);
	cr_assert_eq(pthread_create(&t[1], NULL, spin, NULL), 0);
	cr_assert_eq(pthread_create(&t[2], NULL, spin, NULL), 0);
	cr_assert_eq(pthread_create(&t[3], NULL, doze, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

/* Waits that took a bucket's lower bound or more. */
static double at_least(const struct waits *w, size_t bucket)
{
	double n = 0;

	for (size_t i = bucket; i < SCHED_WAIT_BUCKETS; i++)
		n += w->buckets[i];
	return n;
}

static bool agree(double a, double b, double part, double slack)
{
	double d = a > b ? a - b : b - a;

	return d <= b * part + slack;
}

Test(sched_classic, counts_sums_and_long_waits_agree, .init = setup_unless_emulated,
	.fini = teardown)
{
	struct waits ours, theirs, before, classic_before;
	size_t longs = tally_histogram_index(LONG_NS, SCHED_WAIT_LO, SCHED_WAIT_HI) + 1;

	open_classic();
	stay_on_cpu(0);
	usleep(20000);
	before = read_ours();
	classic_before = read_classic();
	work();
	usleep(20000);
	ours = read_ours();
	theirs = read_classic();
	ours = less(ours, &before);
	theirs = less(theirs, &classic_before);
	classic_runq_bpf__destroy(classic);

	printf("%.0f waits, classic %.0f; %.2f ms in all, %.2f\n", ours.count, theirs.count,
		ours.sum / 1e6, theirs.sum / 1e6);
	for (size_t i = 0; i < SCHED_WAIT_BUCKETS; i++)
		if (ours.buckets[i] + theirs.buckets[i] >= 100)
			printf("to %10.3f us: %7.0f, classic %7.0f\n",
				(double)tally_histogram_upper(
					(uint32_t)i, SCHED_WAIT_LO, SCHED_WAIT_HI) /
					1e3,
				ours.buckets[i], theirs.buckets[i]);
	cr_assert_geq(theirs.count, 2 * PASSES + SLEEPS);
	cr_assert(agree(ours.count, theirs.count, 0.01, 10));
	cr_assert(agree(ours.sum, theirs.sum, 0.03, 1e6));
	cr_assert_geq(at_least(&theirs, longs), 50, "no long waits to compare");
	for (size_t i = longs; i + 1 < SCHED_WAIT_BUCKETS; i++) {
		cr_assert_leq(
			at_least(&ours, i + 1), at_least(&theirs, i) * 1.1 + 5, "bucket %zu", i);
		cr_assert_leq(
			at_least(&theirs, i + 1), at_least(&ours, i) * 1.1 + 5, "bucket %zu", i);
	}
}
