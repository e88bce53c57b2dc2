/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A value is a word of 64 bits wherever it is kept; of a double it holds the bits. Pure functions. */
#ifndef TALLY_USER_LIB_WORD_H
#define TALLY_USER_LIB_WORD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline double double_of_word(uint64_t word)
{
	double d;

	memcpy(&d, &word, sizeof(d));
	return d;
}

static inline uint64_t word_of_double(double d)
{
	uint64_t word;

	memcpy(&word, &d, sizeof(word));
	return word;
}

/* Two words at once: at -O2 gcc 12 makes no vectors of a plain loop whose length it doesn't know. */
typedef uint64_t word_pair __attribute__((vector_size(16), aligned(8), may_alias));

/* The one loop over all cells: to[i] = a[i] + b[i]; to may be a. */
static inline void add_words(uint64_t *to, const uint64_t *a, const uint64_t *b, size_t n)
{
	size_t i = 0;

	for (; i + 2 <= n; i += 2)
		*(word_pair *)(to + i) = *(const word_pair *)(a + i) + *(const word_pair *)(b + i);
	if (i < n)
		to[i] = a[i] + b[i];
}

#endif
