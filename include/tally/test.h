/* SPDX-License-Identifier: MIT */
/*
 * Counters in unit tests: what has this statement counted?
 *
 *	#include <tally/test.h>
 *
 *	TALLY_EXPECT_CHANGE(requests, 2, (serve(), serve()));
 *	return TALLY_TEST_FAILURES() != 0;
 *
 * Works with and without a segment, in any test framework and in none. It looks at the values of all
 * threads of the process and of its relatives by fork: what others count during the statement is seen
 * too. Statements may have commas, and may stand in braces.
 *
 * Run tests with TALLY_DIR=/dev/null, or what they count goes to the machine's history.
 */
#ifndef TALLY_TEST_H
#define TALLY_TEST_H

#include <stdio.h>
#include <stdlib.h>

#include <tally/tally.h>

/*
 * What the statement adds to a value: TALLY_VALUE(id), TALLY_VALUE_AT(id, i), TALLY_VALUE_H(handle),
 * TALLY_GAUGE_VALUE(id), TALLY_HISTOGRAM_SUM(id), ... Of that value's type: a gauge's may be negative,
 * that of a gauge of doubles has a fraction.
 */
#define TALLY_CHANGE_OF(value, ...) \
	TALLY_CHANGE_(TALLY_GLUE2_(tally_before_, __COUNTER__), value, __VA_ARGS__)
/* What it adds to a counter, or how many values to a histogram; uint64_t. */
#define TALLY_CHANGE(id, ...) TALLY_CHANGE_OF(tally_value_(&tally_id_##id.desc_, 0), __VA_ARGS__)

/*
 * Does it add n? If not, the file and line, n and what it was are written to standard error, and the
 * failure is counted. Yields 1 or 0, for the assertion of a test framework, or for nobody. Integers.
 */
#define TALLY_EXPECT_CHANGE(id, n, ...) \
	TALLY_EXPECT_(#id, tally_value_(&tally_id_##id.desc_, 0), n, "" #__VA_ARGS__, __VA_ARGS__)
#define TALLY_EXPECT_CHANGE_OF(value, n, ...) \
	TALLY_EXPECT_(#value, value, n, "" #__VA_ARGS__, __VA_ARGS__)
/* The same, and the program aborts if it does not. */
#define TALLY_ASSERT_CHANGE(id, n, ...)                                                       \
	(TALLY_EXPECT_(                                                                       \
		 #id, tally_value_(&tally_id_##id.desc_, 0), n, "" #__VA_ARGS__, __VA_ARGS__) \
			? (void)0                                                             \
			: abort())

/* How many expectations of this program or shared object were not met; int, for main() to return. */
#define TALLY_TEST_FAILURES() __atomic_load_n(&tally_test_failures_, __ATOMIC_RELAXED)

#define TALLY_EXPECT_(what, value, n, statement, ...)                         \
	tally_test_expect_(__FILE__, __LINE__, what, (int64_t)(n), statement, \
		(int64_t)TALLY_CHANGE_OF(value, __VA_ARGS__))
#define TALLY_CHANGE_(before, value, ...)               \
	(__extension__({                                \
		const __typeof__(value) before = value; \
		__VA_ARGS__;                            \
		(value) - before;                       \
	}))

TALLY_BEGIN_

#ifdef __cplusplus
extern "C" {
#endif
extern int tally_test_failures_ TALLY_ONE_;
int tally_test_failures_;
#ifdef __cplusplus
}
#endif

TALLY_FN_ int tally_test_expect_(const char *file, int line, const char *what, int64_t want,
	const char *statement, int64_t got)
{
	if (got == want)
		return 1;
	__atomic_fetch_add(&tally_test_failures_, 1, __ATOMIC_RELAXED);
	fprintf(stderr, "%s:%d: %s changed by %lld, not by %lld: %s\n", file, line, what,
		(long long)got, (long long)want, statement);
	return 0;
}

TALLY_END_

#endif
