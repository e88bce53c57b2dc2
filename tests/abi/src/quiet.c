/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts between two writes: nothing else may be seen of it from outside. */
#include <unistd.h>

#include <tally/tally.h>

TALLY_COUNTER(quiet, "quiet", "Counts between two system calls");
TALLY_GAUGE(level, "quiet_level", "Set between two system calls");

int main(void)
{
	TALLY_INC(quiet);
	if (write(1, "begin\n", 6) != 6)
		return 1;
	for (int i = 0; i < 1000000; i++) {
		TALLY_INC(quiet);
		TALLY_GAUGE_SET(level, i);
	}
	if (write(1, "end\n", 4) != 4)
		return 1;
	return TALLY_VALUE(quiet) == 1000001 ? 0 : 1;
}
