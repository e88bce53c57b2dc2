/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Growing byte buffers and bounds-checked reading; see the header for the contract. */
#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/lib/buf.h"

#define BUF_FIRST_CAP 256u
/* So much is kept in any case; more, if at least an eighth of it was used. */
#define BUF_KEEP (32u << 10)

void buf_release(struct buf *b)
{
	free(b->data);
	*b = BUF_INIT;
}

void buf_reset(struct buf *b)
{
	if (b->cap > BUF_KEEP && b->len < b->cap / 8)
		buf_release(b);
	b->len = 0;
	b->failed = false;
}

int buf_error(const struct buf *b)
{
	return b->failed ? -ENOMEM : 0;
}

static bool buf_grow(struct buf *b, size_t need)
{
	size_t cap = b->cap ? b->cap : BUF_FIRST_CAP;
	uint8_t *data;

	while (cap < need) {
		if (cap > SIZE_MAX / 2)
			return false;
		cap *= 2;
	}
	data = realloc(b->data, cap);
	if (!data)
		return false;
	b->data = data;
	b->cap = cap;
	return true;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	if (b->failed)
		return NULL;
	if (n > SIZE_MAX - b->len || (b->len + n > b->cap && !buf_grow(b, b->len + n))) {
		b->failed = true;
		return NULL;
	}
	if (!b->data && !buf_grow(b, BUF_FIRST_CAP)) { /* n = 0 on an empty buffer */
		b->failed = true;
		return NULL;
	}
	return b->data + b->len;
}

void buf_put(struct buf *b, const void *bytes, size_t n)
{
	uint8_t *p = buf_reserve(b, n);

	if (!p || n == 0)
		return;
	memcpy(p, bytes, n);
	b->len += n;
}

void buf_put_u8(struct buf *b, uint8_t v)
{
	buf_put(b, &v, 1);
}

void buf_put_u32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	buf_put(b, &v, sizeof(v));
}

void buf_put_u64(struct buf *b, uint64_t v)
{
	v = htole64(v);
	buf_put(b, &v, sizeof(v));
}

void buf_put_varint(struct buf *b, uint64_t v)
{
	uint8_t *p = buf_reserve(b, VARINT_MAX_BYTES);

	if (p)
		b->len += (size_t)(varint_put(p, v) - p);
}

void buf_put_str(struct buf *b, const char *s)
{
	size_t n = strlen(s);

	buf_put_varint(b, n);
	buf_put(b, s, n);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	uint8_t *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	p = n < 0 ? NULL : buf_reserve(b, (size_t)n + 1);
	if (!p) {
		b->failed = true;
		return;
	}
	va_start(ap, fmt);
	vsnprintf((char *)p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

const uint8_t *rd_bytes(struct rd *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->failed || n > rd_left(r)) {
		r->failed = true;
		return NULL;
	}
	r->p += n;
	return p;
}

uint8_t rd_u8(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 1);

	return p ? *p : 0;
}

uint32_t rd_u32(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 4);
	uint32_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

uint64_t rd_u64(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 8);
	uint64_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

uint64_t rd_varint(struct rd *r)
{
	const uint8_t *p = r->p;
	unsigned int shift = 0;
	uint64_t v = 0;

	if (r->failed)
		return 0;
	while (p < r->end && shift < 64) {
		uint8_t byte = *p++;

		if (shift == 63 && byte > 1)
			break; /* more than 64 bits */
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			r->p = p;
			return v;
		}
		shift += 7;
	}
	r->failed = true;
	return 0;
}

const char *rd_str(struct rd *r, size_t *ret_len)
{
	uint64_t n = rd_varint(r);
	const uint8_t *p = NULL;

	if (n > rd_left(r))
		r->failed = true;
	else
		p = rd_bytes(r, (size_t)n);
	*ret_len = p ? (size_t)n : 0;
	return (const char *)p;
}
