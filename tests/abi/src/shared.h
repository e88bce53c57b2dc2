/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters in a header, used by inline functions of every file that includes it. */
#ifndef SHARED_H
#define SHARED_H

#include <tally/tally.h>

TALLY_COUNTER(in_header, "in_header", "Defined in a header, included by several files");
TALLY_EXTERN(from_main);
TALLY_GAUGE_EXTERN(level);

static inline void inline_count(void)
{
	TALLY_INC(in_header);
}

#ifdef __cplusplus
template <typename T> T template_count(T n)
{
	TALLY_ADD(in_header, n);
	return n;
}
extern "C" {
#endif
void other_count(void);
void library_count(void);
uint64_t library_value(void);
#ifdef __cplusplus
}
#endif

#endif
