/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a sealed file: the index at opening, everything else only when it is asked for. Who reads
 * one series often reads its neighbours next: what was decoded last is kept.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "gatherer/store/array.h"
#include "gatherer/store/column.h"
#include "gatherer/store/os.h"
#include "gatherer/store/sealed.h"

#define VIEW_SLOTS   64u
#define BUNDLE_SLOTS 64u

/* Where something stands; file numbers begin at 1, so that zeros are nothing. */
struct place_key {
	uint64_t file, offset;
};

struct view_slot {
	struct place_key key;
	struct block_view view;
};

struct bundle_slot {
	struct place_key key;
	size_t n, cap;
	uint64_t *words; /* column after column */
	bool is_copy[BUNDLE_SERIES];
	struct column_copy copies[BUNDLE_SERIES];
};

struct sealed_reader {
	int fd, fd_dirfd; /* the file that was read last, and where it is; -1: none */
	uint64_t fd_number;
	struct unpacker *unpacker;
	struct buf stored, raw;
	uint64_t *values; /* a column that was made from another one */
	struct view_slot times[VIEW_SLOTS], heads[VIEW_SLOTS];
	struct bundle_slot bundles[BUNDLE_SLOTS];
};

struct sealed_reader *sealed_reader_new(void)
{
	struct sealed_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->fd = -1;
	r->unpacker = unpacker_new();
	r->values = malloc(BLOCK_POLLS_MAX * sizeof(*r->values));
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
	for (size_t i = 0; i < VIEW_SLOTS; i++) {
		block_view_release(&r->times[i].view);
		block_view_release(&r->heads[i].view);
	}
	for (size_t i = 0; i < BUNDLE_SLOTS; i++)
		free(r->bundles[i].words);
	if (r->fd >= 0)
		os->close(r->fd);
	unpacker_free(r->unpacker);
	buf_release(&r->stored);
	buf_release(&r->raw);
	free(r->values);
	free(r);
}

static size_t slot_of(const struct place_key *key, size_t slots)
{
	return (size_t)(((key->offset ^ key->file << 40) * 0x9e3779b97f4a7c15u) >> 40) % slots;
}

static bool same_place(const struct place_key *a, const struct place_key *b)
{
	return a->file == b->file && a->offset == b->offset;
}

static int open_file(int dirfd, uint64_t number, uint64_t *ret_size)
{
	char name[SEALED_NAME_SIZE];
	int fd, err;

	snprintf(name, sizeof(name), SEALED_NAME_FORMAT, (unsigned long long)number);
	fd = os->open(dirfd, name, O_RDONLY, 0);
	err = fd < 0 ? fd : os_size(fd, ret_size);
	if (err && fd >= 0)
		os->close(fd);
	return err ? err : fd;
}

static void leave_file(struct sealed_reader *r)
{
	if (r->fd >= 0)
		os->close(r->fd);
	r->fd = -1;
}

/* The file is open when this returns 0. One that is not what its index was read from is damaged. */
static int enter_file(struct sealed_reader *r, const struct sealed *s)
{
	uint64_t size;
	int fd;

	if (r->fd >= 0 && r->fd_number == s->number && r->fd_dirfd == s->dirfd)
		return 0;
	leave_file(r);
	fd = open_file(s->dirfd, s->number, &size);
	if (fd < 0)
		return fd == -ENOENT ? -EBADMSG : fd;
	r->fd = fd;
	r->fd_number = s->number;
	r->fd_dirfd = s->dirfd;
	if (size == s->size)
		return 0;
	leave_file(r);
	return -EBADMSG;
}

static int read_stored(struct sealed_reader *r, uint64_t offset, size_t n)
{
	uint8_t *p;

	buf_reset(&r->stored);
	p = buf_reserve(&r->stored, n);
	return p ? os_read_exact(r->fd, p, n, offset) : -ENOMEM;
}

/* The piece's raw bytes, in r->raw. */
static int read_piece(
	struct sealed_reader *r, const struct sealed *s, uint64_t offset, const struct piece *piece)
{
	int err = enter_file(r, s);

