/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Record files: the append-only logs of the provider (ring) and the gatherer (head).
 *
 *   file header, 32 bytes             record, 16 + len bytes
 *    0  8  "TALLYREC"                  0  1  0xa7
 *    8  4  version (1)                 1  1  type
 *   12  4  kind                        2  2  zero
 *   16  8  file number                 4  4  stream (node index in a head, 0 in a ring)
 *   24  4  zero                        8  4  len of the payload
 *   28  4  crc32 of bytes 0..27       12  4  crc32 of bytes 0..11 and the payload
 *
 * Reading never trusts a length that the checksum has not confirmed. After a damaged place the
 * scanner looks for the next byte at which a whole valid record stands; what lies between is
 * reported as damage. Damage that reaches the end of the file is a torn tail.
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

enum recfile_kind { RECFILE_RING = 1, RECFILE_HEAD = 2 };

/* Record types; payloads are described in user/lib/stream.h. */
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

void recfile_put_header(struct buf *out, enum recfile_kind kind, uint64_t number);
/* -EBADMSG: not such a file, of another kind, or a damaged header; -EPROTO: a newer version. */
int recfile_check_header(const uint8_t *p, size_t n, enum recfile_kind kind, uint64_t *ret_number);
void record_put(struct buf *out, uint8_t type, uint32_t stream, const void *payload, size_t len);
/*
 * Parses the record at p. Returns its whole size in bytes, 0 if n is too short to tell,
 * -EBADMSG if no valid record stands there.
 */
ssize_t record_parse(const uint8_t *p, size_t n, struct record *ret);

/* Scanning of a file's bytes (mapped or read) from the end of its header. */
struct recscan {
	const uint8_t *data;
	size_t len, pos; /* pos: next byte to look at */
	size_t damage_from, damage_to; /* of the last damage that recscan_next() reported */
};
/*
 * 1: *ret is the next record. 0: clean end at pos. -EBADMSG: damage from damage_from to damage_to;
 * when damage_to == len it is a torn tail, else call again for the record behind it.
 */
int recscan_next(struct recscan *s, struct record *ret);

#endif
