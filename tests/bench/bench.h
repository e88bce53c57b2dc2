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

#define BENCH_RESULTS_MAX 512 /* results, and ratios: any more end the program */
#define BENCH_DIVISOR_MIN 0.1 /* of a ratio: less is noise around nothing */

struct bench_result {
	char name[128], unit[24];
	double value, min, max, limit; /* limit 0: none; a ratio is at least it, all else at most */
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

/* A place for one more. Names are ours, and so is their number. */
static inline struct bench_result *bench_next(
	struct bench_result *all, size_t *n, const char *name, const char *unit)
{
	struct bench_result *r = &all[*n];

	if (++*n > BENCH_RESULTS_MAX)
		abort();
	snprintf(r->name, sizeof(r->name), "%s", name);
	snprintf(r->unit, sizeof(r->unit), "%s", unit);
	return r;
}

/* Sorts the samples and keeps their median, smallest and largest. unit NULL: that of the bench. */
static inline double bench_samples(
	struct bench *b, const char *name, const char *unit, double *samples, unsigned n)
{
	struct bench_result *r = bench_next(b->results, &b->nresults, name, unit ? unit : b->unit);

	qsort(samples, n, sizeof(*samples), bench_compare);
	r->value = samples[n / 2], r->min = samples[0], r->max = samples[n - 1], r->n = n;
	printf("%-72s %12.4g %-12s %.4g .. %.4g\n", r->name, r->value, r->unit, r->min, r->max);
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
	if (!(r->value <= limit)) {
		printf("  over its limit of %g\n", limit);
		b->over = true;
	}
}

static inline void bench_ratio(struct bench *b, const char *name, double value)
{
	bench_next(b->ratios, &b->nratios, name, "")->value = value;
	printf("%-72s %12.4g\n", name, value);
}

/* The result of this name, which must have been added: a limit on what is not measured limits nothing. */
static inline double bench_find(const struct bench *b, const char *name)
{
	for (size_t i = 0; i < b->nresults; i++)
		if (strcmp(b->results[i].name, name) == 0)
			return b->results[i].value;
	fprintf(stderr, "%s: no result is called so\n", name);
	exit(1);
}

/* The ratio of two results. */
static inline void bench_over(struct bench *b, const char *dividend, const char *divisor)
{
	double by = bench_find(b, divisor);
	char name[sizeof(b->ratios[0].name)];

	snprintf(name, sizeof(name), "%s / %s", dividend, divisor);
	bench_ratio(b, name,
		bench_find(b, dividend) / (by < BENCH_DIVISOR_MIN ? BENCH_DIVISOR_MIN : by));
}

/* A lower limit on the ratio added last. */
static inline void bench_at_least(struct bench *b, double limit)
{
	struct bench_result *r = &b->ratios[b->nratios - 1];

	r->limit = limit;
	if (!(r->value >= limit)) {
		printf("  under its limit of %g\n", limit);
		b->over = true;
	}
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
		fprintf(f, "%s\n \"%s\": {\"value\": %.6g, \"at_least\": %.6g}", i ? "," : "",
			b->ratios[i].name, b->ratios[i].value, b->ratios[i].limit);
	uname(&u);
	fprintf(f, "},\n\"machine\": {\"kernel\": \"%s\", \"machine\": \"%s\", \"cpus\": %ld}}\n",
		u.release, u.machine, sysconf(_SC_NPROCESSORS_ONLN));
	return fclose(f) == 0 && !b->over ? 0 : 1;
}

#endif
