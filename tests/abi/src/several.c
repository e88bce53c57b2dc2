/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One part of a program or library: several.h. */
#include "several.h"

#define NAME_(a, b) a##b
#define NAME(a, b)  NAME_(a, b)

void NAME(several_use_, PART)(int n)
{
	for (int i = 0; i < n; i++)
		kinds_use();
}

int NAME(several_wrong_, PART)(uint64_t uses)
{
	return kinds_wrong(uses);
}
