/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A metric that is wrong, beside one that is not. WRONG is the definition, and USE an expression that counts
 * with it: tests/abi/types.sh gives both.
 */
#include <stdio.h>

#include <tally/tally.h>

TALLY_COUNTER(good, "good", "A good one");
WRONG;

int main(void)
{
	TALLY_INC(good);
	USE;
	puts(TALLY_VALUE(good) == 1 ? "ok" : "wrong");
	return 0;
}
