/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading blocks; writing them is in block_write.c. Layout: see the header. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/array.h"
#include "gatherer/store/block.h"
#include "gatherer/store/column.h"

void block_clocks_release(struct block_clocks *c)
{
	for (size_t i = 0; i < 4; i++)
		free(c->columns[i]);
	*c = (struct block_clocks){0};
}

static int clocks_reserve(struct block_clocks *c, size_t ncolumns, size_t n)
{
	size_t cap = c->cap ? c->cap : 64;

	if (n <= c->cap)
		return 0;
	while (cap < n)
		cap *= 2;
	for (size_t i = 0; i < ncolumns; i++) {
		uint64_t *grown = realloc(c->columns[i], cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		c->columns[i] = grown;
	}
	c->cap = cap;
	return 0;
}

int block_clocks_add(struct block_clocks *c, size_t ncolumns, const uint64_t *values)
{
	int err = clocks_reserve(c, ncolumns, c->n + 1);

	if (err)
		return err;
	for (size_t i = 0; i < ncolumns; i++)
		c->columns[i][c->n] = values[i];
	c->n++;
	return 0;
}

void block_clocks_drop(struct block_clocks *c, size_t ncolumns, size_t n)
{
	c->n -= n;
	for (size_t i = 0; i < ncolumns; i++)
		memmove(c->columns[i], c->columns[i] + n, c->n * sizeof(uint64_t));
}

void block_view_release(struct block_view *v)
{
	block_clocks_release(&v->clocks);
	free(v->bundles);
	*v = (struct block_view){0};
}

static int decode_clocks(struct rd *r, size_t ncolumns, struct block_clocks *c)
{
	uint64_t n = rd_varint(r);
	struct column_copy copy;
	int err = 0;

	c->n = 0;
	if (r->failed || n == 0 || n > BLOCK_POLLS_MAX)
		return -EBADMSG;
	err = clocks_reserve(c, ncolumns, (size_t)n);
	for (size_t i = 0; i < ncolumns && !err; i++)
		err = column_decode(r, (size_t)n, c->columns[i], &copy);
	if (err)
		return err > 0 ? -EBADMSG : err; /* clocks are no copies */
	for (size_t i = 1; i < n; i++)
		if (c->columns[0][i] <= c->columns[0][i - 1]) /* seq */
			return -EBADMSG;
	c->n = (size_t)n;
	return 0;
}

int block_decode_times(const struct buf *raw, struct block_view *v)
{
	struct rd r = rd_init(raw->data, raw->len);
	struct block_clocks *c = &v->clocks;
	int err = decode_clocks(&r, TIME_COLUMNS, c);

	v->nbundles = 0;
	if (!err && rd_left(&r) > 0)
		err = -EBADMSG;
	if (err) {
		c->n = 0;
		return err;
	}
	for (size_t i = 0; i < c->n; i++)
		c->columns[TIME_REALTIME][i] += c->columns[TIME_MONOTONIC][i];
	return 0;
}

int block_decode_head(const struct buf *raw, size_t nseries, uint64_t body, struct block_view *v)
{
	struct rd r = rd_init(raw->data, raw->len);
	size_t nbundles = (nseries + BUNDLE_SERIES - 1) / BUNDLE_SERIES;
	uint64_t offset = 0;
	int err = decode_clocks(&r, GROUP_COLUMNS, &v->clocks);

	v->nbundles = 0;
	if (!err)
		err = array_reserve(&v->bundles, nbundles, &v->bundles_cap, sizeof(*v->bundles));
	for (size_t i = 0; i < nbundles && !err; i++) {
		v->bundles[i] = (struct block_bundle){.piece = piece_get(&r), .offset = offset};
		offset += v->bundles[i].piece.stored;
	}
	if (!err && (r.failed || rd_left(&r) > 0 || offset != body))
		err = -EBADMSG;
	if (err)
		v->clocks.n = 0;
	else
		v->nbundles = nbundles;
	return err;
}
