/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing a sealed file from front to back; it gets its name when it is complete and durable. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "gatherer/store/array.h"
#include "gatherer/store/os.h"
#include "gatherer/store/sealed.h"

#define PAGE_SIZE_RAW (64u << 10) /* a page is closed when it has become that big */
#define WRITE_CHUNK   (1u << 20)

struct sealed_writer {
	int dirfd, fd;
	char name[SEALED_NAME_SIZE], temp[SEALED_NAME_SIZE + 4];
	uint64_t written;
	struct buf out; /* not yet written */
	struct buf page; /* raw bytes of the page that is being filled */
	struct buf pages; /* stored bytes of full ones */
	struct buf message;
	struct packer *packer;
	struct block_coder *coder;
	struct sealed_index index;
	size_t pages_cap, schemas_cap, nodes_cap, slots_cap;
	uint32_t *slots; /* hash table of digests: index of the schema + 1; at most half full */
};

void sealed_writer_free(struct sealed_writer *w)
{
	if (!w)
		return;
	if (w->fd >= 0) {
		os->close(w->fd);
		os->unlink(w->dirfd, w->temp);
	}
	buf_release(&w->out);
	buf_release(&w->page);
	buf_release(&w->pages);
	buf_release(&w->message);
	packer_free(w->packer);
	block_coder_free(w->coder);
	sealed_index_release(&w->index);
	free(w->slots);
	free(w);
}

static void put_file_header(struct buf *out, uint64_t number)
{
	size_t start = out->len;

	buf_put(out, "TALLYHIS", 8);
	buf_put_u32(out, SEALED_VERSION);
	buf_put_u32(out, 0);
	buf_put_u64(out, number);
	buf_put_u32(out, 0);
	if (!buf_error(out))
		buf_put_u32(out, (uint32_t)crc32(0, out->data + start, 28));
}

int sealed_writer_new(int dirfd, uint64_t number, struct sealed_writer **ret)
{
	struct sealed_writer *w = calloc(1, sizeof(*w));
	int err = -ENOMEM;

	if (!w)
		return -ENOMEM;
	w->dirfd = dirfd;
	w->fd = -1;
	snprintf(w->name, sizeof(w->name), SEALED_NAME_FORMAT, (unsigned long long)number);
	snprintf(w->temp, sizeof(w->temp), "%s.tmp", w->name);
	w->packer = packer_new();
	w->coder = block_coder_new();
	if (!w->packer || !w->coder)
		goto out;
	err = os->open(dirfd, w->temp, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0640);
	if (err < 0)
		goto out;
	w->fd = err;
	put_file_header(&w->out, number);
	err = buf_error(&w->out);
out:
	if (err)
		sealed_writer_free(w);
	else
		*ret = w;
	return err;
}

static int flush(struct sealed_writer *w, size_t threshold)
{
	int err = buf_error(&w->out);

	if (err || w->out.len <= threshold)
		return err;
	err = os_write_all(w->fd, w->out.data, w->out.len);
	if (!err)
		w->written += w->out.len;
	buf_reset(&w->out);
	return err;
}

/* --- nodes and runs ------------------------------------------------------------------------- */

static struct sealed_node *last_node(struct sealed_writer *w)
{
	return &w->index.nodes[w->index.nnodes - 1];
}

int sealed_writer_node(struct sealed_writer *w, const uint8_t id[32], const char *name)
{
	struct sealed_node n = {.name = strdup(name)};

	if (!n.name || array_reserve(&w->index.nodes, w->index.nnodes + 1, &w->nodes_cap,
			       sizeof(*w->index.nodes))) {
		free(n.name);
		return -ENOMEM;
	}
	memcpy(n.id, id, sizeof(n.id));
	w->index.nodes[w->index.nnodes++] = n;
	return 0;
}

