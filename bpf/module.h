/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every BPF program of this folder shares with its reader, user/provider/kernel/module.c. */
#ifndef TALLY_BPF_MODULE_H
#define TALLY_BPF_MODULE_H

#include <stdint.h>

/*
 * A program's book of itself, one for each CPU: how often it ran, and how long the runs took that were
 * timed, one of TALLY_OWN_EVERY. Reading the clock costs more than most programs do.
 */
#define TALLY_OWN_EVERY 1024u /* a power of two */
struct tally_own {
	uint64_t runs;
	uint64_t timed;
	uint64_t ns;
};

/*
 * Slots: series of names that turn up while programs run, disks for one. Slot 0 is that of all which found no
 * free one. The reader sets the number of slots before programs are loaded, at most TALLY_SLOTS_MAX; the
 * programs give a slot its name. Cells are an array of structs, one for each CPU and slot: at
 * cpu x slots + slot.
 */
#define TALLY_SLOTS_MAX 64u
#define TALLY_SLOT_NAME 32u
struct tally_slot {
	uint64_t ready; /* not 0: the name is there, and stays */
	char name[TALLY_SLOT_NAME];
};

#endif
