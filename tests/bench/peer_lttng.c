/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A peer: a tracepoint of LTTng-UST. TRACED says whether a session is to have enabled it. */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "tests/bench/peer_lttng.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/loops.h"

/* clang-format off */
#define CASES(X) \
	X(one, "LTTng-UST tracepoint", 1, 1, lttng_ust_tracepoint(tally_bench, count, i)) \
	X(two, "LTTng-UST tracepoint, two threads", 2, 1, lttng_ust_tracepoint(tally_bench, count, i))
/* clang-format on */

CASES(LOOP_DEFINE)
static const struct loop_case cases[] = {CASES(LOOP_ROW)};

/* The library has waited for the session daemon, if there is one, before main(). */
static int check(void)
{
	int traced = getenv("TRACED") != NULL,
	    enabled = lttng_ust_tracepoint_enabled(tally_bench, count);

	if (!enabled == !traced)
		return 0;
	fprintf(stderr, "LTTng-UST: the tracepoint is %s\n", enabled ? "enabled" : "not enabled");
	return 1;
}

const struct loop_table loop_table = {cases, LOOP_COUNT(cases), check, check};
