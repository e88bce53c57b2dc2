/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The storms' own count of what they did: a file that shares no code or memory with tally. The storms
 * map it and write, the tests read it afterwards.
 *
 *	used       slots in use
 *	notes      numbers that a storm leaves for its test, see enum oracle_note
 *	slots      one for each counting thread of each process, in which only that thread writes:
 *	             started    before each increment         returned    after it
 *
 * so that returned <= true count <= started at every instant, and equality when nobody was killed.
 */
#ifndef TALLY_TESTS_RACE_ORACLE_H
#define TALLY_TESTS_RACE_ORACLE_H

#include <stdint.h>

#define ORACLE_SLOTS (1u << 19)

enum oracle_note {
	NOTE_MAPS_BEFORE, /* lines of /proc/self/maps */
	NOTE_MAPS_AFTER,
	NOTE_FILES_BEFORE, /* open descriptors */
	NOTE_FILES_AFTER,
	NOTE_SEGMENTS_BEFORE, /* files in TALLY_DIR */
	NOTE_SEGMENTS_AFTER,
	NOTE_PROGRESS, /* goes up as a storm gets on, for who waits for it */
	NOTE_ENOUGH, /* set by the test: storms that count until then end */
	NOTE_COUNT = 15,
};

/* Alone on its line, so that the oracle does not make threads wait for each other. */
struct slot {
	volatile uint64_t started, returned;
	uint64_t pad[6];
};
struct oracle {
	uint64_t used;
	volatile uint64_t notes[NOTE_COUNT];
	struct slot slots[ORACLE_SLOTS];
};

#endif
