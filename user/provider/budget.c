/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "user/provider/budget.h"

#define PPM       1000000u
#define TIMES_MAX (INT64_MAX / 4) /* of balance, earnings and use: no sum of them overflows */

static int64_t at_most(uint64_t ns)
{
	return ns < (uint64_t)TIMES_MAX ? (int64_t)ns : TIMES_MAX;
}

static int64_t earned_ns(const struct budget *b, uint32_t cpus, uint64_t ns)
{
	__extension__ unsigned __int128 earned = ns;

	earned = earned * b->share_ppm * cpus / PPM;
	return earned < (uint64_t)TIMES_MAX ? (int64_t)earned : TIMES_MAX;
}

static void look(const struct budget *b, struct budget_account *a, uint32_t cpus, uint64_t now_ns,
	uint64_t total_ns)
{
	uint64_t gone = now_ns > a->at_ns ? now_ns - a->at_ns : 0;
	uint64_t used = total_ns > a->used_ns ? total_ns - a->used_ns : 0;
	int64_t full = earned_ns(b, cpus, b->span_ns);

	if (!a->begun) {
		a->begun = true;
		a->balance_ns = full;
		gone = used = 0;
	}
	if (a->level == BUDGET_HELD)
		a->held_ns += gone;
	else if (a->level == BUDGET_COARSE)
		a->coarse_ns += gone;
	a->balance_ns += earned_ns(b, cpus, gone);
	if (a->balance_ns > full)
		a->balance_ns = full;
	a->balance_ns -= at_most(used);
	if (a->balance_ns < -TIMES_MAX)
		a->balance_ns = -TIMES_MAX;
	a->at_ns = now_ns;
	a->used_ns = total_ns;
}

enum budget_level budget_look(const struct budget *b, struct budget_account *a, uint32_t cpus,
	enum budget_kind kind, uint64_t now_ns, uint64_t total_ns)
{
	int64_t full = earned_ns(b, cpus, b->span_ns), back = kind == BUDGET_POLLED ? 0 : full;

	if (!b->share_ppm)
		return BUDGET_WHOLE;
	look(b, a, cpus, now_ns, total_ns);
	if (a->level == BUDGET_COARSE)
		back -= full / 16; /* it works meanwhile, so all is never there */
	if (a->balance_ns < 0) {
		a->holds += a->level != BUDGET_HELD;
		a->level = BUDGET_HELD;
	} else if (a->balance_ns >= back) {
		a->level = BUDGET_WHOLE;
	} else if (kind == BUDGET_SAMPLED && a->level == BUDGET_WHOLE && a->balance_ns < full / 2) {
		a->level = BUDGET_COARSE;
	}
	return a->level;
}
