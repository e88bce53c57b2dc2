/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A shared object with counters of its own: its segment is its own too. */
#include <tally/tally.h>

TALLY_COUNTER(library, "library_calls", "Calls into the library");

#ifdef __cplusplus
extern "C" {
#endif
void library_count(void);
uint64_t library_value(void);

void library_count(void)
{
	TALLY_INC(library);
}

uint64_t library_value(void)
{
	return TALLY_VALUE(library);
}
#ifdef __cplusplus
}
#endif
