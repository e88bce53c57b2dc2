/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The index of a sealed file. Its raw bytes:
 *
 *   varint pages;   each: piece, varint schemas in it; each schema: digest[16], varint length,
 *                   varint series
 *   varint nodes;   each: id[32], string name,
 *                   varint past; each: u64 incarnation, varint seq
 *                   varint runs; each: u64 incarnation, u64 start, boot id[16], varint blocks;
 *                     each block: u8 1 times, 2 group; piece (of the head), varint polls,
 *                       varint first seq, varint last - first, varint z(from), varint to - from;
 *                       a group also: varint body length, varint schema, u64 start
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/sealed.h"

enum { BLOCK_TIMES = 1, BLOCK_GROUP = 2 };

static void node_release(struct sealed_node *n)
{
	for (size_t i = 0; i < n->nruns; i++)
		free(n->runs[i].blocks);
	free(n->runs);
	free(n->past);
	free(n->name);
}

void sealed_index_release(struct sealed_index *x)
{
	for (size_t i = 0; i < x->nnodes; i++)
		node_release(&x->nodes[i]);
	free(x->nodes);
	free(x->pages);
	free(x->schemas);
	*x = (struct sealed_index){0};
}

uint64_t sealed_index_samples(const struct sealed_index *x)
{
	uint64_t n = 0;

	for (size_t i = 0; i < x->nnodes; i++)
		for (size_t k = 0; k < x->nodes[i].nruns; k++) {
			const struct sealed_run *run = &x->nodes[i].runs[k];

			for (size_t m = 0; m < run->nblocks; m++)
				if (!run->blocks[m].is_times)
					n += (uint64_t)run->blocks[m].npolls *
					     x->schemas[run->blocks[m].schema].nseries;
		}
	return n;
}

/* --- writing -------------------------------------------------------------------------------- */

static void put_pages(const struct sealed_index *x, struct buf *out)
{
	size_t next = 0;

	buf_put_varint(out, x->npages);
	for (size_t i = 0; i < x->npages; i++) {
		size_t end = next;

		while (end < x->nschemas && x->schemas[end].page == i)
			end++;
		piece_put(out, &x->pages[i].piece);
		buf_put_varint(out, end - next);
		for (; next < end; next++) {
			buf_put(out, x->schemas[next].digest, DIGEST_SIZE);
			buf_put_varint(out, x->schemas[next].len);
			buf_put_varint(out, x->schemas[next].nseries);
		}
	}
}

static void put_block(const struct sealed_block *b, struct buf *out)
{
	buf_put_u8(out, b->is_times ? BLOCK_TIMES : BLOCK_GROUP);
	piece_put(out, &b->head);
	buf_put_varint(out, b->npolls);
	buf_put_varint(out, b->first_seq);
	buf_put_varint(out, b->last_seq - b->first_seq);
	buf_put_varint(out, zigzag(b->from_ns));
	buf_put_varint(out, (uint64_t)b->to_ns - (uint64_t)b->from_ns);
	if (b->is_times)
		return;
	buf_put_varint(out, b->body);
	buf_put_varint(out, b->schema);
	buf_put_u64(out, b->start_ns);
}

static void put_run(const struct sealed_run *run, struct buf *out)
{
	buf_put_u64(out, run->inc.id);
	buf_put_u64(out, run->inc.start_ns);
	buf_put(out, run->inc.boot_id, sizeof(run->inc.boot_id));
	buf_put_varint(out, run->nblocks);
	for (size_t i = 0; i < run->nblocks; i++)
		put_block(&run->blocks[i], out);
}

void sealed_index_put(const struct sealed_index *x, struct buf *out)
{
	put_pages(x, out);
	buf_put_varint(out, x->nnodes);
	for (size_t i = 0; i < x->nnodes; i++) {
		const struct sealed_node *n = &x->nodes[i];

		buf_put(out, n->id, sizeof(n->id));
		buf_put_str(out, n->name);
		buf_put_varint(out, n->npast);
		for (size_t k = 0; k < n->npast; k++) {
			buf_put_u64(out, n->past[k].incarnation);
			buf_put_varint(out, n->past[k].seq);
		}
		buf_put_varint(out, n->nruns);
		for (size_t k = 0; k < n->nruns; k++)
			put_run(&n->runs[k], out);
	}
}

/* --- reading: every count is bounded by the bytes that are left ----------------------------- */

/* An array for as many items as the next varint says, each of at least min_bytes. */
static void *get_array(struct rd *r, size_t size, size_t min_bytes, size_t *ret_n)
{
	uint64_t n = rd_varint(r);
	void *array = NULL;

	*ret_n = 0;
	if (n > rd_left(r) / min_bytes)
		r->failed = true;
	if (!r->failed)
		array = calloc(n ? (size_t)n : 1, size);
	if (array)
		*ret_n = (size_t)n;
	else
		r->failed = true;
	return array;
}

static void get_bytes(struct rd *r, void *to, size_t n)
{
	const uint8_t *p = rd_bytes(r, n);

	if (p)
		memcpy(to, p, n);
}

