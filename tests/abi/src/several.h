/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program of several files that all include tally, and so do its libraries: several-main.c, and
 * several.c compiled once for each PART. Parts 0 to 3 belong to the program (PARTS of them), 4 and 5 to
 * libraries (WITH_LIBRARIES).
 */
#ifndef SEVERAL_H
#define SEVERAL_H

#include "kinds.h"

#ifdef __cplusplus
extern "C" {
#endif

/* use: so often; wrong: how many kinds differ from so many uses, seen from that file */
#define SEVERAL_PART(part)              \
	void several_use_##part(int n); \
	int several_wrong_##part(uint64_t uses)
SEVERAL_PART(0);
SEVERAL_PART(1);
SEVERAL_PART(2);
SEVERAL_PART(3);
SEVERAL_PART(4);
SEVERAL_PART(5);

#ifdef __cplusplus
}
#endif

static inline int kinds_wrong(uint64_t uses)
{
	int wrong = 0;

	for (int i = 0; i < KINDS_N; i++)
		wrong += kinds[i].value() != kinds_expected(&kinds[i], uses);
	return wrong;
}

#endif
