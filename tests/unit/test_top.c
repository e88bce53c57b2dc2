/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Selection of the largest against a sort of all. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/testrand.h"
#include "user/provider/top.h"

#define THINGS_MAX 300u
#define CRITERIA   5u

struct things {
	size_t n;
	uint64_t value[CRITERIA][THINGS_MAX];
};

static uint64_t value_of(void *arg, size_t i, unsigned criterion)
{
	return ((struct things *)arg)->value[criterion][i];
}

struct sorted {
	uint64_t value;
	size_t i;
};

static int by_rank(const void *a, const void *b)
{
	const struct sorted *x = a, *y = b;

	if (x->value != y->value)
		return x->value > y->value ? -1 : 1;
	return x->i < y->i ? -1 : 1;
}

/* The trivial way. */
static size_t model(const struct things *t, size_t k, unsigned ncriteria, bool *chosen)
{
	struct sorted all[THINGS_MAX];
	size_t count = 0;

	memset(chosen, 0, t->n * sizeof(*chosen));
	for (unsigned c = 0; c < ncriteria; c++) {
		for (size_t i = 0; i < t->n; i++)
			all[i] = (struct sorted){t->value[c][i], i};
		qsort(all, t->n, sizeof(*all), by_rank);
		for (size_t j = 0; j < k && j < t->n && all[j].value; j++)
			chosen[all[j].i] = true;
	}
	for (size_t i = 0; i < t->n; i++)
		count += chosen[i];
	return count;
}

/* Few different values, so that many are equal; and now and then many. */
Test(top, is_that_of_a_sort)
{
	static struct things t;
	bool ours[THINGS_MAX], theirs[THINGS_MAX];

	test_rand_init();
	for (int round = 0; round < 2000; round++) {
		uint64_t range = test_rand_below(3) ? 1 + test_rand_below(12) : UINT64_MAX;
		size_t k = test_rand_below(20);
		unsigned ncriteria = 1 + (unsigned)test_rand_below(CRITERIA);

		t.n = test_rand_below(THINGS_MAX + 1);
		for (unsigned c = 0; c < ncriteria; c++)
			for (size_t i = 0; i < t.n; i++)
				t.value[c][i] = test_rand_below(range);
		cr_assert_eq(top_select(t.n, k, ncriteria, value_of, &t, ours),
			model(&t, k, ncriteria, theirs));
		cr_assert_eq(memcmp(ours, theirs, t.n * sizeof(*ours)), 0);
	}
}

Test(top, as_many_as_there_are)
{
	static struct things t = {.n = 3, .value = {{5, 0, 7}}};
	bool chosen[3];

	cr_assert_eq(top_select(3, 10, 1, value_of, &t, chosen), 2);
	cr_assert(chosen[0] && !chosen[1] && chosen[2]);
	cr_assert_eq(top_select(3, 0, 1, value_of, &t, chosen), 0);
	cr_assert_eq(top_select(0, 4, 1, value_of, &t, chosen), 0);
}
