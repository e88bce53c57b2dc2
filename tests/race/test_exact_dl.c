/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No increment is lost or doubled in objects that are loaded and unloaded (tests/race/storm-dl.c). What
 * they leave behind is looked at in tests/race/test_exact_flat.c.
 */
#include "tests/race/exact.h"

TestSuite(exact_dl, .fini = remove_left);

Test(exact_dl, thousand_cycles)
{
	check_both("storm-dl", "cycles", "100", NULL);
}

Test(exact_dl, cycles_of_several_threads)
{
	check_both("storm-dl", "cycles-of-threads", "100", NULL);
}

Test(exact_dl, threads_share_an_object)
{
	check_both("storm-dl", "shared", "100", NULL);
}

Test(exact_dl, threads_outlive_objects)
{
	check_both("storm-dl", "pool", "100", NULL);
}

Test(exact_dl, threads_and_children_outlive_objects)
{
	check_both("storm-dl", "pool-forks", "100", NULL);
}

Test(exact_dl, many_objects_of_the_same_looks)
{
	check_both("storm-dl", "many", "20", NULL);
}

Test(exact_dl, parent_and_child_load_again)
{
	check_both("storm-dl", "forks", "100", NULL);
}

Test(exact_dl, signals_while_objects_come_and_go)
{
	check_both("storm-dl", "signals", "1000", NULL);
}

Test(exact_dl, namespaces)
{
	check_both("storm-dl", "namespaces", "1000", NULL);
}

Test(exact_dl, thread_local_destructors)
{
	check_both("storm-dl", "thread-local", "100", NULL);
}
