/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The head that is being written: one file, appended to and synced. */
#ifndef TALLY_GATHERER_STORE_HEAD_H
#define TALLY_GATHERER_STORE_HEAD_H

#include "gatherer/store/nodeset.h"
#include "user/lib/err.h"

struct head {
	int fd; /* -1: none */
	uint64_t number;
	uint32_t salt;
	uint64_t size; /* durable bytes; what is behind them does not count */
	bool broken; /* a sync has failed: not to be written again */
};

/*
 * A new durable head that holds the state (records of salt 0), then the records (of its own salt). ret
 * is untouched on failure.
 */
int head_create(int dirfd, uint64_t number, uint32_t salt, const struct buf *state,
	const struct buf *records, struct head *ret);
void head_close(struct head *h);
/*
 * Appends and syncs. On failure nothing is appended: the file is cut back if that is possible; if it
 * is not, or the sync itself failed, h->broken is set.
 */
int head_append(struct head *h, const struct buf *records);
/* The state that the durable part of the file comes to. */
int head_rebuild_state(const struct head *h, struct buf *out);

#endif
