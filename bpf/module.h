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

#endif
