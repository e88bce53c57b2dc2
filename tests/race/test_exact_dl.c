/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No increment is lost or doubled in objects that are loaded and unloaded (tests/race/storm-dl.c), and what
 * they leave behind in the process and in the directory does not grow with every cycle.
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

/* After 1,000 cycles, with so many objects at the same time at most, nothing is left of most of them. */
static void check_flat(const char *mode, uint64_t objects)
{
	struct result res = check_equal("storm-dl", mode, "100", NULL);
	const uint64_t *n = res.notes;

	fprintf(stderr,
		"%s: %" PRIu64 " to %" PRIu64 " mappings, %" PRIu64 " to %" PRIu64
		" descriptors, %" PRIu64 " to %" PRIu64 " segments\n",
		mode, n[NOTE_MAPS_BEFORE], n[NOTE_MAPS_AFTER], n[NOTE_FILES_BEFORE],
		n[NOTE_FILES_AFTER], n[NOTE_SEGMENTS_BEFORE], n[NOTE_SEGMENTS_AFTER]);
	cr_expect_eq(n[NOTE_FILES_AFTER], n[NOTE_FILES_BEFORE]);
	/* an object has 6; arenas of malloc come with threads */
	cr_expect_leq(n[NOTE_MAPS_AFTER], n[NOTE_MAPS_BEFORE] + 20 * objects);
	cr_expect_leq(n[NOTE_SEGMENTS_AFTER], 1 + 2 * objects);
}

Test(exact_dl, nothing_grows)
{
	check_flat("cycles", 1);
}

Test(exact_dl, nothing_grows_with_several_threads)
{
	check_flat("cycles-of-threads", 4);
}

Test(exact_dl, nothing_grows_where_threads_share)
{
	check_flat("shared", 1);
}

Test(exact_dl, nothing_grows_where_threads_live_on)
{
	check_flat("pool", 1);
}
