/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Texts that are shared: what is copied is what was given, for as long as somebody has it, in all threads. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/testrand.h"
#include "user/lib/sharedtext.h"

Test(sharedtext, empty_ones)
{
	char *a = text_dup(""), *b = text_dup("");

	cr_assert_eq(a, b);
	cr_assert_str_eq(a, "");
	text_free(a);
	text_free(b);
	text_free(NULL);
	cr_assert_str_eq(text_dup(""), "");
}

/* As series come: the name is new each time, labels, unit and help are not. */
Test(sharedtext, of_series_that_follow_each_other)
{
	char name[32], *names[100], *labels[100], *units[100], *helps[100];

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "name_%d", i);
		names[i] = text_dup(name);
		labels[i] = text_dup("program=\"a\"");
		units[i] = text_dup("seconds");
		helps[i] = text_dup("What it is");
		cr_assert_eq(labels[i], labels[0]);
		cr_assert_eq(units[i], units[0]);
		cr_assert_eq(helps[i], helps[0]);
	}
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "name_%d", i);
		cr_assert_str_eq(names[i], name);
		text_free(names[i]);
		text_free(labels[i]);
		cr_assert_str_eq(labels[99], "program=\"a\"");
		text_free(units[i]);
		text_free(helps[i]);
	}
}

#define HELD  64
#define STEPS 200000

/* Each thread its own (after Numerical Recipes). */
static unsigned next(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(*state >> 33);
}

/* Takes and gives back texts of a few, which others take too. */
static void *take_and_give(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg;
	char *held[HELD] = {NULL}, want[HELD][16];

	for (int i = 0; i < STEPS; i++) {
		size_t k = next(&seed) % HELD;

		if (held[k] && strcmp(held[k], want[k]))
			return "a text has changed";
		text_free(held[k]);
		held[k] = NULL;
		if (next(&seed) % 4) {
			snprintf(want[k], sizeof(want[k]), "t%u", next(&seed) % 6);
			held[k] = text_dup(want[k]);
			if (!held[k] || strcmp(held[k], want[k]))
				return "a copy is another text";
		}
	}
	for (int k = 0; k < HELD; k++)
		text_free(held[k]);
	return NULL;
}

Test(sharedtext, in_threads)
{
	pthread_t threads[4];

	test_rand_init();
	for (int i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, take_and_give,
				     (void *)(uintptr_t)test_rand()),
			0);
	for (int i = 0; i < 4; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		cr_assert_null(wrong, "%s", (char *)wrong);
	}
}