static void get_page_schemas(struct rd *r, struct sealed_index *x, uint32_t page)
{
	uint64_t n = rd_varint(r), offset = 0;
	struct sealed_schema *grown;

	if (n > rd_left(r) / DIGEST_SIZE)
		r->failed = true;
	grown = r->failed ? NULL : realloc(x->schemas, (x->nschemas + n + 1) * sizeof(*grown));
	if (!grown) {
		r->failed = true;
		return;
	}
	x->schemas = grown;
	for (uint64_t i = 0; i < n; i++) {
		struct sealed_schema *s = &x->schemas[x->nschemas++];
		uint64_t len, nseries;

		get_bytes(r, s->digest, DIGEST_SIZE);
		len = rd_varint(r);
		nseries = rd_varint(r);
		if (len > x->pages[page].piece.raw - offset || nseries > SCHEMA_SERIES_MAX)
			r->failed = true;
		s->page = page;
		s->offset = (uint32_t)offset;
		s->len = (uint32_t)len;
		s->nseries = (uint32_t)nseries;
		if (r->failed)
			return;
		offset += len;
	}
}

static void get_block(struct rd *r, const struct sealed_index *x, struct sealed_block *b)
{
	uint8_t what = rd_u8(r);
	uint64_t schema = 0, npolls;

	b->is_times = what == BLOCK_TIMES;
	b->head = piece_get(r);
	npolls = rd_varint(r);
	b->npolls = (uint32_t)npolls;
	b->first_seq = rd_varint(r);
	b->last_seq = b->first_seq + rd_varint(r);
	b->from_ns = unzigzag(rd_varint(r));
	b->to_ns = (int64_t)((uint64_t)b->from_ns + rd_varint(r));
	if (!b->is_times) {
		b->body = rd_varint(r);
		schema = rd_varint(r);
		b->schema = (uint32_t)schema;
		b->start_ns = rd_u64(r);
	}
	if ((what != BLOCK_TIMES && what != BLOCK_GROUP) || npolls == 0 ||
		npolls > BLOCK_POLLS_MAX || b->last_seq < b->first_seq || b->body > INT64_MAX / 2 ||
		(!b->is_times && schema >= x->nschemas))
		r->failed = true;
}

static void get_run(struct rd *r, const struct sealed_index *x, struct sealed_run *run)
{
	run->inc.id = rd_u64(r);
	run->inc.start_ns = rd_u64(r);
	get_bytes(r, run->inc.boot_id, sizeof(run->inc.boot_id));
	run->blocks = get_array(r, sizeof(*run->blocks), 12, &run->nblocks);
	for (size_t i = 0; i < run->nblocks && !r->failed; i++)
		get_block(r, x, &run->blocks[i]);
}

static void get_node(struct rd *r, const struct sealed_index *x, struct sealed_node *n)
{
	const char *name;
	size_t len;

	get_bytes(r, n->id, sizeof(n->id));
	name = rd_str(r, &len);
	n->name = name ? strndup(name, len) : NULL;
	if (!n->name)
		r->failed = true;
	n->past = get_array(r, sizeof(*n->past), 9, &n->npast);
	for (size_t i = 0; i < n->npast; i++) {
		n->past[i].incarnation = rd_u64(r);
		n->past[i].seq = rd_varint(r);
	}
	n->runs = get_array(r, sizeof(*n->runs), 33, &n->nruns);
	for (size_t i = 0; i < n->nruns && !r->failed; i++)
		get_run(r, x, &n->runs[i]);
}

/* Everything lies end to end: blocks, then pages. Returns where that ends. */
static uint64_t compute_offsets(struct sealed_index *x, uint64_t limit)
{
	uint64_t at = SEALED_HEADER;

	for (size_t i = 0; i < x->nnodes; i++)
		for (size_t k = 0; k < x->nodes[i].nruns; k++) {
			struct sealed_run *run = &x->nodes[i].runs[k];

			for (size_t m = 0; m < run->nblocks && at <= limit; m++) {
				run->blocks[m].offset = at;
				at += run->blocks[m].head.stored + run->blocks[m].body;
			}
		}
	for (size_t i = 0; i < x->npages && at <= limit; i++) {
		x->pages[i].offset = at;
		at += x->pages[i].piece.stored;
	}
	return at;
}

int sealed_index_get(struct rd *r, uint64_t end, struct sealed_index *ret)
{
	struct sealed_index x = {0};

	x.pages = get_array(r, sizeof(*x.pages), 7, &x.npages);
	for (size_t i = 0; i < x.npages && !r->failed; i++) {
		x.pages[i].piece = piece_get(r);
		get_page_schemas(r, &x, (uint32_t)i);
	}
	x.nodes = get_array(r, sizeof(*x.nodes), 35, &x.nnodes);
	for (size_t i = 0; i < x.nnodes && !r->failed; i++)
		get_node(r, &x, &x.nodes[i]);
	if (r->failed || rd_left(r) > 0 || compute_offsets(&x, end) != end) {
		sealed_index_release(&x);
		return -EBADMSG;
	}
	*ret = x;
	return 0;
}
