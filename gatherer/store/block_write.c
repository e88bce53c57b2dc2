/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing blocks. Rows are turned into columns one bundle at a time. A column whose differences are
 * proportional to those of an earlier one (MemFree is four times nr_free_pages, and a loopback
 * interface receives what it sends) becomes a reference to it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/array.h"
#include "gatherer/store/block.h"
#include "gatherer/store/column.h"

#define COPY_WORTH 24u /* bytes of a column below which a reference is not tried */

struct shape_slot {
	struct column_shape shape;
	size_t column; /* + 1; 0: free */
};

struct block_coder {
	struct packer *packer;
	struct buf raw, own, bodies;
	struct buf head;
	size_t words_cap;
	uint64_t *words; /* BUNDLE_SERIES columns, one more to compare with, one of scratch */
	size_t slots_cap;
	struct shape_slot *slots; /* a hash table, at most half full */
};

struct block_coder *block_coder_new(void)
{
	struct block_coder *c = calloc(1, sizeof(*c));

	if (c)
		c->packer = packer_new();
	if (c && !c->packer) {
		free(c);
		c = NULL;
	}
	return c;
}

void block_coder_free(struct block_coder *c)
{
	if (!c)
		return;
	packer_free(c->packer);
	buf_release(&c->raw);
	buf_release(&c->own);
	buf_release(&c->bodies);
	buf_release(&c->head);
	free(c->words);
	free(c->slots);
	free(c);
}

static int reserve_words(struct block_coder *c, size_t n)
{
	return array_reserve(&c->words, n * (BUNDLE_SERIES + 2), &c->words_cap, sizeof(*c->words));
}

int block_encode_times(struct block_coder *c, const struct block_clocks *clocks, size_t n,
	struct buf *out, struct piece *ret)
{
	int err = reserve_words(c, n);

	if (err)
		return err;
	for (size_t i = 0; i < n; i++)
		c->words[i] =
			clocks->columns[TIME_REALTIME][i] - clocks->columns[TIME_MONOTONIC][i];
	buf_reset(&c->raw);
	buf_put_varint(&c->raw, n);
	column_encode(clocks->columns[TIME_SEQ], n, &c->raw);
	column_encode(clocks->columns[TIME_MONOTONIC], n, &c->raw);
	column_encode(c->words, n, &c->raw);
	err = buf_error(&c->raw);
	return err ? err : piece_pack(c->packer, c->raw.data, c->raw.len, out, ret);
}

/* --- copies --------------------------------------------------------------------------------- */

static int reset_shapes(struct block_coder *c, size_t nseries)
{
	size_t cap = 64;

	while (cap < 2 * nseries)
		cap *= 2;
	if (cap > c->slots_cap) {
		free(c->slots);
		c->slots_cap = 0;
		c->slots = malloc(cap * sizeof(*c->slots));
		if (!c->slots)
			return -ENOMEM;
		c->slots_cap = cap;
	}
	memset(c->slots, 0, c->slots_cap * sizeof(*c->slots));
	return 0;
}

/* The slot of an earlier column of this shape, or the free one for a new shape. */
static struct shape_slot *find_shape(struct block_coder *c, const struct column_shape *shape)
{
	size_t i = shape->hash & (c->slots_cap - 1);

	while (c->slots[i].column && c->slots[i].shape.hash != shape->hash)
		i = (i + 1) & (c->slots_cap - 1);
	return &c->slots[i];
}

struct rows {
	const uint64_t *words;
	size_t nseries, npolls;
};

static void gather_column(const struct rows *rows, size_t column, uint64_t *v)
{
	for (size_t i = 0; i < rows->npolls; i++)
		v[i] = rows->words[i * rows->nseries + column];
}

/*
 * Is column number `column`, whose words are v, a copy of an earlier one? If not it may be the origin
 * of later ones.
 */
