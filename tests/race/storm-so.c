/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A shared object that counts, for tests/race/storm-dl.c, which loads and unloads it. Its counter has the
 * name of the program's, so both are summed; its rows, generation and segment are its own.
 */
#include <stdint.h>

#include <tally/tally.h>

#include "oracle.h"

TALLY_COUNTER(storm, "storm", "Increments of the storm");
TALLY_COUNTER_UNIT(storm_bytes, "storm_bytes", "bytes", "Seven for each increment");

#ifdef __cplusplus
extern "C" {
#endif
/* The calling thread's slot, which is the program's; in a namespace of dlmopen there is none. */
struct slot *storm_dl_slot(void) __attribute__((weak));
void storm_so_count(struct slot *s, long n);
void storm_so_touch(void);
#ifdef __cplusplus
}
#endif

void storm_so_count(struct slot *s, long n)
{
	for (long i = 0; i < n; i++) {
		s->started = s->started + 1;
		TALLY_INC(storm);
		s->returned = s->returned + 1;
		TALLY_ADD(storm_bytes, 7);
	}
}

#ifdef __cplusplus
/* Keeps the object loaded until its thread ends, and counts then. */
struct counting {
	long n = 3;
	~counting()
	{
		if (storm_dl_slot)
			storm_so_count(storm_dl_slot(), n);
	}
};
static thread_local counting local;
void storm_so_touch(void)
{
	local.n++;
}
#else
void storm_so_touch(void)
{
}
#endif

__attribute__((constructor)) static void loaded(void)
{
	if (storm_dl_slot)
		storm_so_count(storm_dl_slot(), 2);
}

__attribute__((destructor)) static void unloaded(void)
{
	if (storm_dl_slot)
		storm_so_count(storm_dl_slot(), 5);
}
