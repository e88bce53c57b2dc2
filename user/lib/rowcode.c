/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rows as differences. Most values of most polls do not change, so the encoder and the decoder spend
 * their time in runs of them; a value that changed costs one varint.
 */
#include <byteswap.h>
#include <errno.h>
#include <string.h>

#include "user/lib/rowcode.h"
#include "user/lib/util.h"

static uint64_t difference(uint8_t kind, uint64_t old, uint64_t new)
{
	return kind == VALUE_F64 ? bswap_64(old ^ new) : zigzag((int64_t)(new - old));
}

static uint64_t apply_difference(uint8_t kind, uint64_t old, uint64_t z)
{
	return kind == VALUE_F64 ? old ^ bswap_64(z) : old + (uint64_t)unzigzag(z);
}

/* Four at once: most values have not changed. */
static size_t unchanged_run(const uint64_t *prev, const uint64_t *cur, size_t i, size_t n)
{
	size_t start = i;

	for (; i + 4 <= n; i += 4)
		if ((cur[i] ^ prev[i]) | (cur[i + 1] ^ prev[i + 1]) | (cur[i + 2] ^ prev[i + 2]) |
			(cur[i + 3] ^ prev[i + 3]))
			break;
	while (i < n && cur[i] == prev[i])
		i++;
	return i - start;
}

static size_t zero_run(const uint64_t *cur, size_t i, size_t n)
{
	size_t start = i;

	while (i < n && cur[i] == 0)
		i++;
	return i - start;
}

/* Room is asked for once for many values. A value takes at most EACH bytes, a run too. */
#define EACH (1u + VARINT_MAX_BYTES)
#define ROOM (64u * EACH)

/* Puts the value at *i, or the run that begins there, and moves on behind it. */
static uint8_t *put_next(
	const struct schema *s, const uint64_t *prev, const uint64_t *cur, size_t *i, uint8_t *p)
{
	size_t run = prev ? unchanged_run(prev, cur, *i, s->n) : zero_run(cur, *i, s->n), at = *i;

	if (run > 0) {
		*i += run;
		*p++ = 0;
		return varint_put(p, run - 1);
	}
	++*i;
	return varint_put(p, difference(s->series[at].kind, prev ? prev[at] : 0, cur[at]));
}

void row_encode(const struct schema *s, const uint64_t *prev, const uint64_t *cur, struct buf *out)
{
	for (size_t i = 0; i < s->n;) {
		uint8_t *begin = buf_reserve(out, ROOM), *p = begin;

		if (!p)
			return;
		while (i < s->n && p + EACH <= begin + ROOM)
			p = put_next(s, prev, cur, &i, p);
		out->len += (size_t)(p - begin);
	}
}

int row_decode(const struct schema *s, bool key, const uint8_t *p, size_t len, uint64_t *row)
{
	struct rd r = rd_init(p, len);
	size_t i = 0;

	if (key && s->n)
		memset(row, 0, s->n * sizeof(*row));
	while (rd_left(&r) > 0) {
		uint64_t z;

		if (*r.p == 0) {
			r.p++;
			z = rd_varint(&r);
			if (r.failed || z >= s->n - i)
				return -EBADMSG;
			i += (size_t)z + 1;
			continue;
		}
		z = rd_varint(&r);
		if (r.failed || z == 0 || i >= s->n)
			return -EBADMSG;
		row[i] = apply_difference(s->series[i].kind, row[i], z);
		i++;
	}
	return i == s->n ? 0 : -EBADMSG;
}

static uint64_t hash_word(uint64_t lane, uint64_t word)
{
	uint64_t x = (lane ^ word) * HASH_FACTOR;

	return x << 29 | x >> 35;
}

uint32_t row_hash(const uint64_t *row, size_t n)
{
	uint64_t lane[4] = {1, 2, 3, 4}, x = n;
	size_t i = 0;

	for (; i + 4 <= n; i += 4)
		for (size_t k = 0; k < 4; k++)
			lane[k] = hash_word(lane[k], row[i + k]);
	for (; i < n; i++)
		lane[i % 4] = hash_word(lane[i % 4], row[i]);
	for (size_t k = 0; k < 4; k++)
		x = hash_word(x, lane[k]);
	return (uint32_t)(x ^ x >> 32);
}
