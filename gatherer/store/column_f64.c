/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Columns of doubles. Most were decimals with few digits before a program made doubles of them: those
 * become integers again. The rest are kept as words if values come back (zlib then finds the whole
 * word again), or as differences of their bits.
 */
#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/column_int.h"
#include "user/lib/word.h"

#define EXPONENT_MAX 15u

static const double powers[EXPONENT_MAX + 1] = {
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

/* Is the word exactly k / 10^e? */
static bool is_decimal(uint64_t word, unsigned int e, int64_t *ret_k)
{
	double scaled = double_of_word(word) * powers[e];
	int64_t k;

	if (!(fabs(scaled) < 9007199254740992.0)) /* also NaN; 2^53: k is a double, too */
		return false;
	k = llrint(scaled);
	if (word_of_double((double)k / powers[e]) != word)
		return false;
	*ret_k = k;
	return true;
}

/* Smallest exponent at which enough words are decimals; counts the others. */
static bool find_exponent(const uint64_t *v, size_t n, unsigned int *ret_e, size_t *ret_exceptions)
{
	size_t allowed = n / 16;
	int64_t k;

	for (unsigned int e = 0; e <= EXPONENT_MAX; e++) {
		size_t exceptions = 0;

		for (size_t i = 0; i < n && exceptions <= allowed; i++)
			exceptions += !is_decimal(v[i], e, &k);
		if (exceptions <= allowed) {
			*ret_e = e;
			*ret_exceptions = exceptions;
			return true;
		}
	}
	return false;
}

static void put_decimal(const uint64_t *v, size_t n, unsigned int e, size_t exceptions,
	uint64_t *ks, struct buf *out)
{
	size_t next = 0;
	int64_t k = 0;

	buf_put_u8(out, COLUMN_DECIMAL);
	buf_put_u8(out, (uint8_t)e);
	buf_put_varint(out, exceptions);
	for (size_t i = 0; i < n; i++) {
		if (!is_decimal(v[i], e, &k)) { /* k stays what it was: no difference */
			buf_put_varint(out, i - next);
			buf_put_u64(out, v[i]);
			next = i + 1;
		}
		ks[i] = (uint64_t)k;
	}
	column_encode(ks, n, out);
}

static int compare_words(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* How many words occur for the first time; sorts them. */
static size_t count_distinct(uint64_t *v, size_t n)
{
	size_t distinct = 1;

	qsort(v, n, sizeof(*v), compare_words);
	for (size_t i = 1; i < n; i++)
		distinct += v[i] != v[i - 1];
	return distinct;
}

static void put_words(const uint64_t *v, size_t n, struct buf *out)
{
	buf_put_u8(out, COLUMN_WORDS);
	for (size_t i = 0; i < n; i++)
		buf_put_u64(out, v[i]);
}

void column_encode_f64(const uint64_t *v, size_t n, uint64_t *scratch, struct buf *out)
{
	size_t start = out->len, exceptions, distinct;
	unsigned int e;

	if (find_exponent(v, n, &e, &exceptions)) {
		put_decimal(v, n, e, exceptions, scratch, out);
		return;
	}
	memcpy(scratch, v, n * sizeof(*v));
	distinct = count_distinct(scratch, n);
	column_encode(v, n, out);
	/* A new word costs about 7 bytes after zlib, one seen before about 2; differences do not shrink. */
	if (distinct * 7 + (n - distinct) * 2 < out->len - start) {
		out->len = start;
		put_words(v, n, out);
	}
}

static int get_words(struct rd *r, size_t n, uint64_t *v)
{
	const uint8_t *p = rd_bytes(r, n * sizeof(*v));

	if (!p)
		return -EBADMSG;
	memcpy(v, p, n * sizeof(*v));
	for (size_t i = 0; i < n; i++)
		v[i] = le64toh(v[i]);
	return 0;
}

static int put_exceptions(struct rd r, uint64_t exceptions, size_t n, uint64_t *v)
{
	size_t next = 0;

	for (uint64_t i = 0; i < exceptions; i++) {
		uint64_t gap = rd_varint(&r), word = rd_u64(&r);

		if (r.failed || gap >= n - next)
			return -EBADMSG;
		next += (size_t)gap;
		v[next++] = word;
	}
	return 0;
}

static int get_decimal(struct rd *r, size_t n, uint64_t *v)
{
	uint8_t e = rd_u8(r), tag;
	uint64_t exceptions = rd_varint(r);
	struct rd list = *r;
	int err;

	if (r->failed || e > EXPONENT_MAX || exceptions > n)
		return -EBADMSG;
	for (uint64_t i = 0; i < exceptions; i++) {
		rd_varint(r);
		rd_u64(r);
	}
	tag = rd_u8(r);
	err = r->failed ? -EBADMSG : column_decode_integers(r, tag, n, v);
	if (err)
		return err;
	for (size_t i = 0; i < n; i++)
		v[i] = word_of_double((double)(int64_t)v[i] / powers[e]);
	return put_exceptions(list, exceptions, n, v);
}

int column_decode_doubles(struct rd *r, uint8_t tag, size_t n, uint64_t *v)
{
	return tag == COLUMN_WORDS ? get_words(r, n, v) : get_decimal(r, n, v);
}
