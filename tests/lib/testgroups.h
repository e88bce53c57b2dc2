/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random groups of a provider, for tests of whatever carries them. */
#ifndef TALLY_TESTS_LIB_TESTGROUPS_H
#define TALLY_TESTS_LIB_TESTGROUPS_H

#include <string.h>

#include "tests/lib/testrand.h"
#include "user/lib/stream.h"

#define TEST_SERIES_MAX 40u

/* Gives g a new schema named `name` of 1 to TEST_SERIES_MAX series. */
static inline void test_group_reshape(struct group *g, const char *name, uint64_t start_ns)
{
	size_t n = 1 + test_rand_below(TEST_SERIES_MAX);

	schema_release(&g->schema);
	free(g->values);
	g->schema.group = strdup(name);
	g->schema.interval_ms = 1000;
	g->schema.start_ns = start_ns;
	g->values = calloc(n, sizeof(*g->values));
	for (size_t i = 0; i < n; i++) {
		char metric[32], labels[32];
		struct series s = {.name = metric, .labels = labels, .unit = "", .help = "h"};

		snprintf(metric, sizeof(metric), "m%zu", i % 7);
		snprintf(labels, sizeof(labels), "i=\"%zu\"", i);
		s.type = i % 2 ? METRIC_COUNTER : METRIC_GAUGE;
		s.kind = (uint8_t)(VALUE_U64 + test_rand_below(3));
		if (schema_add(&g->schema, &s) < 0)
			abort();
	}
	g->version++;
}

static inline uint64_t test_next_double(uint64_t bits)
{
	double d;

	memcpy(&d, &bits, sizeof(d));
	d = (double)(int64_t)(test_rand() >> 44) / (test_rand_below(2) ? 100.0 : 3.0) + d / 2;
	memcpy(&bits, &d, sizeof(bits));
	return bits;
}

/* Values move as values do: most stand, some step, few jump anywhere. */
static inline void test_group_step(struct group *g)
{
	for (size_t i = 0; i < g->schema.n; i++) {
		uint64_t what = test_rand_below(20);

		if (what == 0)
			g->values[i] = test_rand() >> test_rand_below(64);
		else if (what < 6 && g->schema.series[i].kind == VALUE_F64)
			g->values[i] = test_next_double(g->values[i]);
		else if (what < 6)
			g->values[i] += test_rand_below(1000);
		else if (what < 8 && i > 0)
			g->values[i] = 4 * g->values[i - 1];
	}
}

#endif
