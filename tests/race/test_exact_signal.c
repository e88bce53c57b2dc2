/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No increment is lost or doubled by signal handlers that count inside of one (tests/race/storm-signal.c):
 * at random moments here, at every instruction in tests/race/test_exact_step.c.
 */
#include "tests/race/exact.h"

TestSuite(exact_signal, .fini = remove_left);

Test(exact_signal, handlers_count)
{
	check_both("storm-signal", "signals", "1000000", NULL);
}

Test(exact_signal, before_and_in_a_threads_first_increment)
{
	check_both("storm-signal", "first", "50", NULL);
}

Test(exact_signal, in_the_first_increment_of_a_child)
{
	check_both("storm-signal", "first-of-children", "10000", NULL);
}

/* Who leaves an increment by siglongjmp does not know if it counted: it may have. */
Test(exact_signal, handlers_jump_out_of_an_increment)
{
	check_bounds("storm-signal", "jumps", "20000", NULL);
	check_bounds("storm-signal-cxx", "jumps", "20000", NULL);
}

Test(exact_signal, handlers_fork)
{
	check_both("storm-signal", "fork-in-handler", "100000", NULL);
}
