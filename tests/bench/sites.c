/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions for sites.py: a hundred that count, with -DCOUNT, or the same hundred without. */
#include <tally/tally.h>

#include "tests/bench/repeat.h"

TALLY_COUNTER(site, "bench_site", "Counted in many places");

#ifdef COUNT
#define SITE TALLY_INC(site)
#else
#define SITE (void)0
#endif

#define FUNCTION(n)                                  \
	unsigned function##n(unsigned x, unsigned y) \
	{                                            \
		SITE;                                \
		return x * y;                        \
	}
REPEAT_100(FUNCTION, _)
