/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The largest of many things, by several criteria at once. */
#ifndef TALLY_USER_PROVIDER_TOP_H
#define TALLY_USER_PROVIDER_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOP_MAX 64u

/* What thing i amounts to by a criterion; asked for again and again, it must say the same. */
typedef uint64_t (*top_value_fn)(void *arg, size_t i, unsigned criterion);

/*
 * Sets chosen[i] for those of n things that are among the k (at most TOP_MAX) largest by at least one of
 * the criteria, and clears it for the others; of equal ones the first are chosen, and what amounts to 0 never is.
 * Returns how many are chosen.
 */
size_t top_select(
	size_t n, size_t k, unsigned ncriteria, top_value_fn value, void *arg, bool *chosen);

#endif
