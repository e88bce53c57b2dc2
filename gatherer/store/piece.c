/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compressed and checked pieces of a file. */
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#include "gatherer/store/piece.h"

#define LEVEL       6
#define WINDOW_BITS (-15) /* negative: raw deflate, without zlib's own header and checksum */
#define MEM_LEVEL   9

struct packer {
	z_stream z;
};

struct unpacker {
	z_stream z;
};

struct packer *packer_new(void)
{
	struct packer *p = calloc(1, sizeof(*p));

	if (p && deflateInit2(&p->z, LEVEL, Z_DEFLATED, WINDOW_BITS, MEM_LEVEL,
			 Z_DEFAULT_STRATEGY) != Z_OK) {
		free(p);
		p = NULL;
	}
	return p;
}

void packer_free(struct packer *p)
{
	if (p)
		deflateEnd(&p->z);
	free(p);
}

static uint32_t checksum(const uint8_t *p, size_t n)
{
	return n ? (uint32_t)crc32_z(0, p, n) : 0;
}

int piece_pack(struct packer *p, const void *raw, size_t n, struct buf *out, struct piece *ret)
{
	uint8_t *stored = buf_reserve(out, n);

	if (!stored)
		return -ENOMEM;
	if (n > PIECE_MAX)
		return -E2BIG;
	deflateReset(&p->z);
	p->z.next_in = (uint8_t *)raw;
	p->z.avail_in = (uInt)n;
	p->z.next_out = stored;
	p->z.avail_out = n ? (uInt)n - 1 : 0; /* no room: not shorter */
	*ret = (struct piece){.raw = (uint32_t)n};
	if (n > 0 && deflate(&p->z, Z_FINISH) == Z_STREAM_END) {
		ret->stored = (uint32_t)p->z.total_out;
		ret->crc = checksum(stored, ret->stored);
		out->len += ret->stored;
	} else {
		ret->stored = ret->raw;
		ret->crc = checksum(raw, n);
		buf_put(out, raw, n);
	}
	return 0;
}

struct unpacker *unpacker_new(void)
{
	struct unpacker *u = calloc(1, sizeof(*u));

	if (u && inflateInit2(&u->z, WINDOW_BITS) != Z_OK) {
		free(u);
		u = NULL;
	}
	return u;
}

void unpacker_free(struct unpacker *u)
{
	if (u)
		inflateEnd(&u->z);
	free(u);
}

int piece_check(const struct piece *piece, const uint8_t *stored)
{
	return checksum(stored, piece->stored) == piece->crc ? 0 : -EBADMSG;
}

int piece_unpack(
	struct unpacker *u, const struct piece *piece, const uint8_t *stored, struct buf *out)
{
	uint8_t *raw;

	if (piece_check(piece, stored))
		return -EBADMSG;
	buf_reset(out);
	if (piece->stored == piece->raw) {
		buf_put(out, stored, piece->raw);
		return buf_error(out);
	}
	raw = buf_reserve(out, piece->raw);
	if (!raw)
		return -ENOMEM;
	inflateReset(&u->z);
	u->z.next_in = (uint8_t *)stored;
	u->z.avail_in = piece->stored;
	u->z.next_out = raw;
	u->z.avail_out = piece->raw;
	if (inflate(&u->z, Z_FINISH) != Z_STREAM_END || u->z.avail_out != 0 || u->z.avail_in != 0)
		return -EBADMSG;
	out->len = piece->raw;
	return 0;
}

void piece_put(struct buf *out, const struct piece *piece)
{
	buf_put_varint(out, piece->stored);
	buf_put_varint(out, piece->raw);
	buf_put_u32(out, piece->crc);
}

struct piece piece_get(struct rd *r)
{
	uint64_t stored = rd_varint(r), raw = rd_varint(r);
	uint32_t crc = rd_u32(r);

	if (raw > PIECE_MAX || stored > raw) {
		r->failed = true;
		return (struct piece){0};
	}
	return (struct piece){.stored = (uint32_t)stored, .raw = (uint32_t)raw, .crc = crc};
}
