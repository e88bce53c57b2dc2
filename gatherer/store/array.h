/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Growing arrays. */
#ifndef TALLY_GATHERER_STORE_ARRAY_H
#define TALLY_GATHERER_STORE_ARRAY_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Makes room for n items in *(T **)array, whose room is *cap, at least doubling it. -ENOMEM leaves
 * everything as it was.
 */
static inline int array_reserve(void *array, size_t n, size_t *cap, size_t size)
{
	size_t new_cap = *cap ? *cap : 16;
	void *p;

	if (n <= *cap)
		return 0;
	while (new_cap < n)
		new_cap *= 2;
	memcpy(&p, array, sizeof(p)); /* whatever it points to, the pointer itself is one */
	p = realloc(p, new_cap * size);
	if (!p)
		return -ENOMEM;
	memcpy(array, &p, sizeof(p));
	*cap = new_cap;
	return 0;
}

#endif
