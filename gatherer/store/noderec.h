/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The payload of a NODE record, which says whose records of a head carry this record's stream number:
 *
 *   node id[32], string name, varint n, n times (u64 incarnation, varint last seq), oldest first
 *
 * The list has the incarnations before the present one: none of them is taken in again. A head begins
 * with NODE and state records of every node; a node that comes later begins with its NODE.
 */
#ifndef TALLY_GATHERER_STORE_NODEREC_H
#define TALLY_GATHERER_STORE_NODEREC_H

#include "user/lib/stream.h"

#define NODE_NAME_MAX    255u
#define HEAD_NAME_FORMAT "head-%08llu.rec"
#define HEAD_NAME_SIZE   32u

struct noderec {
	uint8_t id[32];
	char name[NODE_NAME_MAX + 1];
	size_t npast;
	struct stream_past past[STREAM_PAST_MAX];
};

int noderec_put(const uint8_t id[32], const char *name, const struct stream *stream,
	uint32_t stream_id, uint32_t salt, struct buf *out);
int noderec_parse(const uint8_t *p, size_t n, struct noderec *ret);

#endif
