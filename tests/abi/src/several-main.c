/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Uses all parts, checks each object's values, and prints "METRIC VALUE" of all objects together. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "several.h"

static int failed;

static void check(const char *what, int wrong)
{
	if (wrong) {
		printf("%s: %d kinds differ\n", what, wrong);
		failed = 1;
	}
}

int main(void)
{
	uint64_t uses = 100, elsewhere = 0;

	errno = 1234;
	for (int i = 0; i < 100; i++)
		kinds_use();
	several_use_0(10);
	uses += 10;
#if PARTS > 1
	several_use_1(20);
	several_use_2(30);
	several_use_3(40);
	uses += 90;
	check("part 3", several_wrong_3(uses));
#endif
#ifdef WITH_LIBRARIES
	several_use_4(50);
	several_use_5(60);
	check("library 4", several_wrong_4(50));
	check("library 5", several_wrong_5(60));
	elsewhere = 110;
#endif
	check("errno", errno != 1234);
	check("main", kinds_wrong(uses));
	check("part 0", several_wrong_0(uses));
	if (!failed)
		for (int i = 0; i < KINDS_N; i++)
			if (kinds[i].metric[0])
				printf("%s %" PRIu64 "\n", kinds[i].metric,
					kinds_expected(&kinds[i], uses + elsewhere));
	return failed;
}
