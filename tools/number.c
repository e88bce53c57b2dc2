/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decimals of 127 bits. */
#include "tools/number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "user/lib/schema.h"

struct number number_from_double(double d)
{
	return (struct number){.d = d, .is_double = true};
}

struct number number_from_value(uint64_t value, uint8_t kind, int8_t scale)
{
	if (kind == VALUE_F64)
		return number_from_double(value_to_double(value, kind, scale));
	return (struct number){
		.i = kind == VALUE_I64 ? (__int128)(int64_t)value : (__int128)value,
		.scale = scale,
	};
}

double number_to_double(struct number n)
{
	if (n.is_double)
		return n.d;
	/* Powers of ten up to 22 are exact doubles: one division rounds once. */
	return n.scale < 0 ? (double)n.i / pow(10, -n.scale) : (double)n.i * pow(10, n.scale);
}

/* The same value in a finer scale. False if it does not fit. */
static bool rescale(struct number *n, int scale)
{
	while (n->scale > scale) {
		if (__builtin_mul_overflow(n->i, 10, &n->i))
			return false;
		n->scale--;
	}
	return true;
}

static bool align(struct number *a, struct number *b)
{
	if (a->is_double || b->is_double)
		return false;
	if (!a->i)
		a->scale = b->scale;
	if (!b->i)
		b->scale = a->scale;
	return rescale(a, b->scale) && rescale(b, a->scale);
}

struct number number_add(struct number a, struct number b)
{
	struct number x = a, y = b;

	if (!align(&x, &y) || __builtin_add_overflow(x.i, y.i, &x.i))
		return number_from_double(number_to_double(a) + number_to_double(b));
	return x;
}

struct number number_sub(struct number a, struct number b)
{
	struct number x = a, y = b;

	if (!align(&x, &y) || __builtin_sub_overflow(x.i, y.i, &x.i))
		return number_from_double(number_to_double(a) - number_to_double(b));
	return x;
}

/* Digits of |i| from the end of out backwards; returns where they begin. */
static char *put_digits(__int128 i, char *end)
{
	unsigned __int128 u = i < 0 ? -(unsigned __int128)i : (unsigned __int128)i;

	*--end = '0' + (char)(u % 10);
	while (u /= 10)
		*--end = '0' + (char)(u % 10);
	return end;
}

static size_t format_decimal(struct number n, char *out, size_t size)
{
	char digits[48], *end = digits + sizeof(digits) - 1, *p;
	const char *sign = n.i < 0 ? "-" : "";
	int len, point;

	*end = 0;
	p = put_digits(n.i, end);
	len = (int)(end - p);
	if (!n.i || n.scale >= 0)
		return (size_t)snprintf(
			out, size, "%s%s%.*s", sign, p, n.i ? n.scale : 0, "000000000000000000");
	point = len + n.scale; /* digits before the point */
	while (end[-1] == '0' && end - p > (point > 0 ? point : 0))
		*--end = 0;
	if (point <= 0)
		return (size_t)snprintf(
			out, size, "%s0.%.*s%s", sign, -point, "000000000000000000", p);
	return (size_t)snprintf(
		out, size, "%s%.*s%s%s", sign, point, p, p[point] ? "." : "", p + point);
}

size_t number_format(struct number n, char *out, size_t size)
{
	uint64_t bits;

	if (!n.is_double)
		return format_decimal(n, out, size);
	memcpy(&bits, &n.d, sizeof(bits));
	return value_format(bits, VALUE_F64, 0, out, size);
}
