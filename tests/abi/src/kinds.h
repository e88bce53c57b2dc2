/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every kind of metric and every way to use it, in one list. The programs of tests/abi that ask "what
 * does counting do to a program" use all of them; to add one, define it and give it a line in KINDS.
 *
 * The oracle is how often kinds_use() was called, which the programs count for themselves.
 *
 * With NO_TALLY the macros are empty: the same program without tally, to compare with.
 */
#ifndef KINDS_H
#define KINDS_H

#ifdef NO_TALLY
#include "empty.h"
#else
#include <tally/tally.h>
#endif

TALLY_COUNTER(k_inc, "kinds_inc", "One for each use");
TALLY_COUNTER_UNIT(k_add, "kinds_add_bytes", "bytes", "Three for each use");
TALLY_GAUGE(k_set, "kinds_set", "Always 42 once used");
TALLY_GAUGE_UNIT(k_move, "kinds_move_bytes", "bytes", "Two less for each use");
TALLY_PEAK(k_peak, "kinds_peak", "", "Always 17 once used");
TALLY_GAUGE_DOUBLE(k_double, "kinds_double", "", "A half more for each use");
TALLY_HISTOGRAM(k_sizes, "kinds_sizes_bytes", "bytes", 1, 1000, "One value for each use");
TALLY_HISTOGRAM(k_sums, "kinds_sums_bytes", "bytes", 1, 1000, "Seven for each use");
TALLY_COUNTER_BY(k_by, "kinds_by", "One for each use, by a label", 10, "label");
TALLY_GAUGE_BY(k_gauge_by, "kinds_gauge_by", "Five more for each use, by two labels", 10, "a", "b");
TALLY_HISTOGRAM_BY(k_sizes_by, "kinds_sizes_by_bytes", "bytes", 0, 1, 1000, 25,
	"One value by a label", 4, "label");

/* K(name, metric in the segment after the end or "", use, value, once, each):
 * after n > 0 uses the value is once + each * n */
#define KINDS(K)                                                                        \
	K(inc, "kinds_inc_total", TALLY_INC(k_inc), TALLY_VALUE(k_inc), 0, 1)           \
	K(add, "kinds_add_bytes_total", TALLY_ADD(k_add, 3), TALLY_VALUE(k_add), 0, 3)  \
	K(gauge_set, "", TALLY_GAUGE_SET(k_set, 42), TALLY_GAUGE_VALUE(k_set), 42, 0)   \
	K(gauge_add, "", TALLY_GAUGE_ADD(k_move, -2), TALLY_GAUGE_VALUE(k_move), 0, -2) \
	K(gauge_max, "", TALLY_GAUGE_MAX(k_peak, 17), TALLY_GAUGE_VALUE(k_peak), 17, 0) \
	K(double_add, "", TALLY_GAUGE_DOUBLE_ADD(k_double, 0.5),                        \
		2 * TALLY_GAUGE_DOUBLE_VALUE(k_double), 0, 1)                           \
	K(record, "kinds_sizes_bytes_count", TALLY_RECORD(k_sizes, 100),                \
		TALLY_HISTOGRAM_COUNT(k_sizes), 0, 1)                                   \
	K(record_sum, "", TALLY_RECORD(k_sums, 7), TALLY_HISTOGRAM_SUM(k_sums), 0, 7)   \
	K(inc_by, "kinds_by_total", TALLY_INC_H(TALLY_COUNTER_HANDLE(k_by, "x")),       \
		TALLY_VALUE_H(TALLY_COUNTER_HANDLE(k_by, "x")), 0, 1)                   \
	K(gauge_by, "", TALLY_GAUGE_ADD_H(TALLY_GAUGE_HANDLE(k_gauge_by, "x", "y"), 5), \
		TALLY_GAUGE_VALUE_H(TALLY_GAUGE_HANDLE(k_gauge_by, "x", "y")), 0, 5)    \
	K(record_by, "kinds_sizes_by_bytes_count",                                      \
		TALLY_RECORD_H(TALLY_HISTOGRAM_HANDLE(k_sizes_by, "x"), 100),           \
		TALLY_HISTOGRAM_COUNT_H(TALLY_HISTOGRAM_HANDLE(k_sizes_by, "x")), 0, 1)

struct kind {
	const char *name, *metric;
	void (*use)(void);
	uint64_t (*value)(void);
	int64_t once, each;
};

#define KINDS_FUNCTIONS(name, metric, use, value, once, each) \
	static void kinds_use_##name(void)                    \
	{                                                     \
		use;                                          \
	}                                                     \
	static uint64_t kinds_value_##name(void)              \
	{                                                     \
		return (uint64_t)(value);                     \
	}
KINDS(KINDS_FUNCTIONS)

#define KINDS_ROW(name, metric, use, value, once, each) \
	{#name, metric, kinds_use_##name, kinds_value_##name, once, each},
static const struct kind kinds[] = {KINDS(KINDS_ROW)};

enum { KINDS_N = sizeof(kinds) / sizeof(kinds[0]) };

static inline void kinds_use(void)
{
#define KINDS_USE(name, metric, use, value, once, each) use;
	KINDS(KINDS_USE)
}

static inline uint64_t kinds_expected(const struct kind *k, uint64_t uses)
{
	return uses ? (uint64_t)k->once + (uint64_t)k->each * uses : 0;
}

#endif
