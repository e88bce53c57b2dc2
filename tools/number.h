/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exact numbers for sums and differences: decimals of 127 bits, so that adding counters of 64 bits
 * (also of different scales) loses nothing; a double where a double came in, or where even that
 * range is passed.
 */
#ifndef TALLY_TOOLS_NUMBER_H
#define TALLY_TOOLS_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct number {
	__int128 i; /* value is i x 10^scale */
	double d; /* ... or this */
	int scale;
	bool is_double;
};

#define NUMBER_ZERO     ((struct number){0})
#define NUMBER_TEXT_MAX 96u

/* A sample's word; kind is enum value_kind. */
struct number number_from_value(uint64_t value, uint8_t kind, int8_t scale);
struct number number_from_double(double d);
struct number number_add(struct number a, struct number b);
struct number number_sub(struct number a, struct number b);
double number_to_double(struct number n);
/* Decimal text, exact for integers, as value_format() writes it. size >= NUMBER_TEXT_MAX. */
size_t number_format(struct number n, char *out, size_t size);

#endif
