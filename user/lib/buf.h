/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A growing byte buffer, and a bounds-checked reader of bytes. All integers are little-endian;
 * varints are LEB128 (7 bits a byte, low first, at most 10 bytes).
 *
 * A failed allocation sets buf.failed, further puts are ignored and buf_error() tells: callers check
 * once at the end. A reader that runs out sets .failed and yields zeros: check once at the end.
 * No thread safety; a value of these types belongs to one thread at a time.
 */
#ifndef TALLY_USER_LIB_BUF_H
#define TALLY_USER_LIB_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data;
	size_t len, cap;
	bool failed;
};

#define BUF_INIT ((struct buf){0})

void buf_release(struct buf *b); /* frees the bytes; b is empty again */
void buf_reset(struct buf *b); /* length 0; memory is kept, unless much more than what was used */
int buf_error(const struct buf *b); /* 0 or -ENOMEM */
/* Room for n more bytes at data + len, or NULL. The caller adds to len what it wrote. */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_put(struct buf *b, const void *bytes, size_t n);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_varint(struct buf *b, uint64_t v);
/* Writes v where there is room for VARINT_MAX_BYTES; returns where it ends. */
#define VARINT_MAX_BYTES 10u
static inline uint8_t *varint_put(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}
/* varint length, then the bytes without a terminating zero */
void buf_put_str(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct rd {
	const uint8_t *p, *end;
	bool failed;
};

static inline struct rd rd_init(const void *p, size_t n)
{
	return (struct rd){.p = p, .end = (const uint8_t *)p + n};
}
static inline size_t rd_left(const struct rd *r)
{
	return (size_t)(r->end - r->p);
}
uint8_t rd_u8(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
uint64_t rd_varint(struct rd *r);
/* A borrowed view of the next n bytes, or NULL (and .failed). */
const uint8_t *rd_bytes(struct rd *r, size_t n);
/* Reads a varint length and that many bytes; borrowed, not terminated. *ret_len is set always. */
const char *rd_str(struct rd *r, size_t *ret_len);

/* Signed integers as small unsigned ones: 0, -1, 1, -2 ... become 0, 1, 2, 3 ... */
static inline uint64_t zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}
static inline int64_t unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

#endif
