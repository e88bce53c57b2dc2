/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rows as differences. Most values of most polls do not change, so the encoder and the decoder spend
 * their time in runs of them; a value that changed costs one varint.
 */
#include <byteswap.h>
#include <errno.h>
#include <string.h>

#include "user/lib/rowcode.h"

#define HASH_FACTOR 0x9e3779b97f4a7c15u /* 2^64 / golden ratio */

static uint64_t difference(uint8_t kind, uint64_t old, uint64_t new)
{
	return kind == VALUE_F64 ? bswap_64(old ^ new) : zigzag((int64_t)(new - old));
}

static uint64_t apply_difference(uint8_t kind, uint64_t old, uint64_t z)
{
	return kind == VALUE_F64 ? old ^ bswap_64(z) : old + (uint64_t)unzigzag(z);
}

static size_t unchanged_run(const uint64_t *prev, const uint64_t *cur, size_t i, size_t n)
{
	size_t start = i;

	if (prev)
		while (i < n && cur[i] == prev[i])
			i++;
	else
		while (i < n && cur[i] == 0)
			i++;
	return i - start;
}

void row_encode(const struct schema *s, const uint64_t *prev, const uint64_t *cur, struct buf *out)
{
	for (size_t i = 0; i < s->n;) {
		size_t run = unchanged_run(prev, cur, i, s->n);

		if (run > 0) {
			buf_put_u8(out, 0);
			buf_put_varint(out, run - 1);
			i += run;
			continue;
		}
		buf_put_varint(out, difference(s->series[i].kind, prev ? prev[i] : 0, cur[i]));
		i++;
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
