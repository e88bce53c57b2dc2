/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Times the cases of a table (loops.h) above an empty loop.
 *
 *	PROGRAM [SUFFIX [CASE...]]	SUFFIX is added to all names; only these cases, if any is named
 *
 * A repetition is some 2.5 ms on pinned threads, in the real-time class where that is permitted. It is
 * kept only if no thread lost its CPU (wall <= 1.05 x thread CPU; one that slept, for a lock, is believed if the kernel
 * has switched it out at no other time). Where the other half of the core belongs to
 * somebody else, an empty loop becomes slower by up to 2x, and nothing else tells: one stands before and
 * after each repetition, and those near the fastest are preferred. All cases are timed in turn, in several
 * rounds, so that a machine that changes its speed changes it for all of them.
 */
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#ifdef LOOPS_DLOPEN
#include <dlfcn.h>
#endif

#include "tests/bench/loops.h"

enum { YARDSTICK_TURNS = 1 << 18, ROUNDS = 5, KEEP = 5, TRIES = 60, ENOUGH = 5, CASES_MAX = 64 };
#define REPETITION_NS 2.5e6

enum quality { PREEMPTED, SLOWED, UNDISTURBED, QUALITIES };

/* Threads that do one case together. */
struct gang {
	const struct loop_case *c;
	uint32_t turns;
	int threads;
	unsigned arrived; /* atomic */
	enum quality quality[LOOP_THREADS]; /* of the last repetition */
	unsigned kept[QUALITIES];
	double ns[QUALITIES][KEEP]; /* of a repetition of thread 0 */
};

struct member {
	struct gang *gang;
	int thread;
};

static double now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The CPUs that the program was started on. */
static cpu_set_t allowed;

void loops_pin(int thread)
{
	struct sched_param realtime = {.sched_priority = 1};
	cpu_set_t set;
	int cpu = -1;

	do
		while (++cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &allowed))
			;
	while (thread-- > 0);
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	pthread_setschedparam(pthread_self(), SCHED_FIFO, &realtime);
}

static void gang_meet(struct gang *g, unsigned *meetings)
{
	__atomic_add_fetch(&g->arrived, 1, __ATOMIC_ACQ_REL);
	++*meetings;
	while (__atomic_load_n(&g->arrived, __ATOMIC_ACQUIRE) < *meetings * (unsigned)g->threads)
		sched_yield();
}

LOOP_DEFINE(empty, "", 1, 1, )

/* Was this thread's core as fast as it has ever been, with so many threads at work? */
static bool yardstick(const struct gang *g, int thread)
{
	static double fastest[LOOP_THREADS + 1][LOOP_THREADS];
	double *f = &fastest[g->threads][thread], ns = now_ns(CLOCK_MONOTONIC);

	loop_empty(thread, YARDSTICK_TURNS);
	ns = now_ns(CLOCK_MONOTONIC) - ns;
	if (*f == 0 || ns < *f)
		*f = ns;
	return ns < 1.1 * *f;
}

static enum quality repeat(const struct gang *g, int thread, double *ns)
{
	bool fast = yardstick(g, thread), lost;
	struct rusage before, after;
	double wall, cpu;

	getrusage(RUSAGE_THREAD, &before);
	wall = now_ns(CLOCK_MONOTONIC);
	cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
	g->c->loop(thread, g->turns);
	cpu = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
	wall = now_ns(CLOCK_MONOTONIC) - wall;
	*ns = wall;
	getrusage(RUSAGE_THREAD, &after);
	lost = after.ru_nvcsw > before.ru_nvcsw ? after.ru_nivcsw > before.ru_nivcsw
						: wall > 1.05 * cpu;
	fast &= yardstick(g, thread);
	return lost ? PREEMPTED : fast ? UNDISTURBED : SLOWED;
}

/* Both meetings of a repetition are needed: all have started, and all know what the others say. */
static void *gang_member(void *arg)
{
	const struct member *m = arg;
	struct gang *g = m->gang;
	unsigned meetings = 0, kept[QUALITIES] = {0};

	loops_pin(m->thread);
	g->c->loop(m->thread, g->turns / 4 + 1);
	for (unsigned try = 0; try < TRIES && kept[UNDISTURBED] < KEEP; try++) {
		enum quality q = UNDISTURBED;
		double ns;

		gang_meet(g, &meetings);
		g->quality[m->thread] = repeat(g, m->thread, &ns);
		gang_meet(g, &meetings);
		for (int i = 0; i < g->threads; i++)
			q = g->quality[i] < q ? g->quality[i] : q;
		if (kept[q] == KEEP)
			continue;
		if (m->thread == 0)
			g->ns[q][kept[q]] = ns;
		kept[q]++;
	}
	if (m->thread == 0)
		memcpy(g->kept, kept, sizeof(kept));
	return NULL;
}

static void gang_start(void *(*main)(void *), struct gang *g)
{
	struct member members[LOOP_THREADS];
	pthread_t t[LOOP_THREADS];

	for (int i = 0; i < g->threads; i++) {
		members[i] = (struct member){g, i};
		if (pthread_create(&t[i], NULL, main, &members[i])) {
			perror("pthread_create");
			exit(1);
		}
	}
	for (int i = 0; i < g->threads; i++)
		pthread_join(t[i], NULL);
}

