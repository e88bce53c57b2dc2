/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading a sealed file: index at opening, everything else only when it is asked for. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "gatherer/store/column.h"
#include "gatherer/store/os.h"
#include "gatherer/store/sealed.h"

struct sealed_reader {
	struct unpacker *unpacker;
	struct buf stored, raw;
	uint64_t *values; /* two columns of BLOCK_POLLS_MAX */
	struct block_view view;
};

struct sealed_reader *sealed_reader_new(void)
{
	struct sealed_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->unpacker = unpacker_new();
	r->values = malloc(2 * BLOCK_POLLS_MAX * sizeof(*r->values));
	if (!r->unpacker || !r->values) {
		sealed_reader_free(r);
		return NULL;
	}
	return r;
}

void sealed_reader_free(struct sealed_reader *r)
{
	if (!r)
		return;
	unpacker_free(r->unpacker);
	buf_release(&r->stored);
	buf_release(&r->raw);
	block_view_release(&r->view);
	free(r->values);
	free(r);
}

static int read_stored(struct sealed_reader *r, int fd, uint64_t offset, size_t n)
{
	uint8_t *p;

	buf_reset(&r->stored);
	p = buf_reserve(&r->stored, n);
	return p ? os_read_exact(fd, p, n, offset) : -ENOMEM;
}

/* The piece's raw bytes, in r->raw. */
static int read_piece(
	struct sealed_reader *r, const struct sealed *s, uint64_t offset, const struct piece *piece)
{
	int err = read_stored(r, s->fd, offset, piece->stored);

	return err ? err : piece_unpack(r->unpacker, piece, r->stored.data, &r->raw);
}

/* --- opening ------------------------------------------------------------------------------------- */

static bool crc_matches(const uint8_t *p)
{
	struct rd r = rd_init(p + 28, 4);

	return (uint32_t)crc32(0, p, 28) == rd_u32(&r);
}

static int check_header(int fd, uint64_t number)
{
	uint8_t h[SEALED_HEADER];
	struct rd r = rd_init(h, sizeof(h));
	int err = os_read_exact(fd, h, sizeof(h), 0);

	if (err)
		return err;
	if (memcmp(rd_bytes(&r, 8), "TALLYHIS", 8) != 0 || !crc_matches(h))
		return -EBADMSG;
	if (rd_u32(&r) != SEALED_VERSION)
		return -EPROTO;
	rd_u32(&r);
	return rd_u64(&r) == number ? 0 : -EBADMSG;
}

static int read_footer(int fd, uint64_t size, uint64_t *ret_at, struct piece *ret)
{
	uint8_t f[SEALED_FOOTER];
	struct rd r = rd_init(f, sizeof(f));
	int err;

	if (size < SEALED_HEADER + SEALED_FOOTER)
		return -EBADMSG;
	err = os_read_exact(fd, f, sizeof(f), size - SEALED_FOOTER);
	if (err)
		return err;
	if (memcmp(rd_bytes(&r, 8), "TALLYEND", 8) != 0 || !crc_matches(f))
		return -EBADMSG;
	*ret_at = rd_u64(&r);
	ret->stored = rd_u32(&r);
	ret->raw = rd_u32(&r);
	ret->crc = rd_u32(&r);
	if (ret->raw > PIECE_MAX || ret->stored > ret->raw || *ret_at > size ||
		*ret_at + ret->stored + SEALED_FOOTER != size)
		return -EBADMSG;
	return 0;
}

static int read_index(struct sealed *s)
{
	struct sealed_reader *r = sealed_reader_new();
	struct piece piece;
	uint64_t at;
	struct rd rd;
	int err = r ? read_footer(s->fd, s->size, &at, &piece) : -ENOMEM;

	if (!err)
		err = read_piece(r, s, at, &piece);
	if (!err) {
		rd = rd_init(r->raw.data, r->raw.len);
		err = sealed_index_get(&rd, at, &s->index);
	}
	sealed_reader_free(r);
	return err;
}

int sealed_open(int dirfd, uint64_t number, struct sealed **ret)
{
	struct sealed *s = calloc(1, sizeof(*s));
	char name[SEALED_NAME_SIZE];
	int err;

	if (!s)
		return -ENOMEM;
	snprintf(name, sizeof(name), SEALED_NAME_FORMAT, (unsigned long long)number);
	s->number = number;
	s->fd = os->open(dirfd, name, O_RDONLY, 0);
	err = s->fd < 0 ? s->fd : os_size(s->fd, &s->size);
	if (!err)
		err = check_header(s->fd, number);
	if (!err)
		err = read_index(s);
	if (err)
		sealed_close(s);
	else
		*ret = s;
	return err;
}

void sealed_close(struct sealed *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		os->close(s->fd);
	sealed_index_release(&s->index);
	free(s);
}

/* --- reading ------------------------------------------------------------------------------------- */

static int decode_schema(struct sealed_reader *r, const struct sealed_schema *x, struct schema *ret)
{
	int err = schema_decode(r->raw.data + x->offset, x->len, ret);

	if (err)
		return err == -ENOMEM ? err : -EBADMSG;
	if (ret->n != x->nseries) {
		schema_release(ret);
		return -EBADMSG;
	}
	return 0;
}

int sealed_read_schema(
	struct sealed_reader *r, const struct sealed *s, uint32_t schema, struct schema *ret)
{
	const struct sealed_schema *x = &s->index.schemas[schema];
	const struct sealed_page *page = &s->index.pages[x->page];
	int err = read_piece(r, s, page->offset, &page->piece);

	return err ? err : decode_schema(r, x, ret);
}

