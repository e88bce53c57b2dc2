/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "migrations": a task that moves itself to and fro. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>

#define MODULE_UNDER_TEST module_migrations
#include "tests/lib/testmodule.h"

#define MOVES (clocks_are_real() ? 2000u : 200u)

static uint64_t moves(int cpu)
{
	char labels[32];

	snprintf(labels, sizeof(labels), "cpu=\"%d\"", cpu);
	return value("sched_migrations", labels, SERIES_VALUE);
}

Test(migrations, to_and_fro, .init = setup, .fini = teardown)
{
	uint64_t first, second;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		cr_skip_test("needs two CPUs");
	/* so that both have series */
	for (int i = 0; i < 20; i++)
		stay_on_cpu(i % 2);
	stay_on_cpu(0);
	poll_producer();
	first = moves(0);
	second = moves(1);
	for (unsigned i = 0; i < MOVES; i++)
		stay_on_cpu((i + 1) % 2);
	poll_producer();
	first = moves(0) - first;
	second = moves(1) - second;
	printf("%lu to CPU 0, %lu to CPU 1\n", first, second);
	/* on a CPU that is idle or busy others come and go, a few in the time that these moves take */
	cr_assert_geq(first, MOVES / 2);
	cr_assert_geq(second, MOVES / 2);
	cr_assert_leq(first + second, 10 * MOVES);
}
