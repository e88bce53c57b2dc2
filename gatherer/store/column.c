/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Columns of integers; doubles are in column_f64.c. Forms: see the header. */
#include <errno.h>
#include <string.h>

#include "gatherer/store/column_int.h"

static size_t varint_size(uint64_t v)
{
	return (size_t)(70 - __builtin_clzll(v | 1)) / 7;
}

static void put_signed(struct buf *out, uint64_t v)
{
	buf_put_varint(out, zigzag((int64_t)v));
}

static uint64_t get_signed(struct rd *r)
{
	return (uint64_t)unzigzag(rd_varint(r));
}

/* --- encoding: sizes of all forms in one pass, then the smallest ---------------------------- */

struct sizes {
	size_t offset, delta, delta2, sparse, changes;
	uint64_t base;
};

static struct sizes measure(const uint64_t *v, size_t n)
{
	struct sizes s = {.base = v[0]};
	uint64_t before = 0;
	size_t gap = 0;

	for (size_t i = 1; i < n; i++) {
		uint64_t d = v[i] - v[i - 1], z = zigzag((int64_t)d);

		if ((int64_t)v[i] < (int64_t)s.base)
			s.base = v[i];
		s.delta += varint_size(z);
		s.delta2 += varint_size(zigzag((int64_t)(d - before)));
		before = d;
		gap++;
		if (d == 0)
			continue;
		s.changes++;
		s.sparse += varint_size(gap - 1) + varint_size(z);
		gap = 0;
	}
	for (size_t i = 0; i < n; i++)
		s.offset += varint_size(v[i] - s.base);
	return s;
}

static enum column_tag choose(const struct sizes *s, size_t n)
{
	enum column_tag best = COLUMN_DELTA;
	size_t size = s->delta;

	if (s->changes == 0)
		return COLUMN_CONSTANT;
	if (s->changes * 4 < n)
		return COLUMN_SPARSE;
	if (s->delta2 < size) {
		best = COLUMN_DELTA2;
		size = s->delta2;
	}
	return s->offset < size ? COLUMN_OFFSET : best;
}

static void put_offsets(const uint64_t *v, size_t n, uint64_t base, struct buf *out)
{
	put_signed(out, base);
	for (size_t i = 0; i < n; i++)
		buf_put_varint(out, v[i] - base);
}

static void put_deltas(const uint64_t *v, size_t n, struct buf *out)
{
	put_signed(out, v[0]);
	for (size_t i = 1; i < n; i++)
		put_signed(out, v[i] - v[i - 1]);
}

static void put_deltas2(const uint64_t *v, size_t n, struct buf *out)
{
	uint64_t before = 0;

	put_signed(out, v[0]);
	for (size_t i = 1; i < n; i++) {
		put_signed(out, v[i] - v[i - 1] - before);
		before = v[i] - v[i - 1];
	}
}

static void put_sparse(const uint64_t *v, size_t n, size_t changes, struct buf *out)
{
	size_t last = 0;

	put_signed(out, v[0]);
	buf_put_varint(out, changes);
	for (size_t i = 1; i < n; i++)
		if (v[i] != v[i - 1]) {
			buf_put_varint(out, i - last - 1);
			last = i;
		}
	for (size_t i = 1; i < n; i++)
		if (v[i] != v[i - 1])
			put_signed(out, v[i] - v[i - 1]);
}

void column_encode(const uint64_t *v, size_t n, struct buf *out)
{
	struct sizes s = measure(v, n);
	enum column_tag tag = choose(&s, n);

	buf_put_u8(out, (uint8_t)tag);
	if (tag == COLUMN_CONSTANT)
		put_signed(out, v[0]);
	else if (tag == COLUMN_SPARSE)
		put_sparse(v, n, s.changes, out);
	else if (tag == COLUMN_OFFSET)
		put_offsets(v, n, s.base, out);
	else if (tag == COLUMN_DELTA)
		put_deltas(v, n, out);
	else
		put_deltas2(v, n, out);
}

/* --- decoding ------------------------------------------------------------------------------- */

