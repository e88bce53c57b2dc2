/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Budgets under a clock of the test's own. */
#include <criterion/criterion.h>

#include "tests/lib/testrand.h"
#include "user/provider/budget.h"

#define SEC NSEC_PER_SEC
#define MS  NSEC_PER_MSEC

static const struct budget five_percent = {.share_ppm = 50000, .span_ns = 10 * SEC};
static uint64_t now, used;

static bool ask(const struct budget *b, struct budget_account *a, enum budget_kind kind)
{
	return budget_look(b, a, 1, kind, now, used) != BUDGET_HELD;
}

Test(budget, who_stays_within_is_never_held)
{
	struct budget_account a = {0};

	for (int i = 0; i < 100000; i++, now += SEC, used += 50 * MS)
		cr_assert(ask(&five_percent, &a, BUDGET_PROGRAMS), "at %d", i);
	cr_assert_eq(a.holds, 0);
	cr_assert_eq(a.held_ns, 0);
}

/* What was used before the first look is no debt: it was the opening. */
Test(budget, begins_full)
{
	struct budget_account a = {0};

	used = 3600 * SEC;
	now = 5 * SEC;
	cr_assert(ask(&five_percent, &a, BUDGET_POLLED));
	used += 500 * MS; /* a span's share in one go */
	cr_assert(ask(&five_percent, &a, BUDGET_POLLED));
	used += 1;
	cr_assert_not(ask(&five_percent, &a, BUDGET_POLLED));
}

/* One that costs four times its share works at a fourth of the polls, evenly. */
Test(budget, works_as_often_as_it_can_pay_for)
{
	struct budget_account a = {0};
	unsigned worked = 0, pause = 0, longest = 0;

	for (int i = 0; i < 4000; i++, now += SEC) {
		bool may = ask(&five_percent, &a, BUDGET_POLLED);

		pause = may ? 0 : pause + 1;
		longest = pause > longest ? pause : longest;
		worked += may;
		used += may ? 200 * MS : 0;
	}
	cr_assert_geq(worked, 1000);
	cr_assert_leq(worked, 1000 + 3); /* what it had at the begin */
	cr_assert_leq(longest, 4);
	cr_assert_gt(a.holds, 900);
	cr_assert_geq(a.held_ns, 2990 * SEC);
}

/* Programs that run on their own come back when there is a whole span's share, not before. */
Test(budget, comes_back_when_full)
{
	struct budget_account a = {0};

	cr_assert(ask(&five_percent, &a, BUDGET_PROGRAMS));
	now += SEC;
	used += 600 * MS; /* of the 500 that were there */
	cr_assert_not(ask(&five_percent, &a, BUDGET_PROGRAMS));
	for (int i = 0; i < 11; i++) {
		now += SEC;
		cr_assert_not(ask(&five_percent, &a, BUDGET_PROGRAMS), "after %d s", i + 1);
	}
	now += SEC;
	cr_assert(ask(&five_percent, &a, BUDGET_PROGRAMS));
	cr_assert_eq(a.holds, 1);
	cr_assert_eq(a.held_ns, 12 * SEC);
}

/* Half of a span's share used: sampled, until it is there again. All of it: held, also out of that. */
Test(budget, is_sampled_before_it_is_held)
{
	static const struct {
		uint64_t used_ms, seconds;
		enum budget_level level;
	} steps[] = {
		{0, 0, BUDGET_WHOLE}, {250, 0, BUDGET_WHOLE}, /* 250 left */
		{1, 0, BUDGET_COARSE}, /* 249 */
		{0, 4, BUDGET_COARSE}, /* 449 */
		{31, 1, BUDGET_COARSE}, /* 468: 31.25 may be missing */
		{31, 1, BUDGET_WHOLE}, /* full, but for what it used meanwhile: 469 */
		{0, 1, BUDGET_WHOLE}, {300, 0, BUDGET_COARSE}, /* 200 */
		{201, 0, BUDGET_HELD}, /* -1 */
		{0, 9, BUDGET_HELD}, /* 449 */
		{0, 2, BUDGET_WHOLE}, {501, 0, BUDGET_HELD}, /* in one go */
	};
	struct budget_account a = {0};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		now += steps[i].seconds * SEC;
		used += steps[i].used_ms * MS;
		cr_assert_eq(budget_look(&five_percent, &a, 1, BUDGET_SAMPLED, now, used),
			steps[i].level, "step %zu", i);
	}
	cr_assert_eq(a.coarse_ns, 6 * SEC);
	cr_assert_eq(a.held_ns, 11 * SEC);
	cr_assert_eq(a.holds, 2);
}

Test(budget, no_limit)
{
	const struct budget none = {0};
	struct budget_account a = {0};

	for (int i = 0; i < 100; i++, now += MS, used += SEC)
		cr_assert(ask(&none, &a, BUDGET_PROGRAMS));
	cr_assert_eq(a.holds, 0);
}

/* No numbers are too large, and a debt without end is one of centuries. */
Test(budget, extremes)
{
	const struct budget whole = {.share_ppm = 1000000, .span_ns = UINT64_MAX};
	struct budget_account a = {0};

	cr_assert_eq(budget_look(&whole, &a, UINT32_MAX, BUDGET_PROGRAMS, 0, 0), BUDGET_WHOLE);
	for (int i = 1; i < 10; i++) {
		uint64_t at = UINT64_MAX / 10 * (uint64_t)i;

		cr_assert_eq(
			budget_look(&whole, &a, UINT32_MAX, BUDGET_PROGRAMS, at, 0), BUDGET_WHOLE);
	}
	for (uint64_t i = 1; i < 10; i++)
		budget_look(&five_percent, &a, 1, BUDGET_PROGRAMS, UINT64_MAX, UINT64_MAX / 10 * i);
	cr_assert_eq(a.level, BUDGET_HELD);
	cr_assert_lt(a.balance_ns, 0);
	cr_assert_eq(budget_look(&five_percent, &a, 1, BUDGET_POLLED, 0, 0), BUDGET_HELD,
		"times that go back");
}

/* Over any time T: at most the share of T and a span, and one step's use more. */
Test(budget, share_is_kept_whatever_happens)
{
	test_rand_init();
	for (int round = 0; round < 200; round++) {
		const struct budget b = {.share_ppm = 1 + (uint32_t)(test_rand() % 300000),
			.span_ns = (1 + test_rand() % 60) * SEC};
		enum budget_kind kind = test_rand() % 3;
		uint32_t cpus = 1 + (uint32_t)(test_rand() % 64);
		uint64_t step_max = 0, used_at[500], now_at[500];
		struct budget_account a = {0};

		now = used = 0;
		for (int i = 0; i < 500; i++) {
			bool may = budget_look(&b, &a, cpus, kind, now, used) != BUDGET_HELD;
			uint64_t gone = 1 + test_rand() % (10 * SEC),
				 use = test_rand() % (gone * cpus);

			used_at[i] = used;
			now_at[i] = now;
			for (int k = 0; k < i; k++) {
				double earned = (double)(now - now_at[k] + b.span_ns) *
						b.share_ppm / 1e6 * cpus;

				cr_assert_leq((double)(used - used_at[k]),
					earned * 1.000001 + (double)step_max + 1e3, "from %d to %d",
					k, i);
			}
			if (may) {
				used += use;
				step_max = use > step_max ? use : step_max;
			}
			now += gone;
		}
	}
}
