/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A sealed file: blocks of many nodes behind an index. Immutable.
 *
 *   0           header, 32 bytes: "TALLYHIS", u32 version, u32 0, u64 number, u32 0, u32 crc32
 *   32          blocks, node by node, run by run (gatherer/store/block.h)
 *               schema pages, a piece each: schemas one after another, as protobuf tally.Schema
 *               index, a piece
 *   size - 32   footer: "TALLYEND", u64 offset of the index, its u32 stored length, u32 raw length,
 *               u32 crc32, then u32 crc32 of the footer's 28 bytes before
 *
 * There are no gaps: each thing begins where the one before ends, so the index has lengths only. A run
 * is what a file holds of one incarnation of a node.
 */
#ifndef TALLY_GATHERER_STORE_SEALED_H
#define TALLY_GATHERER_STORE_SEALED_H

#include "gatherer/store/block.h"
#include "user/lib/stream.h"

#define SEALED_VERSION     1u
#define SEALED_HEADER      32u
#define SEALED_FOOTER      32u
#define SEALED_NAME_FORMAT "%08llu.tly"
#define SEALED_NAME_SIZE   32u

#define DIGEST_SIZE 16u

/* The message that stands in a page for s (id and start are 0), and its digest. */
int schema_digest(const struct schema *s, struct buf *ret_message, uint8_t ret[DIGEST_SIZE]);

struct sealed_page {
	struct piece piece;
	uint64_t offset;
};

/* Texts of a schema; its id is 0 and start_ns too: those differ between nodes that share it. */
struct sealed_schema {
	uint8_t digest[DIGEST_SIZE]; /* first half of the SHA-256 of the message */
	uint32_t page, offset, len; /* in the page's raw bytes */
	uint32_t nseries;
};

struct sealed_block {
	bool is_times;
	uint64_t offset;
	struct piece head;
	uint32_t npolls;
	uint64_t first_seq, last_seq;
	int64_t from_ns, to_ns; /* smallest and greatest realtime of its polls */
	/* group blocks only */
	uint64_t body;
	uint32_t schema;
	uint64_t start_ns; /* the schema's */
};

struct sealed_run {
	struct incarnation inc;
	size_t nblocks, cap;
	struct sealed_block *blocks;
};

struct sealed_node {
	uint8_t id[32];
	char *name;
	size_t npast;
	struct stream_past *past; /* incarnations known at the end of the file, also the newest */
	size_t nruns, cap;
	struct sealed_run *runs;
};

struct sealed_index {
	size_t npages, nschemas, nnodes;
	struct sealed_page *pages;
	struct sealed_schema *schemas;
	struct sealed_node *nodes;
};
void sealed_index_release(struct sealed_index *x);
void sealed_index_put(const struct sealed_index *x, struct buf *out);
/* Offsets are computed; -EBADMSG if anything is impossible, or if all does not end at `end`. */
int sealed_index_get(struct rd *r, uint64_t end, struct sealed_index *ret);
uint64_t sealed_index_samples(const struct sealed_index *x);

/* --- writing -------------------------------------------------------------------------------- */

struct sealed_writer;
int sealed_writer_new(int dirfd, uint64_t number, struct sealed_writer **ret);
/* Removes what was not finished. */
void sealed_writer_free(struct sealed_writer *w);
int sealed_writer_node(struct sealed_writer *w, const uint8_t id[32], const char *name);
/* The next three belong to the node that was added last, and to its last run. */
int sealed_writer_run(struct sealed_writer *w, const struct incarnation *inc);
int sealed_writer_times(struct sealed_writer *w, const struct block_clocks *clocks, size_t n);
/* from_ns, to_ns: of the polls' realtime. */
int sealed_writer_group(struct sealed_writer *w, const struct schema *schema,
	const struct block_clocks *clocks, const uint64_t *rows, size_t n, int64_t from_ns,
	int64_t to_ns);
int sealed_writer_past(struct sealed_writer *w, const struct stream_past *past, size_t n);
/* Durable under its final name after this. *ret_size is the file's. */
int sealed_writer_finish(struct sealed_writer *w, uint64_t *ret_size);

/* --- reading -------------------------------------------------------------------------------- */

/* A file's index. The file itself is open only while it is read: a store may have thousands. */
struct sealed {
	int dirfd; /* the store's */
	uint64_t number, size;
	struct sealed_index index;
};
/*
 * Reads footer and index. -EBADMSG: damaged, -EPROTO: a newer version, -ENOENT. dirfd must stay open
 * as long as the file is used.
 */
int sealed_open(int dirfd, uint64_t number, struct sealed **ret);
void sealed_close(struct sealed *s);

/* Memory that reading needs, with the file and caches of what was read last; one for all files of a store. */
struct sealed_reader;
struct sealed_reader *sealed_reader_new(void);
void sealed_reader_free(struct sealed_reader *r);
int sealed_read_schema(
	struct sealed_reader *r, const struct sealed *s, uint32_t schema, struct schema *ret);
/* Decoded blocks; borrowed until the next call of the same function. */
int sealed_read_times(struct sealed_reader *r, const struct sealed *s, const struct sealed_block *b,
	const struct block_clocks **ret);
/* The clocks of a group block, and the words of one of its columns. */
int sealed_read_group(struct sealed_reader *r, const struct sealed *s, const struct sealed_block *b,
	size_t column, const struct block_clocks **ret_clocks, const uint64_t **ret_values);
/*
 * Checks every byte of the file and decodes all of it. Calls fn for each damage; returns how many, or
 * a negative code.
 */
typedef void (*sealed_damage_fn)(void *arg, uint64_t offset, const char *what);
long sealed_verify(struct sealed_reader *r, const struct sealed *s, sealed_damage_fn fn, void *arg);

#endif
