/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where tests/race/storm-life.c counts: the bits of its note, which the test looks at. */
#ifndef TALLY_TESTS_RACE_STORM_LIFE_H
#define TALLY_TESTS_RACE_STORM_LIFE_H

enum place {
	AT_PREINIT, /* before all constructors, those of libraries too */
	AT_FIRST_CONSTRUCTOR, /* before tally's */
	AT_EQUAL_CONSTRUCTOR, /* of tally's own priority */
	AT_CONSTRUCTOR,
	AT_EARLY_THREAD, /* started by the first constructor */
	AT_EARLY_CHILD, /* forked by it */
	AT_MAIN,
	AT_KEY,
	AT_KEY_AGAIN,
	AT_EXIT,
	AT_ON_EXIT,
	AT_QUICK_EXIT,
	AT_DESTRUCTOR,
	AT_LAST_DESTRUCTOR,
	AT_STATIC_CONSTRUCTOR,
	AT_STATIC_DESTRUCTOR,
	AT_THREAD_LOCAL_CONSTRUCTOR,
	AT_THREAD_LOCAL_DESTRUCTOR,
};

#endif
