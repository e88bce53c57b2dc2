/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records that are appended but not durable yet, and how far they bring each node. */
#ifndef TALLY_GATHERER_STORE_BATCH_H
#define TALLY_GATHERER_STORE_BATCH_H

#include "user/lib/buf.h"

struct batch_mark {
	uint32_t node;
	uint64_t incarnation, seq;
};

struct batch {
	struct buf bytes;
	size_t n, cap;
	struct batch_mark *marks; /* a node may stand here several times: the last one counts */
};

void batch_release(struct batch *b);
void batch_reset(struct batch *b);
/* Room for n bytes and one mark, so that putting them can't fail. */
int batch_reserve(struct batch *b, size_t n);
/* Replaces the node's mark if that is the newest one. */
void batch_mark(struct batch *b, uint32_t node, uint64_t incarnation, uint64_t seq);
/* Puts `before` in front of b; before is then empty. On failure both are as they were. */
int batch_prepend(struct batch *b, struct batch *before);

#endif
