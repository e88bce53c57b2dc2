/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames on the TLS channel between provider and gatherer.
 *
 *    0  4  length of the body, at most FRAME_BODY_MAX
 *    4  1  type
 *    5  3  zero
 *    8  n  body: a message of user/lib/wire.proto, or for RECORDS whole records
 *          (user/lib/recfile.h, stream 0) as they stand in the ring
 *
 * Order: provider HELLO, gatherer WELCOME or REFUSED; then POLL -> RECORDS* ANSWER -> ACK.
 */
#ifndef TALLY_USER_LIB_FRAME_H
#define TALLY_USER_LIB_FRAME_H

#include <sys/types.h>

#include "user/lib/buf.h"

#define FRAME_HEADER 8u
/* A record, such as a schema of 100,000 series, is never split. */
#define FRAME_BODY_MAX (16u << 20)
#define WIRE_VERSION   1u

enum frame_type {
	FRAME_HELLO = 1,
	FRAME_WELCOME = 2,
	FRAME_REFUSED = 3,
	FRAME_POLL = 4,
	FRAME_RECORDS = 5,
	FRAME_ANSWER = 6,
	FRAME_ACK = 7,
};

/* Values of Refused.code */
enum refusal {
	REFUSED_VERSION = 1,
	REFUSED_SECRET,
	REFUSED_PROTOCOL,
	REFUSED_LIMIT,
	REFUSED_SHUTDOWN
};

struct frame {
	uint8_t type;
	const uint8_t *body; /* borrowed */
	size_t len;
};

void frame_put(struct buf *out, enum frame_type type, const void *body, size_t len);
/*
 * Parses the frame at p: its whole size, 0 if more bytes are needed (*ret_need, if not NULL, is then
 * how many in all), -EPROTO for an unknown type, non-zero padding or a body over the limit.
 */
ssize_t frame_parse(const uint8_t *p, size_t n, struct frame *ret, size_t *ret_need);

#endif