static int get_sparse(struct rd *r, size_t n, uint64_t *v)
{
	uint64_t first = get_signed(r), changes = rd_varint(r);
	size_t at = 0, written = 0;
	struct rd gaps = *r;

	if (r->failed || changes >= n)
		return -EBADMSG;
	for (uint64_t i = 0; i < changes; i++)
		rd_varint(r); /* r now stands at the values */
	for (uint64_t i = 0; i < changes; i++) {
		uint64_t gap = rd_varint(&gaps);

		if (gap >= n - 1 - at)
			return -EBADMSG;
		at += (size_t)gap + 1;
		while (written < at)
			v[written++] = first;
		first += get_signed(r);
	}
	while (written < n)
		v[written++] = first;
	return r->failed || gaps.failed ? -EBADMSG : 0;
}

int column_decode_integers(struct rd *r, uint8_t tag, size_t n, uint64_t *v)
{
	uint64_t first, step = 0;

	if (tag == COLUMN_SPARSE)
		return get_sparse(r, n, v);
	first = get_signed(r);
	if (tag == COLUMN_CONSTANT)
		for (size_t i = 0; i < n; i++)
			v[i] = first;
	else if (tag == COLUMN_OFFSET)
		for (size_t i = 0; i < n; i++)
			v[i] = first + rd_varint(r);
	else if (tag == COLUMN_DELTA)
		for (size_t i = 0; i < n; i++, first += i < n ? get_signed(r) : 0)
			v[i] = first;
	else if (tag == COLUMN_DELTA2)
		for (size_t i = 0; i < n; i++, step += i < n ? get_signed(r) : 0, first += step)
			v[i] = first;
	else
		return -EBADMSG;
	return r->failed ? -EBADMSG : 0;
}

int column_decode(struct rd *r, size_t n, uint64_t *v, struct column_copy *ret_copy)
{
	uint8_t tag = rd_u8(r);
	struct column_copy c;

	if (r->failed)
		return -EBADMSG;
	if (tag == COLUMN_WORDS || tag == COLUMN_DECIMAL)
		return column_decode_doubles(r, tag, n, v);
	if (tag != COLUMN_COPY)
		return column_decode_integers(r, tag, n, v);
	c.of = rd_varint(r);
	c.g = rd_varint(r);
	c.h = (int64_t)get_signed(r);
	c.first = get_signed(r);
	if (r->failed || c.g == 0 || c.g > INT64_MAX)
		return -EBADMSG;
	*ret_copy = c;
	return 1;
}

/* --- copies --------------------------------------------------------------------------------- */

void column_encode_copy(const struct column_copy *c, struct buf *out)
{
	buf_put_u8(out, COLUMN_COPY);
	buf_put_varint(out, c->of);
	buf_put_varint(out, c->g);
	put_signed(out, (uint64_t)c->h);
	put_signed(out, c->first);
}

void column_apply_copy(const struct column_copy *c, const uint64_t *base, size_t n, uint64_t *v)
{
	uint64_t value = c->first;

	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			value += (uint64_t)((int64_t)(base[i] - base[i - 1]) / (int64_t)c->g) *
				 (uint64_t)c->h;
		v[i] = value;
	}
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t r = a % b;

		a = b;
		b = r;
	}
	return a;
}

struct column_shape column_shape(const uint64_t *v, size_t n)
{
	struct column_shape s = {.hash = n};
	uint64_t unit = 0;
	bool negative = false;

	for (size_t i = 1; i < n && unit != 1; i++) {
		int64_t d = (int64_t)(v[i] - v[i - 1]);

		if (d == 0)
			continue;
		if (unit == 0)
			negative = d < 0;
		unit = gcd(d < 0 ? -(uint64_t)d : (uint64_t)d, unit);
	}
	if (unit == 0 || unit > INT64_MAX)
		return s;
	s.unit = negative ? -(int64_t)unit : (int64_t)unit;
	for (size_t i = 1; i < n; i++) {
		int64_t d = (int64_t)(v[i] - v[i - 1]);

		if (d == INT64_MIN) {
			s.unit = 0;
			return s;
		}
		if (d != 0)
			s.hash = (s.hash ^ i ^ (uint64_t)(d / s.unit)) * 0x9e3779b97f4a7c15u;
		s.hash ^= d ? s.hash >> 29 : 0;
	}
	return s;
}

bool column_same_shape(
	const uint64_t *a, int64_t unit_a, const uint64_t *b, int64_t unit_b, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if ((int64_t)(a[i] - a[i - 1]) / unit_a != (int64_t)(b[i] - b[i - 1]) / unit_b)
			return false;
	return true;
}
