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
/* A run that took longer was interrupted, or its CPU taken away: it counts as this. */
#define TALLY_OWN_MAX_NS 65536u
struct tally_own {
	uint64_t runs;
	uint64_t timed;
	uint64_t ns;
};

/*
 * What the reader tells programs while they run. Without privileges it can't attach programs again on kernels before
 * 5.19; this it can write everywhere.
 */
#define TALLY_COARSE_EVERY 16u
struct tally_knobs {
	uint64_t attached_ns; /* CLOCK_MONOTONIC, when they were attached, or knobs turned */
	uint64_t every; /* one of so many events is looked at; 0: none */
};

/*
 * Slots: series of names that turn up while programs run, disks for one. Slot 0 is that of all which found no
 * free one. The reader sets the number of slots before programs are loaded, at most TALLY_SLOTS_MAX; the
 * programs give a slot its name. Cells are an array of structs, one for each CPU and slot: at
 * cpu x slots + slot.
 *
 * Names are an array of structs, one for each slot, that begin with `ready`: not 0 means that the name is
 * there, and stays. That of slot 0 is the programs' own: how many slots are surely taken.
 */
#define TALLY_SLOTS_MAX 256u
#define TALLY_SLOT_NAME 32u
struct tally_slot {
	uint64_t ready;
	char name[TALLY_SLOT_NAME];
};

/* A name that is a number; user space makes text of it. */
struct tally_slot_number {
	uint64_t ready;
	uint64_t number;
};

/* What the reader tells the programs of a module that has slots. */
struct tally_constants {
	uint32_t slots;
	uint32_t reserved;
	uint64_t tick_ns; /* the kernel's jiffy */
};

/*
 * The path of a cgroup, by its names from the last to the first, each ended by a zero. A name that is longer
 * than TALLY_CGROUP_NAME - 1 lacks its end; `cut`: some of the path is missing.
 */
#define TALLY_CGROUP_LEVELS 12u
#define TALLY_CGROUP_NAME   128u
#define TALLY_CGROUP_PATH   384u
struct tally_slot_cgroup {
	uint64_t ready;
	uint64_t identity; /* of the path: tells those apart that are cut */
	uint32_t size; /* bytes of names */
	uint32_t cut;
	char names[TALLY_CGROUP_PATH];
};

#endif
