/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A reader's view of the heads, which a writer may be appending to. What was added is parsed once; of
 * each snapshot only its place is kept, and rows are decoded again for the group that is asked for.
 */
#ifndef TALLY_GATHERER_STORE_LIVE_H
#define TALLY_GATHERER_STORE_LIVE_H

#include "gatherer/store/catalog.h"
#include "gatherer/store/gaps.h"
#include "gatherer/store/nodeset.h"

struct live_file {
	uint64_t number;
	int fd;
	uint64_t pos; /* parsed up to here */
	struct replay replay;
};

#define LIVE_PACKED UINT32_MAX

/* Where a SNAPSHOT record's payload is: in a file, or (LIVE_PACKED) in live.packed. */
struct live_record {
	uint64_t offset;
	uint64_t gaps, seen; /* struct gaps: count, gaps_seen() */
	uint32_t len, file, inc;
	bool base, jumped;
};

struct live_schema {
	uint32_t inc, id, shape;
	uint64_t start_ns;
};

struct live_node {
	uint32_t node; /* in the catalogue */
	size_t nincs, incs_cap, nrecords, records_cap, nschemas, schemas_cap;
	struct incarnation *incs;
	struct live_record *records;
	struct live_schema *schemas; /* sorted by (inc, id) */
	bool schemas_due;
	struct gaps gaps;
	uint64_t first_seq; /* of the first sample, and whose */
	uint32_t first_inc;
	int64_t first_ns, last_ns; /* realtime of snapshots; first > last: none */
};

/* One poll of a group that was loaded. */
struct live_poll {
	uint32_t inc, shape;
	bool gap;
	uint64_t start_ns, seq, monotonic_ns;
	int64_t realtime_ns;
	size_t words; /* place of its row in live_rows.words */
};

struct live_rows {
	bool loaded;
	uint32_t node, group; /* in live.nodes, in the catalogue */
	uint32_t series; /* rows have this one only; UINT32_MAX: all of the shape */
	size_t n, cap, nwords, words_cap;
	struct live_poll *polls;
	uint64_t *words;
};

struct live {
	struct catalog *catalog;
	struct nodeset set;
	size_t nfiles, files_cap, nodes_cap;
	struct live_file *files;
	struct live_node *nodes; /* one for each of set */
	struct buf chunk;
	struct buf packed; /* payloads that stand in STATE records */
	struct live_rows rows;
	uint32_t reading; /* index of the file whose bytes are parsed, and where the chunk begins */
	uint64_t chunk_at;
	uint64_t samples, bytes;
};

void live_release(struct live *l); /* l is empty again; its catalogue stays */
/* The next head. -ENOENT if it is gone. */
int live_add_file(struct live *l, int dirfd, uint64_t number);
/* Parses what was added to the files. 1 if there was anything, 0, or negative. */
int live_refresh(struct live *l);
/* Index of a catalogue's node, or -1. */
ssize_t live_find(const struct live *l, uint32_t node);
/*
 * Loads the polls of a group into l->rows: whole rows, or only this series if they would be too many.
 * -EBADMSG if records could not be read any more; the others are there.
 */
int live_load(struct live *l, uint32_t node, uint32_t group, uint32_t series);

#endif
