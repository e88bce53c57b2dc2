/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A peer: prometheus-cpp. Counters and histograms in the program's memory; no exposer runs. */
#include <cstdio>

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "tests/bench/loops.h"

using namespace prometheus;

static Registry registry;
static Family<Counter> &family =
	BuildCounter().Name("bench_requests").Help("Counted in a loop").Register(registry);
static Counter &counter = family.Add({{"method", "GET"}, {"code", "200"}});
static Histogram &histogram =
	BuildHistogram()
		.Name("bench_seconds")
		.Help("Recorded in a loop")
		.Register(registry)
		.Add({}, Histogram::BucketBoundaries{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024});

/* clang-format off */
#define CASES(X) \
	X(inc1, "prometheus-cpp Counter.Increment, kept reference", 1, 1, counter.Increment()) \
	X(inc2, "prometheus-cpp Counter.Increment, two threads", 2, 1, counter.Increment()) \
	X(labels, "prometheus-cpp Family.Add(2 labels).Increment", 1, 1, \
		family.Add({{"method", "GET"}, {"code", "200"}}).Increment()) \
	X(observe1, "prometheus-cpp Histogram.Observe, 11 buckets", 1, 1, histogram.Observe(i & 2047)) \
	X(observe2, "prometheus-cpp Histogram.Observe, two threads", 2, 1, histogram.Observe(i & 2047))
/* clang-format on */

CASES(LOOP_DEFINE)
static const struct loop_case cases[] = {CASES(LOOP_ROW)};

static int after()
{
	if (counter.Value() > 0 && histogram.Collect().histogram.sample_count > 0)
		return 0;
	std::fprintf(stderr, "prometheus-cpp: nothing was counted\n");
	return 1;
}

extern "C" const struct loop_table loop_table = {cases, LOOP_COUNT(cases), nullptr, after};