	if (!err)
		err = read_stored(r, offset, piece->stored);
	return err ? err : piece_unpack(r->unpacker, piece, r->stored.data, &r->raw);
}

/* --- opening -------------------------------------------------------------------------------- */

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

static int read_index(struct sealed *s, struct sealed_reader *r)
{
	struct piece piece;
	uint64_t at;
	struct rd rd;
	int err = check_header(r->fd, s->number);

	if (!err)
		err = read_footer(r->fd, s->size, &at, &piece);
	if (!err)
		err = read_piece(r, s, at, &piece);
	if (!err) {
		rd = rd_init(r->raw.data, r->raw.len);
		err = sealed_index_get(&rd, at, &s->index);
	}
	return err;
}

int sealed_open(int dirfd, uint64_t number, struct sealed **ret)
{
	struct sealed *s = calloc(1, sizeof(*s));
	struct sealed_reader *r = sealed_reader_new();
	int err = s && r ? 0 : -ENOMEM;

	if (!err) {
		*s = (struct sealed){.dirfd = dirfd, .number = number};
		r->fd_number = number;
		r->fd_dirfd = dirfd;
		r->fd = open_file(dirfd, number, &s->size);
		err = r->fd < 0 ? r->fd : read_index(s, r);
	}
	sealed_reader_free(r);
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
	sealed_index_release(&s->index);
	free(s);
}

/* --- reading -------------------------------------------------------------------------------- */

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

static int decode_times(struct sealed_reader *r, const struct sealed *s,
	const struct sealed_block *b, struct block_view *v)
{
	int err = read_piece(r, s, b->offset, &b->head);

	if (!err)
		err = block_decode_times(&r->raw, v);
	if (!err && !clocks_match(b, &v->clocks))
		err = -EBADMSG;
	return err;
}

static int decode_head(struct sealed_reader *r, const struct sealed *s,
	const struct sealed_block *b, struct block_view *v)
{
	int err = read_piece(r, s, b->offset, &b->head);

	if (!err)
		err = block_decode_head(&r->raw, s->index.schemas[b->schema].nseries, b->body, v);
	if (!err && !clocks_match(b, &v->clocks))
		err = -EBADMSG;
	return err;
}

/* The decoded time block or head, from the cache if it is there. */
static int find_view(struct sealed_reader *r, const struct sealed *s, const struct sealed_block *b,
	const struct block_view **ret)
{
	struct place_key key = {.file = s->number, .offset = b->offset};
	struct view_slot *slot = (b->is_times ? r->times : r->heads) + slot_of(&key, VIEW_SLOTS);
	int err = 0;

	if (!same_place(&slot->key, &key)) {
		slot->key = (struct place_key){0};
		err = b->is_times ? decode_times(r, s, b, &slot->view)
				  : decode_head(r, s, b, &slot->view);
		if (!err)
			slot->key = key;
	}
	*ret = &slot->view;
	return err;
}

int sealed_read_times(struct sealed_reader *r, const struct sealed *s, const struct sealed_block *b,
	const struct block_clocks **ret)
{
	const struct block_view *v;
	int err = find_view(r, s, b, &v);

	if (!err)
		*ret = &v->clocks;
	return err;
}

/* --- bundles -------------------------------------------------------------------------------- */

static int decode_bundle(struct sealed_reader *r, struct bundle_slot *slot, size_t count, size_t n)
{
	struct rd rd = rd_init(r->raw.data, r->raw.len);
	int err = array_reserve(&slot->words, count * n, &slot->cap, sizeof(*slot->words));

	slot->n = n;
	for (size_t i = 0; i < count && err >= 0; i++) {
		err = column_decode(&rd, n, slot->words + i * n, &slot->copies[i]);
		slot->is_copy[i] = err == 1;
	}
	if (err >= 0)
		err = rd_left(&rd) ? -EBADMSG : 0;
	return err;
}

