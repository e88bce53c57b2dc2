/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "shared.h"

/* Its own definition of a name that main.c has too: both are summed by who reads the segment. */
TALLY_COUNTER(same_here, "same_name", "The same name in two files");

void other_count(void)
{
	for (int i = 0; i < 100; i++)
		TALLY_INC(from_main);
	for (int i = 0; i < 50; i++)
		inline_count();
	TALLY_INC(same_here);
	TALLY_GAUGE_ADD(level, 1);
}
