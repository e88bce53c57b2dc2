/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No increment is lost or doubled that is made before main() or after it (tests/race/storm-life.c), and
 * all those places were come through.
 */
#include "tests/race/exact.h"
#include "tests/race/storm-life.h"

#define BIT(place) ((uint64_t)1 << (place))

static const uint64_t at_start = BIT(AT_FIRST_CONSTRUCTOR) | BIT(AT_EQUAL_CONSTRUCTOR) |
				 BIT(AT_CONSTRUCTOR) | BIT(AT_EARLY_THREAD) | BIT(AT_EARLY_CHILD) |
				 BIT(AT_MAIN) | BIT(AT_KEY) | BIT(AT_KEY_AGAIN);
static const uint64_t at_end =
	BIT(AT_EXIT) | BIT(AT_ON_EXIT) | BIT(AT_DESTRUCTOR) | BIT(AT_LAST_DESTRUCTOR);
static const uint64_t in_cxx = BIT(AT_STATIC_CONSTRUCTOR) | BIT(AT_THREAD_LOCAL_CONSTRUCTOR) |
			       BIT(AT_THREAD_LOCAL_DESTRUCTOR);

TestSuite(exact_life, .fini = remove_left);

static void check_places(const char *mode, uint64_t places, uint64_t more_in_cxx)
{
	struct result c = check_equal("storm-life", mode, "1000", NULL);
	struct result cxx = check_equal("storm-life-cxx", mode, "1000", NULL);

	cr_expect_eq(c.notes[NOTE_PROGRESS], places, "%s: counted at %" PRIx64 ", not %" PRIx64,
		mode, c.notes[NOTE_PROGRESS], places);
	places |= in_cxx | more_in_cxx;
	cr_expect_eq(cxx.notes[NOTE_PROGRESS], places, "%s: counted at %" PRIx64 ", not %" PRIx64,
		mode, cxx.notes[NOTE_PROGRESS], places);
}

Test(exact_life, main_returns)
{
	check_places("return", at_start | at_end, BIT(AT_STATIC_DESTRUCTOR));
}

Test(exact_life, before_all_constructors)
{
	check_places("preinit", BIT(AT_PREINIT) | at_start | at_end, BIT(AT_STATIC_DESTRUCTOR));
}

Test(exact_life, another_thread_exits)
{
	check_places("exit-thread", at_start | at_end, BIT(AT_STATIC_DESTRUCTOR));
}

Test(exact_life, quick_exit)
{
	check_places("quick-exit", at_start | BIT(AT_QUICK_EXIT), 0);
}

Test(exact_life, children_run_the_same_handlers)
{
	check_places("child-exits", at_start | at_end, BIT(AT_STATIC_DESTRUCTOR));
}

Test(exact_life, the_first_thread_is_the_last)
{
	check_places("thread-last", at_start | at_end, BIT(AT_STATIC_DESTRUCTOR));
}
