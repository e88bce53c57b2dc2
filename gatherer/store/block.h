/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocks: what a sealed file holds of a node. A time block has the clocks of consecutive snapshots;
 * a group block has the rows of one group with one schema. They meet by sequence number.
 *
 *   time block    one piece: varint n, columns seq, monotonic, realtime - monotonic
 *
 *   group block   a piece, the head: varint n, columns seq, begin, window, gap,
 *                                    then the description of each bundle
 *                 bundles, a piece each: BUNDLE_SERIES columns (the last one fewer), in the order
 *                                    of the schema
 *
 * gap is 1 where snapshots are missing before the poll, else 0. begin and window are nanoseconds, as
 * in user/lib/stream.h. One series is read by its head, one bundle (two if it is a copy), and the time
 * blocks around it.
 */
#ifndef TALLY_GATHERER_STORE_BLOCK_H
#define TALLY_GATHERER_STORE_BLOCK_H

#include "gatherer/store/piece.h"
#include "user/lib/schema.h"

#define BUNDLE_SERIES   32u
#define BLOCK_POLLS_MAX 4096u /* more is refused on reading */

/* --- writing -------------------------------------------------------------------------------- */

/* Growing columns of clocks, of a time block or of a group block. */
struct block_clocks {
	size_t n, cap;
	uint64_t *columns[4]; /* time: seq, monotonic, realtime; group: seq, begin, window, gap */
};
enum { TIME_SEQ, TIME_MONOTONIC, TIME_REALTIME, TIME_COLUMNS };
enum { GROUP_SEQ, GROUP_BEGIN, GROUP_WINDOW, GROUP_GAP, GROUP_COLUMNS };

void block_clocks_release(struct block_clocks *c);
int block_clocks_add(struct block_clocks *c, size_t ncolumns, const uint64_t *values);
void block_clocks_drop(struct block_clocks *c, size_t ncolumns, size_t n); /* the first n */

struct block_coder; /* deflate state and scratch memory */
struct block_coder *block_coder_new(void);
void block_coder_free(struct block_coder *c);

/* The first n polls of c. Appends the piece. */
int block_encode_times(struct block_coder *c, const struct block_clocks *clocks, size_t n,
	struct buf *out, struct piece *ret);
/*
 * The first n polls; rows has schema->n words for each. Appends head and bundles; *ret_head is the
 * head's piece, *ret_body the bytes of all bundles.
 */
int block_encode_group(struct block_coder *c, const struct schema *schema,
	const struct block_clocks *clocks, const uint64_t *rows, size_t n, struct buf *out,
	struct piece *ret_head, uint64_t *ret_body);

/* --- reading -------------------------------------------------------------------------------- */

struct block_bundle {
	struct piece piece;
	uint64_t offset; /* from the end of the head */
};

/* A decoded head of a group block, or a decoded time block (nbundles 0). */
struct block_view {
	struct block_clocks clocks;
	size_t nbundles, bundles_cap;
	struct block_bundle *bundles;
};
void block_view_release(struct block_view *v);

/* raw: the unpacked piece. -EBADMSG: impossible, the view is then empty. */
int block_decode_times(const struct buf *raw, struct block_view *v);
/* nseries and body: what the index says; all must agree. */
int block_decode_head(const struct buf *raw, size_t nseries, uint64_t body, struct block_view *v);

#endif
