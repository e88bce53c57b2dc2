/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tracepoint of peer_lttng.c, in the form that LTTng-UST reads several times. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER tally_bench
#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "tests/bench/peer_lttng.h"

#if !defined(TALLY_TESTS_BENCH_PEER_LTTNG_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define TALLY_TESTS_BENCH_PEER_LTTNG_H

#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_EVENT(tally_bench, count, LTTNG_UST_TP_ARGS(unsigned, n),
	LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(unsigned, n, n)))

#endif

#include <lttng/tracepoint-event.h>
