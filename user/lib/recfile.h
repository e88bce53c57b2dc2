/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Record files: the append-only logs of the provider (ring) and the gatherer (head).
 *
 *   file header, 32 bytes             record, 16 + len bytes
 *    0  8  "TALLYREC"                  0  1  0xa7
 *    8  4  version (1)                 1  1  type
 *   12  4  kind                        2  2  low half of the crc32 of bytes 0..1 and 4..11
 *   16  8  file number                 4  4  stream (node index in a head, 0 in a ring)
 *   24  4  salt: random, not 0         8  4  len of the payload
 *   28  4  crc32 of bytes 0..27       12  4  crc32 of bytes 0..11 and the payload
 *
 * Both checksums of a record start from the salt of its file. Payloads come from strangers: one may
 * hold what looks like a record, but not one that is valid here, since nobody outside knows the salt.
 * Records on the wire and in memory have salt 0.
 *
 * Reading never trusts a length that the first checksum has not confirmed. After a damaged place in a
 * file the scanner looks for the next byte at which a whole valid record stands; what lies between is
 * reported as damage. Damage that reaches the end of the file is a torn tail. The second checksum is
 * reckoned only behind a good first one, so the search takes time in proportion to the bytes.
 */
#ifndef TALLY_USER_LIB_RECFILE_H
#define TALLY_USER_LIB_RECFILE_H

#include <sys/types.h>

#include "user/lib/buf.h"
#include "user/lib/err.h"

#define RECFILE_VERSION    1u
#define RECFILE_HEADER     32u
#define RECORD_HEADER      16u
#define RECORD_PAYLOAD_MAX (64u << 20)
#define RECFILE_SALT_BYTES (RECFILE_HEADER + RECORD_HEADER)

enum recfile_kind { RECFILE_RING = 1, RECFILE_HEAD = 2 };

/*
 * Record types; payloads are described in user/lib/stream.h. A reader steps over a type that it does
 * not know, unless it is RECORD_CRITICAL or above: without those, what follows would be misread.
 */
#define RECORD_CRITICAL 128u
enum record_type {
	RECORD_INCARNATION = 1,
	RECORD_SCHEMA = 2,
	RECORD_SNAPSHOT = 3,
	RECORD_NODE = 4, /* head only: gatherer/store/noderec.h */
	RECORD_STATE = 5, /* head only: other records, compressed; gatherer/store/packed.h */
};

struct record {
	uint8_t type;
	uint32_t stream;
	const uint8_t *payload; /* borrowed */
	size_t len;
	uint64_t offset; /* of the record in its file */
};

/* A new file's salt. */
int recfile_draw_salt(uint32_t *ret_salt);
void recfile_put_header(struct buf *out, enum recfile_kind kind, uint64_t number, uint32_t salt);
/* -EBADMSG: not such a file, of another kind, or a damaged header; -EPROTO: a newer version. */
int recfile_check_header(const uint8_t *p, size_t n, enum recfile_kind kind, uint64_t *ret_number);
/*
 * The salt, also of a damaged header: p has RECFILE_SALT_BYTES (with the first record's header, which
 * tells whether it is right), or as many as there are. 0 if it can't be told.
 */
uint32_t recfile_salt(const uint8_t *p, size_t n);

void record_put(struct buf *out, uint32_t salt, uint8_t type, uint32_t stream, const void *payload,
	size_t len);
/* Appends whole records of salt 0 under another salt. -EBADMSG: they are not. */
int records_salt(struct buf *out, uint32_t salt, const uint8_t *records, size_t n);
/*
 * Parses the record at p. Returns its whole size in bytes, 0 if n is too short to tell,
 * -EBADMSG if no valid record stands there.
 */
ssize_t record_parse(const uint8_t *p, size_t n, uint32_t salt, struct record *ret);

/* Scanning of a file's bytes (mapped or read) from the end of its header, or of records in memory. */
struct recscan {
	const uint8_t *data;
	size_t len, pos; /* pos: next byte to look at */
	uint32_t salt;
	size_t damage_from, damage_to; /* of the last damage that recscan_next() reported */
};
/*
 * 1: *ret is the next record. 0: clean end at pos. -EBADMSG: damage from damage_from to damage_to;
 * when damage_to == len it is a torn tail, else call again for the record behind it. With salt 0 all
 * that is left is damage: what looks like a record there may be anybody's.
 */
int recscan_next(struct recscan *s, struct record *ret);

#endif
