/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What benchmarks share: collecting results and writing $B/bench/NAME.json for tests/bench/report.py.
 * One bench a program, one thread.
 */
#ifndef TALLY_TESTS_BENCH_BENCH_H
#define TALLY_TESTS_BENCH_BENCH_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define BENCH_RESULTS_MAX 64

struct bench_result {
	char name[96], unit[24];
	double value, min, max, limit; /* limit 0: none */
	unsigned n;
};

struct bench {
	const char *name, *unit;
	const char *about; /* what the numbers are of; may be NULL */
	size_t nresults, nratios;
	struct bench_result results[BENCH_RESULTS_MAX], ratios[BENCH_RESULTS_MAX];
	bool over; /* a limit was passed */
};

static inline int bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts the samples and keeps their median, smallest and largest. unit NULL: that of the bench. */
static inline double bench_samples(
	struct bench *b, const char *name, const char *unit, double *samples, unsigned n)
{
	struct bench_result *r = &b->results[b->nresults++ % BENCH_RESULTS_MAX];

	qsort(samples, n, sizeof(*samples), bench_compare);
	*r = (struct bench_result){
		.value = samples[n / 2], .min = samples[0], .max = samples[n - 1], .n = n};
	snprintf(r->name, sizeof(r->name), "%s", name);
	snprintf(r->unit, sizeof(r->unit), "%s", unit ? unit : b->unit);
	printf("%-52s %12.4g %-12s %.4g .. %.4g\n", r->name, r->value, r->unit, r->min, r->max);
	return r->value;
}

static inline double bench_value(struct bench *b, const char *name, const char *unit, double value)
{
	return bench_samples(b, name, unit, &value, 1);
}

/* A limit on the result added last: passing it fails the benchmark. */
static inline void bench_at_most(struct bench *b, double limit)
{
	struct bench_result *r = &b->results[b->nresults - 1];

	r->limit = limit;
	if (r->value > limit) {
		printf("  over its limit of %g\n", limit);
		b->over = true;
	}
}

static inline void bench_ratio(struct bench *b, const char *name, double value)
{
	struct bench_result *r = &b->ratios[b->nratios++ % BENCH_RESULTS_MAX];

	*r = (struct bench_result){.value = value};
	snprintf(r->name, sizeof(r->name), "%s", name);
	printf("%-52s %12.4g\n", name, value);
}

/* Names are ours: no quotes or backslashes. Returns the program's exit code. */
static inline int bench_write(const struct bench *b)
{
	const char *dir = getenv("B");
	char path[512];
	struct utsname u;
	FILE *f;

	snprintf(path, sizeof(path), "%s/bench", dir ? dir : "build");
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/bench/%s.json", dir ? dir : "build", b->name);
	f = fopen(path, "w");
	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	fprintf(f, "{\"name\": \"%s\", \"unit\": \"%s\", \"about\": \"%s\", \"results\": [",
		b->name, b->unit, b->about ? b->about : "");
	for (size_t i = 0; i < b->nresults; i++) {
		const struct bench_result *r = &b->results[i];

		fprintf(f, "%s\n {\"case\": \"%s\", \"value\": %.9g, \"n\": %u, \"min\": %.9g, ",
			i ? "," : "", r->name, r->value, r->n, r->min);
		fprintf(f, "\"max\": %.9g, \"unit\": \"%s\"", r->max, r->unit);
		if (r->limit != 0)
			fprintf(f, ", \"limit\": %.9g", r->limit);
		fprintf(f, "}");
	}
	fprintf(f, "],\n\"ratios\": {");
	for (size_t i = 0; i < b->nratios; i++)
		fprintf(f, "%s\"%s\": %.6g", i ? ", " : "", b->ratios[i].name, b->ratios[i].value);
	uname(&u);
	fprintf(f, "},\n\"machine\": {\"kernel\": \"%s\", \"machine\": \"%s\", \"cpus\": %ld}}\n",
		u.release, u.machine, sysconf(_SC_NPROCESSORS_ONLN));
	return fclose(f) == 0 && !b->over ? 0 : 1;
}

#endif