static void *together_main(void *arg)
{
	const struct member *m = arg;
	unsigned meetings = 0;

	loops_pin(m->thread);
	gang_meet(m->gang, &meetings);
	m->gang->c->loop(m->thread, m->gang->turns);
	return NULL;
}

void loops_together(void (*loop)(int thread, uint32_t turns), uint32_t turns)
{
	struct loop_case c = {.loop = loop, .threads = LOOP_THREADS, .ops = 1};
	struct gang g = {.c = &c, .turns = turns, .threads = LOOP_THREADS};

	gang_start(together_main, &g);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The best KEEP repetitions: slowed ones only where there is nothing better. Returns how many there are. */
static unsigned best(const struct gang *g, double *ns)
{
	unsigned n = 0;

	for (int q = UNDISTURBED; q > PREEMPTED; q--)
		for (unsigned i = 0; i < g->kept[q] && n < KEEP; i++)
			ns[n++] = g->ns[q][i];
	return n;
}

/* Turns of a repetition. */
static uint32_t calibrate(const struct loop_case *c)
{
	double ns[KEEP];
	uint32_t turns;

	for (turns = 16; turns < 1u << 24; turns *= 4) {
		struct gang g = {.c = c, .threads = c->threads, .turns = turns};
		unsigned n;

		gang_start(gang_member, &g);
		n = best(&g, ns);
		qsort(ns, n, sizeof(ns[0]), compare);
		if (n && ns[0] > REPETITION_NS / 16)
			return (uint32_t)(turns * REPETITION_NS / ns[0]) + 1;
	}
	return turns;
}

static unsigned slowed;

/* Adds the ns of a turn in each kept repetition to samples; returns how many there were. */
static unsigned sample(const struct loop_case *c, uint32_t turns, double *samples)
{
	struct gang g = {.c = c, .turns = turns, .threads = c->threads};
	unsigned n;

	gang_start(gang_member, &g);
	n = best(&g, samples);
	slowed += n - g.kept[UNDISTURBED];
	for (unsigned i = 0; i < n; i++)
		samples[i] /= turns;
	return n;
}

static int print(const char *name, const char *suffix, const double *samples, unsigned n)
{
	if (n < ENOUGH) {
		fprintf(stderr,
			"%s%s: the machine is too busy, %u of %d repetitions kept their CPU\n",
			name, suffix, n, ROUNDS * KEEP);
		return 1;
	}
	printf("%s%s\tns\t", name, suffix);
	for (unsigned i = 0; i < n; i++)
		printf("%.6g%c", samples[i], i + 1 < n ? ' ' : '\n');
	return 0;
}

static const struct loop_case empty_case = {"empty loop (not subtracted)", loop_empty, 1, 1};

/* The first case is the empty loop. */
static int time_cases(const struct loop_case **cases, size_t n, const char *suffix)
{
	static double samples[CASES_MAX][ROUNDS * KEEP];
	unsigned have[CASES_MAX] = {0};
	uint32_t turns[CASES_MAX];
	int code = 0;

	for (size_t i = 0; i < n; i++)
		turns[i] = calibrate(cases[i]);
	for (int round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < n; i++)
			have[i] += sample(cases[i], turns[i], samples[i] + have[i]);
	qsort(samples[0], have[0], sizeof(double), compare);
	for (size_t i = 1; i < n && have[0]; i++)
		for (unsigned k = 0; k < have[i]; k++)
			samples[i][k] = (samples[i][k] - samples[0][have[0] / 2]) / cases[i]->ops;
	for (size_t i = 0; i < n; i++)
		code |= print(cases[i]->name, suffix, samples[i], have[i]);
	if (slowed)
		fprintf(stderr, "slowed by others on the same core: %u repetitions of %zu\n",
			slowed, n * ROUNDS * KEEP);
	return code;
}

static bool is_asked(const char *name, int argc, char **argv)
{
	for (int i = 2; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc <= 2;
}

#ifdef LOOPS_DLOPEN
static const struct loop_table *find_table(void)
{
	void *so = dlopen(getenv("LOOPS_OBJECT"), RTLD_NOW | RTLD_LOCAL);
	const struct loop_table *table = so ? dlsym(so, "loop_table") : NULL;

	if (!table)
		fprintf(stderr, "%s\n", dlerror());
	return table;
}
#else
static const struct loop_table *find_table(void)
{
	return &loop_table;
}
#endif

int main(int argc, char **argv)
{
	const struct loop_table *table = find_table();
	const struct loop_case *cases[CASES_MAX] = {&empty_case};
	size_t n = 1;
	int code;

	if (!table)
		return 1;
	sched_getaffinity(0, sizeof(allowed), &allowed);
	if (CPU_COUNT(&allowed) < LOOP_THREADS) {
		fprintf(stderr, "needs %d CPUs\n", LOOP_THREADS);
		return 77;
	}
	code = table->before ? table->before() : 0;
	if (code)
		return code;
	for (size_t i = 0; i < table->ncases && n < CASES_MAX; i++)
		if (is_asked(table->cases[i].name, argc, argv))
			cases[n++] = &table->cases[i];
	code = time_cases(cases, n, argc > 1 ? argv[1] : "");
	return code ? code : table->after ? table->after() : 0;
}
