/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random numbers of tests: the seed is printed, and taken from the environment variable TALLY_SEED
 * when a failure is to be seen again.
 */
#ifndef TALLY_TESTS_LIB_TESTRAND_H
#define TALLY_TESTS_LIB_TESTRAND_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint64_t test_rand_state;

static inline uint64_t test_rand(void)
{
	uint64_t z = test_rand_state += 0x9e3779b97f4a7c15u; /* splitmix64 */

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* Evenly enough from 0 to n - 1. */
static inline uint64_t test_rand_below(uint64_t n)
{
	return test_rand() % n;
}

static inline uint64_t test_rand_init(void)
{
	const char *given = getenv("TALLY_SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = given ? strtoull(given, NULL, 0)
		     : (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 20 ^
			       (uint64_t)getpid() << 40;
	printf("TALLY_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	test_rand_state = seed;
	return seed;
}

#endif
