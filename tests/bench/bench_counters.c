/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one count costs, above an empty loop, beside what else a program could do.
 *
 * A repetition is 2.5 ms on a pinned thread and is kept only if its thread had the CPU all the time
 * (wall <= 1.05 x thread CPU). Below some 2 ns processors are bimodal (a store's value is forwarded by
 * renaming, or not): read the range, not the digit.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include <tally/tally.h>

#include "tests/bench/bench.h"

#define REPS    25
#define TRIES   400
#define OPS     (1u << 20)
#define THREADS 2

TALLY_COUNTER(one, "bench_one", "Counted in a loop");
TALLY_GAUGE(gauge, "bench_gauge", "Set in a loop");
#define MANY(X) \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define DEFINE(n) TALLY_COUNTER(c##n, "bench_many_" #n, "One of sixteen");
MANY(DEFINE)

static __thread volatile uint64_t local;
static struct {
	_Alignas(128) atomic_uint_fast64_t cell;
} own_line[THREADS], shared_line;

typedef void (*loop_fn)(int thread);

/* The empty asm keeps each turn of the loop a turn, as in a program that does something between. */
#define LOOP(name, body)                                       \
	static void name(int thread)                           \
	{                                                      \
		(void)thread;                                  \
		for (uint32_t i = 0; i < OPS; i++) {           \
			body;                                  \
			__asm__ __volatile__("" ::: "memory"); \
		}                                              \
	}
#define INC(n) TALLY_INC(c##n);

LOOP(loop_empty, )
LOOP(loop_inc, TALLY_INC(one))
LOOP(loop_add, TALLY_ADD(one, i))
LOOP(loop_many, MANY(INC))
LOOP(loop_set, TALLY_GAUGE_SET(gauge, i))
LOOP(loop_gauge_add, TALLY_GAUGE_ADD(gauge, 1))
LOOP(loop_local, local = local + 1)
LOOP(loop_own, atomic_fetch_add_explicit(&own_line[thread].cell, 1, memory_order_relaxed))
LOOP(loop_shared, atomic_fetch_add_explicit(&shared_line.cell, 1, memory_order_relaxed))

static double now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

struct job {
	loop_fn loop;
	int thread;
	unsigned kept;
	double samples[REPS];
};

static void *job_main(void *arg)
{
	struct job *j = arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(j->thread, &set);
	sched_setaffinity(0, sizeof(set), &set);
	j->loop(j->thread);
	for (unsigned try = 0; try < TRIES && j->kept < REPS; try++) {
		double wall = now_ns(CLOCK_MONOTONIC), cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
		j->loop(j->thread);
		cpu = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
		wall = now_ns(CLOCK_MONOTONIC) - wall;
		if (wall <= 1.05 * cpu)
			j->samples[j->kept++] = wall / OPS;
	}
	return NULL;
}

/* Median ns per turn of the loop, on 1 or 2 threads at once; samples of thread 0. */
static unsigned run(loop_fn loop, int threads, double *samples)
{
	struct job jobs[THREADS];
	pthread_t t[THREADS];

	for (int i = 0; i < threads; i++) {
		jobs[i] = (struct job){.loop = loop, .thread = i};
		pthread_create(&t[i], NULL, job_main, &jobs[i]);
	}
	for (int i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	memcpy(samples, jobs[0].samples, sizeof(jobs[0].samples));
	return jobs[0].kept;
}

static double empty;

static double measure(struct bench *b, const char *name, loop_fn loop, int threads, double per_turn)
{
	double samples[REPS];
	unsigned n = run(loop, threads, samples);

	if (n < 5) {
		printf("%s: the machine is too busy, %u repetitions of %d were undisturbed\n", name,
			n, REPS);
		exit(1);
	}
	for (unsigned i = 0; i < n; i++)
		samples[i] = (samples[i] - empty) / per_turn;
	return bench_samples(b, name, NULL, samples, n);
}

int main(void)
{
	static struct bench b = {
		.name = "counters",
		.unit = "ns",
		.about = "ns per operation above an empty loop, median of undisturbed repetitions",
	};
	double inc, own, shared;
	int threads = sysconf(_SC_NPROCESSORS_ONLN) < 2 ? 1 : 2;

	empty = measure(&b, "empty loop (not subtracted)", loop_empty, 1, 1);
	inc = measure(&b, "TALLY_INC", loop_inc, 1, 1);
	measure(&b, "TALLY_INC, 16 counters in turn", loop_many, 1, 16);
	measure(&b, "TALLY_INC, two threads, same counter", loop_inc, threads, 1);
	measure(&b, "TALLY_ADD", loop_add, 1, 1);
	measure(&b, "TALLY_GAUGE_SET", loop_set, 1, 1);
	measure(&b, "TALLY_GAUGE_ADD", loop_gauge_add, 1, 1);
	measure(&b, "thread-local ++", loop_local, 1, 1);
	own = measure(&b, "relaxed atomic on its own line", loop_own, 1, 1);
	shared = measure(&b, "relaxed atomic, two threads, same line", loop_shared, threads, 1);
	if (inc > 0.01) {
		bench_ratio(&b, "relaxed atomic on its own line / TALLY_INC", own / inc);
		bench_ratio(&b, "one shared atomic, two threads / TALLY_INC", shared / inc);
	}
	return bench_write(&b);
}