static bool find_copy(struct block_coder *c, const struct rows *rows, size_t column,
	const uint64_t *v, struct column_copy *ret)
{
	struct column_shape shape = column_shape(v, rows->npolls);
	uint64_t *base = c->words + BUNDLE_SERIES * rows->npolls;
	struct shape_slot *slot;
	int64_t unit;

	if (shape.unit == 0)
		return false;
	slot = find_shape(c, &shape);
	if (!slot->column) {
		*slot = (struct shape_slot){.shape = shape, .column = column + 1};
		return false;
	}
	gather_column(rows, slot->column - 1, base);
	unit = slot->shape.unit;
	if (!column_same_shape(base, unit, v, shape.unit, rows->npolls))
		return false;
	*ret = (struct column_copy){
		.of = slot->column - 1,
		.g = (uint64_t)(unit < 0 ? -unit : unit),
		.h = unit < 0 ? -shape.unit : shape.unit,
		.first = v[0],
	};
	return true;
}

/* --- bundles -------------------------------------------------------------------------------- */

static void encode_column(struct block_coder *c, const struct rows *rows, size_t column,
	uint8_t kind, const uint64_t *v)
{
	uint64_t *scratch = c->words + (BUNDLE_SERIES + 1) * rows->npolls;
	struct column_copy copy;

	buf_reset(&c->own);
	if (kind == VALUE_F64)
		column_encode_f64(v, rows->npolls, scratch, &c->own);
	else
		column_encode(v, rows->npolls, &c->own);
	if (c->own.len >= COPY_WORTH && find_copy(c, rows, column, v, &copy)) {
		buf_reset(&c->own);
		column_encode_copy(&copy, &c->own);
	}
	buf_put(&c->raw, c->own.data, c->own.len);
	c->raw.failed |= c->own.failed;
}

/* The columns first .. first + count - 1, side by side in c->words. */
static void gather_bundle(
	struct block_coder *c, const struct rows *rows, size_t first, size_t count)
{
	for (size_t i = 0; i < rows->npolls; i++) {
		const uint64_t *row = rows->words + i * rows->nseries + first;

		for (size_t k = 0; k < count; k++)
			c->words[k * rows->npolls + i] = row[k];
	}
}

static int encode_bundle(struct block_coder *c, const struct schema *schema,
	const struct rows *rows, size_t first, struct piece *ret)
{
	size_t left = rows->nseries - first, count = left < BUNDLE_SERIES ? left : BUNDLE_SERIES;
	int err;

	gather_bundle(c, rows, first, count);
	buf_reset(&c->raw);
	for (size_t k = 0; k < count; k++)
		encode_column(c, rows, first + k, schema->series[first + k].kind,
			c->words + k * rows->npolls);
	err = buf_error(&c->raw);
	return err ? err : piece_pack(c->packer, c->raw.data, c->raw.len, &c->bodies, ret);
}

int block_encode_group(struct block_coder *c, const struct schema *schema,
	const struct block_clocks *clocks, const uint64_t *words, size_t n, struct buf *out,
	struct piece *ret_head, uint64_t *ret_body)
{
	const struct rows rows = {.words = words, .nseries = schema->n, .npolls = n};
	int err = reserve_words(c, n);

	if (!err)
		err = reset_shapes(c, schema->n);
	if (err)
		return err;
	buf_reset(&c->head);
	buf_reset(&c->bodies);
	buf_put_varint(&c->head, n);
	for (size_t i = 0; i < GROUP_COLUMNS; i++)
		column_encode(clocks->columns[i], n, &c->head);
	for (size_t first = 0; first < schema->n && !err; first += BUNDLE_SERIES) {
		struct piece piece;

		err = encode_bundle(c, schema, &rows, first, &piece);
		if (!err)
			piece_put(&c->head, &piece);
	}
	if (!err)
		err = buf_error(&c->head);
	if (!err)
		err = buf_error(&c->bodies);
	if (!err)
		err = piece_pack(c->packer, c->head.data, c->head.len, out, ret_head);
	if (err)
		return err;
	buf_put(out, c->bodies.data, c->bodies.len);
	*ret_body = c->bodies.len;
	return buf_error(out);
}
