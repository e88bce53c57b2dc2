/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Budgets of CPU time, after the token bucket: a producer earns a share of the time that goes by, and what it
 * uses is taken from that. What it does not use is kept, up to what it earns in `span_ns`.
 *
 *   balance  full --.        .------.
 *                    \      /        \      <- sampled, from half of it on, if it can be
 *        0 -----------\----/----------\----
 *                      '-'  <- held     '-     Over any time T it uses at most share x (T + span), and
 *                                              what it used between two looks.
 *
 * One event loop; no thread safety.
 */
#ifndef TALLY_USER_PROVIDER_BUDGET_H
#define TALLY_USER_PROVIDER_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "user/lib/util.h"

#define BUDGET_PERCENT_DEFAULT 5u
#define BUDGET_SPAN_NS         (30 * NSEC_PER_SEC)

struct budget {
	uint32_t share_ppm; /* of a CPU, in millionths; 0: no limit */
	uint64_t span_ns;
};

/* What its producer does about it: */
enum budget_kind {
	BUDGET_POLLED, /* is held below 0, and comes back at 0: it works as often as it can pay for */
	BUDGET_PROGRAMS, /* comes back with all of a span's share, since stopping and starting cost something too */
	BUDGET_SAMPLED, /* does that too, and before that, below half of the share, looks at fewer events */
};

enum budget_level {
	BUDGET_WHOLE,
	BUDGET_COARSE, /* BUDGET_SAMPLED only: until the balance is as good as full */
	BUDGET_HELD,
};

/* Begins as zeros. */
struct budget_account {
	bool begun;
	enum budget_level level;
	uint64_t at_ns, used_ns; /* of the last look */
	int64_t balance_ns;
	uint64_t holds, held_ns; /* how often and how long it was held */
	uint64_t coarse_ns; /* how long it was sampled */
};

/*
 * How may a producer go on that has used total_ns of CPU time up to now? `cpus` is how many CPUs it may have a share
 * of. Times never go back; now_ns is CLOCK_MONOTONIC. Also in a->level, until the next look.
 */
enum budget_level budget_look(const struct budget *b, struct budget_account *a, uint32_t cpus,
	enum budget_kind kind, uint64_t now_ns, uint64_t total_ns);

#endif
