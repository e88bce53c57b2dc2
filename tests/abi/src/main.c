/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compiled as C11 and C++17 with all warnings as errors; counts in every way, and checks itself. */
#include <errno.h>
#include <stdio.h>

#include "shared.h"

TALLY_COUNTER(from_main, "from_main", "Defined here, used in other.c too");
TALLY_COUNTER(same, "same_name", "The same name in two files");
TALLY_GAUGE(level, "level", "A gauge");

static int failed;

static void check(const char *what, uint64_t got, uint64_t want)
{
	if (got != want) {
		printf("%s: %llu, not %llu\n", what, (unsigned long long)got,
			(unsigned long long)want);
		failed = 1;
	}
}

int main(void)
{
	unsigned char small = 3;

	errno = 1234;
	for (int i = 0; i < 10; i++)
		TALLY_INC(from_main);
	TALLY_ADD(from_main, small);
	TALLY_ADD(from_main, 1ull << 40);
	inline_count();
	TALLY_INC(same);
	other_count();
#ifdef __cplusplus
	template_count(4);
	template_count(5l);
#else
	TALLY_ADD(in_header, 9);
#endif
	TALLY_GAUGE_SET(level, 5);
	TALLY_GAUGE_ADD(level, -8);
	check("errno", (uint64_t)errno, 1234);
	check("from_main", TALLY_VALUE(from_main), 10 + 3 + (1ull << 40) + 100);
	check("in_header", TALLY_VALUE(in_header), 1 + 9 + 50);
	check("level", (uint64_t)(TALLY_GAUGE_VALUE(level) + 100), 97);
#ifdef WITH_LIBRARY
	for (int i = 0; i < 7; i++)
		library_count();
	check("library", library_value(), 7);
#endif
	if (!failed)
		puts("ok");
	return failed;
}
