/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In every test program: Criterion takes a test that skips itself, or is disabled, for a good one. Here each says how
 * many ran, and which ones skipped themselves and why, for tests/lib/run.sh and tests/kernel/kernels.sh to look at; a
 * program of which none ran has not passed.
 */
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What Test_together has listed (testmodule.h): those are disabled where one test runs all of them. */
extern void (*const __start_together[])(void) __attribute__((weak));
extern void (*const __stop_together[])(void) __attribute__((weak));

struct ran {
	long ran, skipped, left_out;
	const char *reason; /* the last one */
};

static void add_test(struct ran *r, const struct criterion_test_stats *s)
{
	bool emulated = !strcmp(s->test->category, "emulated");
	long together = emulated ? __stop_together - __start_together : 0;

	if (s->test->data->disabled) {
		r->left_out += !emulated;
	} else if (s->test_status == CR_STATUS_SKIPPED) {
		r->skipped++;
		r->reason = s->message;
		printf("skipped %s::%s: %s\n", s->test->category, s->test->name, s->message);
	} else {
		r->ran += emulated ? together : 1;
		r->left_out -= together;
	}
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
	struct ran r = {.reason = "all are left out here"};

	for (const struct criterion_suite_stats *u = stats->suites; u; u = u->next)
		for (const struct criterion_test_stats *s = u->tests; s; s = s->next)
			add_test(&r, s);
	printf("tests: %ld ran, %ld skipped, %ld left out\n", r.ran, r.skipped, r.left_out);
	if (r.ran)
		return;
	printf("no test ran: %s\n", r.reason);
	exit(77);
}
