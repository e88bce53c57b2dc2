/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "timers": a known number of alarms. Others may have some, too: in one of some tries it must be exact. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <signal.h>
#include <sys/time.h>

#define MODULE_UNDER_TEST module_timers
#include "bpf/module.h"
#include "tests/lib/testmodule.h"

enum { TRIES = 20, ALARMS = 100 };

/* The kernel's function for an alarm of setitimer(2). */
static uint64_t alarms(void)
{
	return value("timers_expired", "function=\"it_real_fn\",kind=\"hrtimer\"", SERIES_VALUE);
}

static void make_alarms(void)
{
	struct itimerval soon = {.it_value = {.tv_usec = 200}};
	sigset_t set;
	int got;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < ALARMS; i++) {
		cr_assert_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
		cr_assert_eq(sigwait(&set, &got), 0);
	}
}

Test_together(timers, known_alarms)
{
	uint64_t counted = 0;

	for (int i = 0; i < TRIES && counted != ALARMS; i++) {
		poll_producer();
		counted = alarms();
		make_alarms();
		poll_producer();
		counted = alarms() - counted;
		printf("%d alarms, %lu counted\n", ALARMS, counted);
	}
	cr_assert_eq(counted, ALARMS, "in none of %d tries", TRIES);
}

static void same_name(const void *name, struct slot_labels *ret)
{
	ret->values[ret->n++] = "the_same";
}

/* Functions of the kernel may have one name: their series are told apart. */
Test(timers, names_that_are_alike, .init = nothing_unless_emulated)
{
	struct module_slots slots = *module_timers.slots;
	struct module module = module_timers;
	const struct schema *all;

	slots.labels = same_name;
	slots.name_size = sizeof(struct tally_slot);
	module.slots = &slots;
	producer.ops = &module.ops;
	setup();
	usleep(300000);
	poll_producer();
	all = &snapshot.group->schema;
	cr_assert_gt(value("timers_expired", "function=\"the_same\"", SERIES_VALUE), 0);
	for (size_t i = 0; i < all->n; i++)
		for (size_t k = 0; k < i; k++)
			cr_assert(strcmp(all->series[i].name, all->series[k].name) ||
					  strcmp(all->series[i].labels, all->series[k].labels),
				"%s{%s} is there twice", all->series[i].name,
				all->series[i].labels);
	teardown();
}

/* hrtimer_wakeup is what ends our sleep; the kernel has timers in jiffies of its own all the time. */
Test_together(timers, functions_have_names)
{
	uint64_t all, jiffies = 0;

	for (int i = 0; i < 20 && !jiffies; i++) {
		usleep(300000);
		poll_producer();
		jiffies = value("timers_expired", "kind=\"timer\"", SERIES_VALUE);
	}
	all = value("timers_expired", NULL, SERIES_VALUE);
	cr_assert_gt(jiffies, 0);
	cr_assert_gt(value("timers_expired", "function=\"hrtimer_wakeup\"", SERIES_VALUE), 0);
	cr_assert_lt(value("timers_expired", "function=\"other\"", SERIES_VALUE), all / 10 + 1);
}
