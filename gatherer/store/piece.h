/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A piece: bytes of a sealed file that stand or fall together. It is stored as a raw deflate stream,
 * or as it is where that is not shorter (then both lengths are equal). Where a piece is described,
 * there stand
 *
 *   varint stored length, varint raw length, u32 crc32 of the stored bytes
 */
#ifndef TALLY_GATHERER_STORE_PIECE_H
#define TALLY_GATHERER_STORE_PIECE_H

#include "user/lib/buf.h"

#define PIECE_MAX (256u << 20) /* raw bytes; more is refused on reading */

struct piece {
	uint32_t stored, raw, crc;
};

struct packer; /* a deflate state, kept because making one is dear */
struct packer *packer_new(void);
void packer_free(struct packer *p);
/* Appends the stored form of n bytes to out. */
int piece_pack(struct packer *p, const void *raw, size_t n, struct buf *out, struct piece *ret);

struct unpacker; /* an inflate state */
struct unpacker *unpacker_new(void);
void unpacker_free(struct unpacker *u);
/* Checks the stored bytes, then replaces what out holds by the raw ones. -EBADMSG: damaged. */
int piece_unpack(
	struct unpacker *u, const struct piece *piece, const uint8_t *stored, struct buf *out);
int piece_check(const struct piece *piece, const uint8_t *stored);

void piece_put(struct buf *out, const struct piece *piece);
/* Reads a description; r->failed if it is impossible. */
struct piece piece_get(struct rd *r);

#endif
