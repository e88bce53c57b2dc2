/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Somebody's program, to be built with pkg-config, CMake and meson. */
#include <stdio.h>

#include <tally/test.h>

TALLY_COUNTER(packaged, "packaged", "Counted by a program of somebody else's");

int main(void)
{
	TALLY_EXPECT_CHANGE(packaged, 1, TALLY_INC(packaged));
	puts(TALLY_TEST_FAILURES() ? "wrong" : "ok");
	return 0;
}
