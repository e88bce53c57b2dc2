/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of modules, after tests/lib/testmodule.h: what a hold makes of figures that one program begins and another
 * ends.
 *
 * Few things in a kernel can be made to last for as long as a test likes. So here it is the programs that miss one
 * half of all work: what is begun before the hold ends unseen, and what ends after it has begun unseen, in the same
 * place. Programs that have no such halves count whatever is done while they are attached.
 */
#ifndef TALLY_TESTS_LIB_TESTHOLD_H
#define TALLY_TESTS_LIB_TESTHOLD_H

#include "user/provider/kernel/module_state.h"

enum { GAP_MS = 50 };

struct held_work {
	/* Returns how much it has done: by one task, and in one place, each time. */
	uint64_t (*work)(void);
	const char *metric, *labels; /* the histogram that has that */
	uint64_t others; /* so many may come from others of this machine */
};

/* In this order; after one without programs they are attached again. */
static const struct {
	const char *what;
	bool begins, ends; /* which programs are attached */
} held_phases[] = {
	{"all of it", true, true},
	{"ends unseen", true, false},
	{"while held", false, false},
	{"begins unseen", false, true},
	{"ends unseen again", true, false},
	{"while held again", false, false},
	{"all of it again", true, true},
};

/* Returns whether there are any. */
static bool take_off(bool begins)
{
	struct module_state *s = producer.state;
	bool any = false;

	for (size_t i = 0; i < s->module->nprograms; i++) {
		if (s->module->programs[i].begins != begins)
			continue;
		any = true;
		if (s->links[i] >= 0)
			close(s->links[i]);
		s->links[i] = -1;
	}
	return any;
}

/* Some kernels (5.10, not 6.1) attach a program at a function once only: there is nothing to be shown there. */
static bool comes_back(void)
{
	int err = module_set_level(&producer, BUDGET_WHOLE);

	if (err == -ENOENT && MODULE_UNDER_TEST.programs[0].needs.function)
		return false;
	cr_assert_eq(err, 0, "%s", strerror(-err));
	return true;
}

/* Returns whether what is done from now on is to be counted. */
static bool enter_phase(bool begins, bool ends)
{
	if (!begins && !ends) {
		cr_assert_eq(module_set_level(&producer, BUDGET_HELD), 0);
		cr_assert_eq(module_set_level(&producer, BUDGET_HELD), 0);
		usleep(GAP_MS * 1000);
		return false;
	}
	if (!ends)
		take_off(false);
	return begins ? ends : !take_off(true);
}

__attribute__((unused)) static void check_over_a_hold(const struct held_work *w)
{
	uint64_t n, ns, wall, wanted;
	bool counted;

	for (size_t i = 0; i < sizeof(held_phases) / sizeof(held_phases[0]); i++) {
		if ((held_phases[i].begins || held_phases[i].ends) && !comes_back())
			return;
		counted = enter_phase(held_phases[i].begins, held_phases[i].ends);
		poll_producer();
		n = value(w->metric, w->labels, SERIES_BUCKET);
		ns = value(w->metric, w->labels, SERIES_SUM);
		wall = clock_monotonic_ns();
		wanted = w->work();
		wall = clock_monotonic_ns() - wall;
		poll_producer();
		n = value(w->metric, w->labels, SERIES_BUCKET) - n;
		ns = value(w->metric, w->labels, SERIES_SUM) - ns;
		printf("%s: %lu done, %lu counted, %lu us of %lu us\n", held_phases[i].what, wanted,
			n, ns / 1000, wall / 1000);
		cr_assert_gt(wanted, 0);
		wanted = counted ? wanted : 0;
		cr_assert_geq(n, wanted, "%s", held_phases[i].what);
		cr_assert_leq(n, wanted + (counted ? w->others : 0), "%s", held_phases[i].what);
		cr_assert_leq(ns, n ? wall * (1 + w->others) : 0, "%s", held_phases[i].what);
	}
}

static uint64_t runs_of(const char *program)
{
	char labels[64];

	snprintf(labels, sizeof(labels), "program=\"%s\"", program);
	poll_producer();
	return value("bpf_program_runs", labels, SERIES_VALUE);
}

/*
 * Where it is the order alone that keeps begins and ends together: what has begun ends before the program goes that
 * would see it. The work makes at least n runs of both.
 */
__attribute__((unused)) static void check_begins_go_first(
	const char *begins, const char *ends, void (*work)(void), uint64_t n)
{
	uint64_t entries, exits;

	cr_assert_eq(module_set_level(&producer, BUDGET_HELD), 0);
	usleep(GAP_MS * 1000); /* runs on other CPUs are over */
	entries = runs_of(begins);
	exits = runs_of(ends);
	work();
	cr_assert_eq(runs_of(begins), entries);
	cr_assert_geq(runs_of(ends), exits + n);
	cr_assert_eq(module_set_level(&producer, BUDGET_HELD), 0);
	usleep(GAP_MS * 1000);
	exits = runs_of(ends);
	work();
	cr_assert_eq(runs_of(ends), exits);
	cr_assert_eq(module_set_level(&producer, BUDGET_WHOLE), 0);
	work();
	cr_assert_geq(runs_of(begins), entries + n);
	cr_assert_geq(runs_of(ends), exits + n);
}

#endif
