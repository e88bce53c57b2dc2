/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Timing loops: a program defines a table of cases, loops.c times them and prints one line for each,
 *
 *	CASE \t UNIT \t SAMPLE SAMPLE ...
 *
 * which bench_counters reads. A table is a list of one line a case:
 *
 *	#define CASES(X) X(id, "name", threads, operations in a turn, what a turn does)
 *	CASES(LOOP_DEFINE)
 *	static const struct loop_case cases[] = {CASES(LOOP_ROW)};
 *	const struct loop_table loop_table = {cases, LOOP_COUNT(cases)};
 */
#ifndef TALLY_TESTS_BENCH_LOOPS_H
#define TALLY_TESTS_BENCH_LOOPS_H

#include <stddef.h>
#include <stdint.h>

#define LOOP_THREADS 2

struct loop_case {
	const char *name;
	void (*loop)(int thread, uint32_t turns);
	int threads; /* that run it at once, each on its own CPU; thread 0 is timed */
	int ops; /* a turn's time is divided by this */
};

struct loop_table {
	const struct loop_case *cases;
	size_t ncases;
	int (*before)(void); /* not 0: the program ends with this code; may be NULL */
	int (*after)(void); /* prints what else there is to print; may be NULL */
};

#ifdef __cplusplus
extern "C" {
#endif
extern const struct loop_table loop_table;

/* Runs the loop once on each of two threads, at the same time. */
void loops_together(void (*loop)(int thread, uint32_t turns), uint32_t turns);
/* Pins the calling thread to one of the CPUs that cases run on. */
void loops_pin(int thread);
#ifdef __cplusplus
}
#endif

/* What a loop begins with; a file may define it before it includes this. */
#ifndef LOOP_LOCALS
#define LOOP_LOCALS
#endif

/* The empty asm keeps each turn of the loop a turn, as in a program that does something between. */
#define LOOP_DEFINE(id, name, threads, ops, ...)                    \
	__attribute__((aligned(64))) static void loop_##id(         \
		__attribute__((unused)) int thread, uint32_t turns) \
	{                                                           \
		LOOP_LOCALS                                         \
		for (uint32_t i = 0; i < turns; i++) {              \
			__VA_ARGS__;                                \
			__asm__ __volatile__("" ::: "memory");      \
		}                                                   \
	}
#define LOOP_ROW(id, name, threads, ops, ...) {name, loop_##id, threads, ops},
#define LOOP_COUNT(cases)                     (sizeof(cases) / sizeof((cases)[0]))

#endif
