/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Budgets under a clock of the test's own. */
#include <criterion/criterion.h>

#include "tests/lib/testrand.h"
#include "user/provider/budget.h"

#define SEC NSEC_PER_SEC
#define MS  NSEC_PER_MSEC

static const struct budget five_percent = {.share_ppm = 50000, .span_ns = 10 * SEC};
static uint64_t now, used;

static bool ask(const struct budget *b, struct budget_account *a, enum budget_return how)
{
	return budget_allows(b, a, 1, how, now, used);
}

Test(budget, who_stays_within_is_never_held)
{
	struct budget_account a = {0};

	for (int i = 0; i < 100000; i++, now += SEC, used += 50 * MS)
		cr_assert(ask(&five_percent, &a, BUDGET_WHEN_FULL), "at %d", i);
	cr_assert_eq(a.holds, 0);
	cr_assert_eq(a.held_ns, 0);
}

/* What was used before the first look is no debt: it was the opening. */
Test(budget, begins_full)
{
	struct budget_account a = {0};

	used = 3600 * SEC;
	now = 5 * SEC;
	cr_assert(ask(&five_percent, &a, BUDGET_AT_ONCE));
	used += 500 * MS; /* a span's share in one go */
	cr_assert(ask(&five_percent, &a, BUDGET_AT_ONCE));
	used += 1;
	cr_assert_not(ask(&five_percent, &a, BUDGET_AT_ONCE));
}

/* One that costs four times its share works at a fourth of the polls, evenly. */
Test(budget, works_as_often_as_it_can_pay_for)
{
	struct budget_account a = {0};
	unsigned worked = 0, pause = 0, longest = 0;

	for (int i = 0; i < 4000; i++, now += SEC) {
		bool may = ask(&five_percent, &a, BUDGET_AT_ONCE);

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

	cr_assert(ask(&five_percent, &a, BUDGET_WHEN_FULL));
	now += SEC;
	used += 600 * MS; /* of the 500 that were there */
	cr_assert_not(ask(&five_percent, &a, BUDGET_WHEN_FULL));
	for (int i = 0; i < 11; i++) {
		now += SEC;
		cr_assert_not(ask(&five_percent, &a, BUDGET_WHEN_FULL), "after %d s", i + 1);
	}
	now += SEC;
	cr_assert(ask(&five_percent, &a, BUDGET_WHEN_FULL));
	cr_assert_eq(a.holds, 1);
	cr_assert_eq(a.held_ns, 12 * SEC);
}

Test(budget, no_limit)
{
	const struct budget none = {0};
	struct budget_account a = {0};

	for (int i = 0; i < 100; i++, now += MS, used += SEC)
		cr_assert(ask(&none, &a, BUDGET_WHEN_FULL));
	cr_assert_eq(a.holds, 0);
}

/* No numbers are too large, and a debt without end is one of centuries. */
Test(budget, extremes)
{
	const struct budget whole = {.share_ppm = 1000000, .span_ns = UINT64_MAX};
	struct budget_account a = {0};

	cr_assert(budget_allows(&whole, &a, UINT32_MAX, BUDGET_WHEN_FULL, 0, 0));
	for (int i = 1; i < 10; i++) {
		uint64_t at = UINT64_MAX / 10 * (uint64_t)i;

		cr_assert(budget_allows(&whole, &a, UINT32_MAX, BUDGET_WHEN_FULL, at, 0));
	}
	for (uint64_t i = 1; i < 10; i++)
		budget_allows(
			&five_percent, &a, 1, BUDGET_WHEN_FULL, UINT64_MAX, UINT64_MAX / 10 * i);
	cr_assert(a.held);
	cr_assert_lt(a.balance_ns, 0);
	cr_assert_not(
		budget_allows(&five_percent, &a, 1, BUDGET_AT_ONCE, 0, 0), "times that go back");
}

/* Over any time T: at most the share of T and a span, and one step's use more. */
Test(budget, share_is_kept_whatever_happens)
{
	test_rand_init();
	for (int round = 0; round < 200; round++) {
		const struct budget b = {.share_ppm = 1 + (uint32_t)(test_rand() % 300000),
			.span_ns = (1 + test_rand() % 60) * SEC};
		enum budget_return how = test_rand() % 2 ? BUDGET_AT_ONCE : BUDGET_WHEN_FULL;
		uint32_t cpus = 1 + (uint32_t)(test_rand() % 64);
		uint64_t step_max = 0, used_at[500], now_at[500];
		struct budget_account a = {0};

		now = used = 0;
		for (int i = 0; i < 500; i++) {
			bool may = budget_allows(&b, &a, cpus, how, now, used);
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