int sealed_writer_run(struct sealed_writer *w, const struct incarnation *inc)
{
	struct sealed_node *n = last_node(w);
	int err = array_reserve(&n->runs, n->nruns + 1, &n->cap, sizeof(*n->runs));

	if (!err)
		n->runs[n->nruns++] = (struct sealed_run){.inc = *inc};
	return err;
}

int sealed_writer_past(struct sealed_writer *w, const struct stream_past *past, size_t n)
{
	struct sealed_node *node = last_node(w);

	node->past = malloc((n ? n : 1) * sizeof(*past));
	if (!node->past)
		return -ENOMEM;
	if (n)
		memcpy(node->past, past, n * sizeof(*past));
	node->npast = n;
	return 0;
}

/* --- schemas -------------------------------------------------------------------------------- */

static int close_page(struct sealed_writer *w)
{
	struct sealed_page page;
	int err;

	if (w->page.len == 0)
		return 0;
	err = array_reserve(
		&w->index.pages, w->index.npages + 1, &w->pages_cap, sizeof(*w->index.pages));
	if (err)
		return err;
	err = piece_pack(w->packer, w->page.data, w->page.len, &w->pages, &page.piece);
	if (err)
		return err;
	w->index.pages[w->index.npages++] = page;
	buf_reset(&w->page);
	return 0;
}

static int rehash(struct sealed_writer *w, size_t cap)
{
	uint32_t *slots = calloc(cap, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->index.nschemas; i++) {
		uint64_t h;

		memcpy(&h, w->index.schemas[i].digest, sizeof(h));
		while (slots[h & (cap - 1)])
			h++;
		slots[h & (cap - 1)] = i + 1;
	}
	free(w->slots);
	w->slots = slots;
	w->slots_cap = cap;
	return 0;
}

/* The slot of the schema with this digest, or a free one. */
static uint32_t *find_slot(const struct sealed_writer *w, const uint8_t *digest)
{
	uint64_t h;

	memcpy(&h, digest, sizeof(h));
	for (;; h++) {
		uint32_t *slot = &w->slots[h & (w->slots_cap - 1)];

		if (!*slot || memcmp(w->index.schemas[*slot - 1].digest, digest, DIGEST_SIZE) == 0)
			return slot;
	}
}

static int add_schema(struct sealed_writer *w, const uint8_t *digest, size_t nseries)
{
	struct sealed_schema s = {
		.page = (uint32_t)w->index.npages,
		.offset = (uint32_t)w->page.len,
		.len = (uint32_t)w->message.len,
		.nseries = (uint32_t)nseries,
	};

	if (array_reserve(&w->index.schemas, w->index.nschemas + 1, &w->schemas_cap,
		    sizeof(*w->index.schemas)))
		return -ENOMEM;
	memcpy(s.digest, digest, DIGEST_SIZE);
	buf_put(&w->page, w->message.data, w->message.len);
	if (buf_error(&w->page))
		return -ENOMEM;
	w->index.schemas[w->index.nschemas++] = s;
	return w->page.len >= PAGE_SIZE_RAW ? close_page(w) : 0;
}

int schema_digest(const struct schema *s, struct buf *ret_message, uint8_t ret[DIGEST_SIZE])
{
	struct schema texts = *s; /* borrows everything */
	uint8_t sha[SHA256_DIGEST_LENGTH];
	int err;

	texts.id = 0;
	texts.start_ns = 0;
	buf_reset(ret_message);
	err = schema_encode(&texts, ret_message);
	if (err)
		return err;
	SHA256(ret_message->data, ret_message->len, sha);
	memcpy(ret, sha, DIGEST_SIZE);
	return 0;
}

static int intern_schema(struct sealed_writer *w, const struct schema *schema, uint32_t *ret)
{
	uint8_t digest[DIGEST_SIZE];
	uint32_t *slot;
	int err = schema_digest(schema, &w->message, digest);

	if (!err && 2 * (w->index.nschemas + 1) > w->slots_cap)
		err = rehash(w, w->slots_cap ? 2 * w->slots_cap : 64);
	if (err)
		return err;
	slot = find_slot(w, digest);
	if (!*slot) {
		err = add_schema(w, digest, schema->n);
		if (err)
			return err;
		*slot = (uint32_t)w->index.nschemas;
	}
	*ret = *slot - 1;
	return 0;
}

