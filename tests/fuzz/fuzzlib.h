/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the fuzz programs share: checks that end them with a reason, and clocks. */
#ifndef TALLY_TESTS_FUZZ_FUZZLIB_H
#define TALLY_TESTS_FUZZ_FUZZLIB_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "user/lib/util.h"

size_t __sanitizer_get_current_allocated_bytes(void); /* of the run-time library */

static uint64_t fuzz_executions;

static inline void fuzz_fail(const char *file, int line, const char *cond, const char *fmt, ...)
	__attribute__((format(printf, 4, 5), noreturn));

static inline void fuzz_fail(const char *file, int line, const char *cond, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s:%d: %s: ", file, line, cond);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (execution %" PRIu64 ")\n", fuzz_executions);
	abort();
}

#define CHECK(cond, ...)                                                   \
	do {                                                               \
		if (!(cond))                                               \
			fuzz_fail(__FILE__, __LINE__, #cond, __VA_ARGS__); \
	} while (0)

static inline uint64_t fuzz_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static inline double fuzz_ms(uint64_t ns)
{
	return (double)ns / NSEC_PER_MSEC;
}

static inline void fuzz_keep_max(uint64_t *max, uint64_t value)
{
	if (value > *max)
		*max = value;
}

/* When to stop: TALLY_FUZZ_SECONDS from now. */
static inline uint64_t fuzz_end_ns(unsigned seconds)
{
	const char *given = getenv("TALLY_FUZZ_SECONDS");

	return clock_monotonic_ns() + (given ? strtoull(given, NULL, 10) : seconds) * NSEC_PER_SEC;
}

#endif