/* The bundle that holds the column; v is the head of its block. */
static int find_bundle(struct sealed_reader *r, const struct sealed *s,
	const struct sealed_block *b, const struct block_view *v, size_t column,
	const struct bundle_slot **ret)
{
	size_t index = column / BUNDLE_SERIES, first = index * BUNDLE_SERIES;
	size_t left = s->index.schemas[b->schema].nseries - first;
	struct place_key key = {
		.file = s->number,
		.offset = b->offset + b->head.stored + v->bundles[index].offset,
	};
	struct bundle_slot *slot = &r->bundles[slot_of(&key, BUNDLE_SLOTS)];
	int err = 0;

	if (!same_place(&slot->key, &key)) {
		slot->key = (struct place_key){0};
		err = read_piece(r, s, key.offset, &v->bundles[index].piece);
		if (!err)
			err = decode_bundle(
				r, slot, left < BUNDLE_SERIES ? left : BUNDLE_SERIES, v->clocks.n);
		if (!err)
			slot->key = key;
	}
	*ret = slot;
	return err;
}

/* A column that says how it is made from another one. */
static int read_copy(struct sealed_reader *r, const struct sealed *s, const struct sealed_block *b,
	const struct block_view *v, const struct column_copy *copy)
{
	const struct bundle_slot *bundle;
	size_t of = (size_t)copy->of;
	int err;

	if (copy->of >= s->index.schemas[b->schema].nseries)
		return -EBADMSG;
	err = find_bundle(r, s, b, v, of, &bundle);
	if (!err && bundle->is_copy[of % BUNDLE_SERIES])
		err = -EBADMSG;
	if (!err)
		column_apply_copy(
			copy, bundle->words + of % BUNDLE_SERIES * bundle->n, bundle->n, r->values);
	return err;
}

int sealed_read_group(struct sealed_reader *r, const struct sealed *s, const struct sealed_block *b,
	size_t column, const struct block_clocks **ret_clocks, const uint64_t **ret_values)
{
	size_t at = column % BUNDLE_SERIES;
	const struct bundle_slot *bundle;
	const struct block_view *v;
	struct column_copy copy;
	int err = column < s->index.schemas[b->schema].nseries ? find_view(r, s, b, &v) : -EBADMSG;

	if (!err)
		err = find_bundle(r, s, b, v, column, &bundle);
	if (err)
		return err;
	if (bundle->is_copy[at]) {
		copy = bundle->copies[at]; /* its place may be taken by the other bundle */
		err = read_copy(r, s, b, v, &copy);
		if (err)
			return err;
		*ret_values = r->values;
	} else {
		*ret_values = bundle->words + at * bundle->n;
	}
	*ret_clocks = &v->clocks;
	return 0;
}

/* --- verifying ------------------------------------------------------------------------------ */

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

static void verify_group(struct verify *v, const struct sealed_block *b)
{
	size_t nseries = v->s->index.schemas[b->schema].nseries;
	const struct block_view *view;
	int err = find_view(v->r, v->s, b, &view);

	judge(v, err, b->offset, "head of a group block");
	for (size_t i = 0; !err && i < nseries && !v->err; i++) {
		const struct block_clocks *clocks;
		const uint64_t *values;
		size_t bundle = i / BUNDLE_SERIES;

		if (sealed_read_group(v->r, v->s, b, i, &clocks, &values) == 0)
			continue;
		judge(v, -EBADMSG, b->offset + b->head.stored + view->bundles[bundle].offset,
			"bundle of series");
		i = (bundle + 1) * BUNDLE_SERIES - 1; /* one damage, not one per series */
	}
}

static void verify_run(struct verify *v, const struct sealed_run *run)
{
	const struct block_view *view;

	for (size_t i = 0; i < run->nblocks && !v->err; i++) {
		const struct sealed_block *b = &run->blocks[i];

		if (b->is_times)
			judge(v, find_view(v->r, v->s, b, &view), b->offset, "time block");
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