/* --- blocks --------------------------------------------------------------------------------- */

static int add_block(struct sealed_writer *w, const struct sealed_block *b)
{
	struct sealed_node *n = last_node(w);
	struct sealed_run *run = &n->runs[n->nruns - 1];

	if (array_reserve(&run->blocks, run->nblocks + 1, &run->cap, sizeof(*run->blocks)))
		return -ENOMEM;
	run->blocks[run->nblocks++] = *b;
	return flush(w, WRITE_CHUNK);
}

int sealed_writer_times(struct sealed_writer *w, const struct block_clocks *clocks, size_t n)
{
	const int64_t *realtime = (const int64_t *)clocks->columns[TIME_REALTIME];
	struct sealed_block b = {
		.is_times = true,
		.npolls = (uint32_t)n,
		.first_seq = clocks->columns[TIME_SEQ][0],
		.last_seq = clocks->columns[TIME_SEQ][n - 1],
		.from_ns = realtime[0],
		.to_ns = realtime[0],
	};
	int err = block_encode_times(w->coder, clocks, n, &w->out, &b.head);

	for (size_t i = 1; i < n; i++) {
		b.from_ns = realtime[i] < b.from_ns ? realtime[i] : b.from_ns;
		b.to_ns = realtime[i] > b.to_ns ? realtime[i] : b.to_ns;
	}
	return err ? err : add_block(w, &b);
}

int sealed_writer_group(struct sealed_writer *w, const struct schema *schema,
	const struct block_clocks *clocks, const uint64_t *rows, size_t n, int64_t from_ns,
	int64_t to_ns)
{
	struct sealed_block b = {
		.npolls = (uint32_t)n,
		.first_seq = clocks->columns[GROUP_SEQ][0],
		.last_seq = clocks->columns[GROUP_SEQ][n - 1],
		.from_ns = from_ns,
		.to_ns = to_ns,
		.start_ns = schema->start_ns,
	};
	int err = intern_schema(w, schema, &b.schema);

	if (!err)
		err = block_encode_group(
			w->coder, schema, clocks, rows, n, &w->out, &b.head, &b.body);
	return err ? err : add_block(w, &b);
}

/* --- the end -------------------------------------------------------------------------------- */

static int put_index(struct sealed_writer *w)
{
	uint64_t index_at = w->written + w->out.len + w->pages.len;
	struct piece piece;
	size_t start;
	int err;

	buf_put(&w->out, w->pages.data, w->pages.len);
	buf_reset(&w->message);
	sealed_index_put(&w->index, &w->message);
	err = buf_error(&w->message);
	if (!err)
		err = piece_pack(w->packer, w->message.data, w->message.len, &w->out, &piece);
	if (err)
		return err;
	start = w->out.len;
	buf_put(&w->out, "TALLYEND", 8);
	buf_put_u64(&w->out, index_at);
	buf_put_u32(&w->out, piece.stored);
	buf_put_u32(&w->out, piece.raw);
	buf_put_u32(&w->out, piece.crc);
	err = buf_error(&w->out);
	if (!err)
		buf_put_u32(&w->out, (uint32_t)crc32(0, w->out.data + start, 28));
	return err ? err : flush(w, 0);
}

int sealed_writer_finish(struct sealed_writer *w, uint64_t *ret_size)
{
	int err = close_page(w);

	if (!err)
		err = put_index(w);
	if (!err)
		err = os->fsync(w->fd);
	if (!err)
		err = os->rename(w->dirfd, w->temp, w->name);
	if (err)
		return err;
	os->close(w->fd);
	w->fd = -1;
	err = os->fsync(w->dirfd);
	if (!err)
		*ret_size = w->written;
	return err;
}
