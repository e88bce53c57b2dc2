/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is in a store's directory, by number. */
#ifndef TALLY_GATHERER_STORE_NAMES_H
#define TALLY_GATHERER_STORE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct numbers {
	size_t n, cap;
	uint64_t *list; /* ascending */
};
bool numbers_have(const struct numbers *l, uint64_t number);

struct names {
	struct numbers heads, sealed;
	size_t ntemps, temps_cap;
	char (*temps)[64]; /* files that a crash has left unfinished */
};
/* Lists the directory. -ENOMEM or what the system says. */
int names_list(int dirfd, struct names *ret);
void names_release(struct names *n);

#endif