/* What the index says of a block must be what the block says. */
static bool clocks_match(const struct sealed_block *b, const struct block_clocks *c)
{
	return c->n == b->npolls && c->columns[0][0] == b->first_seq &&
	       c->columns[0][c->n - 1] == b->last_seq;
}

int sealed_read_times(struct sealed_reader *r, const struct sealed *s, const struct sealed_block *b,
	struct block_view *v)
{
	int err = read_piece(r, s, b->offset, &b->head);

	if (!err)
		err = block_decode_times(&r->raw, v);
	if (!err && !clocks_match(b, &v->clocks))
		err = -EBADMSG;
	return err;
}

static int read_head(struct sealed_reader *r, const struct sealed *s, const struct sealed_block *b,
	struct block_view *v)
{
	int err = read_piece(r, s, b->offset, &b->head);

	if (!err)
		err = block_decode_head(&r->raw, s->index.schemas[b->schema].nseries, b->body, v);
	if (!err && !clocks_match(b, &v->clocks))
		err = -EBADMSG;
	return err;
}

static int read_bundle(struct sealed_reader *r, const struct sealed *s,
	const struct sealed_block *b, const struct block_view *v, size_t bundle)
{
	uint64_t at = b->offset + b->head.stored + v->bundles[bundle].offset;

	return read_piece(r, s, at, &v->bundles[bundle].piece);
}

/* Words of a column that is no copy, or 1 and *ret_copy. */
static int read_column(struct sealed_reader *r, const struct sealed *s,
	const struct sealed_block *b, const struct block_view *v, size_t column, uint64_t *values,
	struct column_copy *ret_copy)
{
	int err = read_bundle(r, s, b, v, column / BUNDLE_SERIES);

	if (err)
		return err;
	return block_decode_column(&r->raw, column % BUNDLE_SERIES, v->clocks.n, values, ret_copy);
}

int sealed_read_group(struct sealed_reader *r, const struct sealed *s, const struct sealed_block *b,
	size_t column, struct block_view *v, const uint64_t **ret_values)
{
	size_t nseries = s->index.schemas[b->schema].nseries;
	uint64_t *base = r->values + BLOCK_POLLS_MAX;
	struct column_copy copy, again;
	int err = column < nseries ? read_head(r, s, b, v) : -EBADMSG;

	if (!err)
		err = read_column(r, s, b, v, column, r->values, &copy);
	if (err == 1) {
		err = copy.of < nseries ? read_column(r, s, b, v, (size_t)copy.of, base, &again)
					: -EBADMSG;
		if (err == 1)
			err = -EBADMSG; /* a copy of a copy */
		if (!err)
			column_apply_copy(&copy, base, v->clocks.n, r->values);
	}
	if (!err)
		*ret_values = r->values;
	return err;
}

/* --- verifying ------------------------------------------------------------------------------------ */

struct verify {
	struct sealed_reader *r;
	const struct sealed *s;
	sealed_damage_fn fn;
	void *arg;
	long damages;
	int err;
};

static void judge(struct verify *v, int err, uint64_t offset, const char *what)
{
	if (err == -ENOMEM)
		v->err = err;
	else if (err) {
		v->damages++;
		v->fn(v->arg, offset, what);
	}
}

static int verify_bundle(struct sealed_reader *r, size_t columns, size_t ncolumns, size_t n)
{
	struct rd rd = rd_init(r->raw.data, r->raw.len);
	struct column_copy copy;

	for (size_t i = 0; i < columns; i++) {
		int err = column_decode(&rd, n, r->values, &copy);

		if (err < 0 || (err == 1 && copy.of >= ncolumns))
			return -EBADMSG;
	}
	return rd_left(&rd) ? -EBADMSG : 0;
}

static void verify_group(struct verify *v, const struct sealed_block *b)
{
	size_t nseries = v->s->index.schemas[b->schema].nseries;
	struct block_view *view = &v->r->view;
	int err = read_head(v->r, v->s, b, view);

	judge(v, err, b->offset, "head of a group block");
	if (err)
		return;
	for (size_t i = 0; i < view->nbundles && !v->err; i++) {
		size_t left = nseries - i * BUNDLE_SERIES;

		err = read_bundle(v->r, v->s, b, view, i);
		if (!err)
			err = verify_bundle(v->r, left < BUNDLE_SERIES ? left : BUNDLE_SERIES,
				nseries, view->clocks.n);
		judge(v, err, b->offset + b->head.stored + view->bundles[i].offset,
			"bundle of series");
	}
}

static void verify_run(struct verify *v, const struct sealed_run *run)
{
	for (size_t i = 0; i < run->nblocks && !v->err; i++) {
		const struct sealed_block *b = &run->blocks[i];

		if (b->is_times)
			judge(v, sealed_read_times(v->r, v->s, b, &v->r->view), b->offset,
				"time block");
		else
			verify_group(v, b);
	}
}

static void verify_schemas(struct verify *v)
{
	const struct sealed_index *x = &v->s->index;
	struct schema schema;

	for (uint32_t i = 0; i < x->nschemas && !v->err; i++) {
		int err = sealed_read_schema(v->r, v->s, i, &schema);

		if (!err)
			schema_release(&schema);
		judge(v, err, x->pages[x->schemas[i].page].offset, "schema");
	}
}

long sealed_verify(struct sealed_reader *r, const struct sealed *s, sealed_damage_fn fn, void *arg)
{
	struct verify v = {.r = r, .s = s, .fn = fn, .arg = arg};

	for (size_t i = 0; i < s->index.nnodes; i++)
		for (size_t k = 0; k < s->index.nodes[i].nruns && !v.err; k++)
			verify_run(&v, &s->index.nodes[i].runs[k]);
	verify_schemas(&v);
	return v.err ? v.err : v.damages;
}
