/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Collecting one node's snapshots, in order, into blocks of a sealed file. Rows gather until a block
 * is full; what a group has left at the end becomes one block or two equal ones, so that no tiny block
 * remains behind full ones.
 */
#ifndef TALLY_GATHERER_STORE_COLLECT_H
#define TALLY_GATHERER_STORE_COLLECT_H

#include "gatherer/store/sealed.h"

struct collector;

/* Blocks go to the node that was added last to w. NULL: no memory. */
struct collector *collector_new(struct sealed_writer *w);
void collector_free(struct collector *c);
/*
 * A record was applied to the stream: its result, and the view of a snapshot. State records matter
 * too: a BASE tells what the next snapshot follows.
 */
int collector_take(struct collector *c, const struct stream *stream, int result,
	const struct snapshot_view *view);
/* Writes what is left. */
int collector_finish(struct collector *c);

#endif
