/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What module "sched" costs: CPU time of a pipe round trip between two threads on one CPU (two context
 * switches and hardly anything else) with its program attached and without, in blocks that alternate
 * within one process; and a poll of the producer.
 *
 * Exit code 77: the program can't be loaded here. 1: the slowdown passes SLOWDOWN_MAX.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/lib/util.h"
#include "user/provider/kernel/modules.h"
#include "user/provider/producer.h"

#define PAIRS        41
#define ROUND_TRIPS  6000u /* in a block: some 25 ms */
#define POLLS        1000u /* in a sample */
#define SLOWDOWN_MAX 0.10

static int there[2], back[2];

struct snapshot {
	struct group *group;
};

int snapshot_add(struct snapshot *s, struct group *g, uint64_t begin_ns, uint64_t end_ns)
{
	s->group = g;
	return 0;
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static void *answer(void *arg)
{
	char c;

	while (read(there[0], &c, 1) == 1 && write(back[1], &c, 1) == 1)
		;
	return NULL;
}

/* ns of CPU time per round trip. */
static double block(void)
{
	uint64_t begin = cpu_ns();
	char c = 0;

	for (unsigned i = 0; i < ROUND_TRIPS; i++)
		if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
			abort();
	return (double)(cpu_ns() - begin) / ROUND_TRIPS;
}

static double block_attached(struct producer *p)
{
	double ns;

	if (module_attach(p, true)) {
		fprintf(stderr, "attach: %s\n", strerror(errno));
		exit(1);
	}
	ns = block();
	module_attach(p, false);
	return ns;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *v, size_t n)
{
	double sorted[PAIRS];

	memcpy(sorted, v, n * sizeof(*v));
	qsort(sorted, n, sizeof(*sorted), by_value);
	return sorted[n / 2];
}

static void print_case(
	FILE *f, const char *name, const char *unit, const double *v, const char *end)
{
	double sorted[PAIRS];

	memcpy(sorted, v, sizeof(sorted));
	qsort(sorted, PAIRS, sizeof(*sorted), by_value);
	fprintf(f,
		"{\"case\": \"%s\", \"unit\": \"%s\", \"value\": %.1f, \"n\": %d, \"min\": %.1f, "
		"\"max\": %.1f}%s\n",
		name, unit, sorted[PAIRS / 2], PAIRS, sorted[0], sorted[PAIRS - 1], end);
	printf("%-34s %9.1f %s (%.1f .. %.1f)\n", name, sorted[PAIRS / 2], unit, sorted[0],
		sorted[PAIRS - 1]);
}

static void pin(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((unsigned)sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static void measure_round_trips(struct producer *p, double *off, double *on)
{
	pthread_t t;

	if (pipe(there) || pipe(back) || pthread_create(&t, NULL, answer, NULL))
		abort();
	block();
	block_attached(p);
	for (int i = 0; i < PAIRS; i++) {
		if (i % 2)
			on[i] = block_attached(p);
		off[i] = block();
		if (i % 2 == 0)
			on[i] = block_attached(p);
	}
	close(there[1]);
	pthread_join(t, NULL);
}

static void measure_polls(struct producer *p, double *polls)
{
	struct snapshot s;

	for (int i = 0; i < PAIRS; i++) {
		uint64_t begin = cpu_ns();

		for (unsigned n = 0; n < POLLS; n++)
			if (p->ops->get_stats(p, &s))
				abort();
		polls[i] = (double)(cpu_ns() - begin) / POLLS;
	}
}

int main(void)
{
	double off[PAIRS], on[PAIRS], more[PAIRS], polls[PAIRS], slowdown;
	const char *dir = getenv("B");
	struct producer p = {.ops = &module_sched.ops};
	struct provider_env env = {.interval_ns = NSEC_PER_SEC};
	struct errmsg e;
	char path[4096];
	FILE *f;

	if (p.ops->open(&p, &env, &e)) {
		printf("skip: %s\n", e.text);
		return 77;
	}
	pin();
	module_attach(&p, false);
	measure_round_trips(&p, off, on);
	module_attach(&p, true);
	measure_polls(&p, polls);
	p.ops->close(&p);
	for (int i = 0; i < PAIRS; i++)
		more[i] = on[i] - off[i];
	slowdown = median(more, PAIRS) / median(off, PAIRS);

	snprintf(path, sizeof(path), "%s/bench/kernel.json", dir ? dir : "build");
	f = fopen(path, "w");
	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	fprintf(f, "{\"name\": \"kernel: module sched\", \"unit\": \"ns\", \"results\": [\n");
	print_case(f, "pipe round trip, detached", "ns", off, ",");
	print_case(f, "pipe round trip, attached", "ns", on, ",");
	print_case(f, "difference of neighbours", "ns", more, ",");
	print_case(f, "poll of the producer", "ns", polls, "],");
	fprintf(f, "\"ratios\": {\"slowdown, at most %.2f\": %.4f}, \"machine\": {}}\n",
		SLOWDOWN_MAX, slowdown);
	if (fclose(f))
		return 1;
	printf("slowdown %.2f %%\n", slowdown * 100);
	return slowdown > SLOWDOWN_MAX;
}
