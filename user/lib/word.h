/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A value is a word of 64 bits wherever it is kept; of a double it holds the bits. Pure functions. */
#ifndef TALLY_USER_LIB_WORD_H
#define TALLY_USER_LIB_WORD_H

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

#endif
