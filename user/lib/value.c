/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What people see: sample names of OpenMetrics, and values as exact decimal text. Programs run with
 * LC_NUMERIC "C": these texts are read by other programs.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/lib/schema.h"
#include "user/lib/word.h"

size_t series_sample_name(const struct series *s, char *out, size_t size)
{
	const char *suffix = "";
	int n;

	if (s->part == SERIES_BUCKET)
		suffix = "_bucket";
	else if (s->part == SERIES_SUM)
		suffix = "_sum";
	else if (s->type == METRIC_COUNTER)
		suffix = "_total";
	n = snprintf(out, size, "%s%s", s->name, suffix);
	return n < 0 ? 0 : (size_t)n;
}

void series_print(const struct series *s, struct buf *out)
{
	char name[SCHEMA_NAME_MAX + sizeof("_bucket")];

	series_sample_name(s, name, sizeof(name));
	buf_printf(out, "%s", name);
	if (s->labels[0])
		buf_printf(out, "{%s}", s->labels);
}

static size_t format_double(double d, char *out, size_t size)
{
	int n = 0;

	if (isnan(d))
		return (size_t)snprintf(out, size, "NaN");
	if (isinf(d))
		return (size_t)snprintf(out, size, d > 0 ? "+Inf" : "-Inf");
	/* 15 digits always survive reading and %g drops zeros, but a subnormal has fewer. */
	for (int digits = fpclassify(d) == FP_SUBNORMAL ? 1 : 15; digits <= 17; digits++) {
		n = snprintf(out, size, "%.*g", digits, d);
		if (strtod(out, NULL) == d)
			break;
	}
	return (size_t)n;
}

/* digits / 10^places, without trailing zeros behind the point. */
static size_t format_fraction(const char *digits, size_t n, size_t places, char *out)
{
	size_t whole = n > places ? n - places : 0, len = 0;

	if (whole == 0)
		out[len++] = '0';
	memcpy(out + len, digits, whole);
	len += whole;
	while (n > whole && digits[n - 1] == '0')
		n--, places--;
	if (n > whole) {
		out[len++] = '.';
		for (size_t zeros = places - (n - whole); zeros > 0; zeros--)
			out[len++] = '0';
		memcpy(out + len, digits + whole, n - whole);
		len += n - whole;
	}
	out[len] = '\0';
	return len;
}

size_t value_format(uint64_t value, uint8_t kind, int8_t scale, char *out, size_t size)
{
	bool negative = kind == VALUE_I64 && (int64_t)value < 0;
	char digits[24];
	size_t n;

	if (kind == VALUE_F64)
		return format_double(double_of_word(value), out, size);
	n = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, negative ? -value : value);
	if (negative)
		*out++ = '-';
	if (scale < 0)
		return negative + format_fraction(digits, n, (size_t)-scale, out);
	memcpy(out, digits, n);
	if (value != 0)
		for (; scale > 0; scale--)
			out[n++] = '0';
	out[n] = '\0';
	return negative + n;
}

double value_to_double(uint64_t value, uint8_t kind, int8_t scale)
{
	static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10,
		1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};
	double d;

	if (kind == VALUE_F64)
		return double_of_word(value);
	d = kind == VALUE_I64 ? (double)(int64_t)value : (double)value;
	return scale < 0 ? d / powers[-scale] : d * powers[scale];
}
