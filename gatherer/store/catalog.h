/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a history holds, over all of its files: nodes, their groups, and series, which are the same
 * series wherever node, group, name, labels and part are. A shape is one list of series that a group of
 * a node has had; blocks with the same texts share it.
 */
#ifndef TALLY_GATHERER_STORE_CATALOG_H
#define TALLY_GATHERER_STORE_CATALOG_H

#include "gatherer/store/sealed.h"

struct catalog_shape {
	uint32_t node, group;
	uint8_t digest[DIGEST_SIZE];
	struct schema schema;
	uint32_t *series; /* schema.n ids */
};

/* What a sealed file has of one incarnation of a node. */
struct catalog_run {
	const struct sealed *file;
	const struct sealed_run *run;
	uint64_t first_seq, last_seq;
	int64_t from_ns, to_ns; /* realtime of its polls */
	bool gap_before; /* it does not follow the node's run before it */
};

/* A group block of it. */
struct catalog_block {
	const struct catalog_run *run;
	const struct sealed_block *block;
	uint32_t shape;
};

struct catalog_group {
	uint32_t node;
	const char *name; /* of its first shape */
	size_t nblocks, cap;
	struct catalog_block *blocks; /* in order of files, runs and sequence numbers */
};

struct catalog_node {
	uint8_t id[32];
	char *name; /* as the node calls itself */
	int64_t first_ns, last_ns; /* realtime of polls in sealed files; first > last: none */
	size_t nruns, cap;
	struct catalog_run **runs; /* in order */
};

struct catalog_series {
	uint32_t node, group;
	const struct series *def; /* of the newest shape */
};

/* Finds an item by the hash of what it is; slots hold index + 1. At most half full. */
struct catalog_table {
	size_t cap, n;
	uint32_t *slots;
	uint64_t *hashes;
};

struct catalog {
	size_t nnodes, ngroups, nshapes, nseries;
	size_t nodes_cap, groups_cap, shapes_cap, series_cap;
	struct catalog_node *nodes;
	struct catalog_group *groups;
	struct catalog_shape **shapes;
	struct catalog_series *series;
	struct catalog_table group_table, shape_table, series_table;
};

void catalog_release(struct catalog *c);
/* Index of the node, which gets this name from now on; negative: -ENOMEM. */
ssize_t catalog_node(struct catalog *c, const uint8_t id[32], const char *name);
/* Index of the shape with this digest, or -ENOENT. */
ssize_t catalog_find_shape(const struct catalog *c, uint32_t node, const uint8_t *digest);
/* A new shape: schema is copied. Index or -ENOMEM. */
ssize_t catalog_add_shape(
	struct catalog *c, uint32_t node, const uint8_t *digest, const struct schema *schema);
/* From now on the definitions of its series are those of this shape: it is the newest of its group. */
void catalog_use_shape(struct catalog *c, uint32_t shape);
/* The node's next run; NULL: no memory. run has at least one time block. */
const struct catalog_run *catalog_add_run(
	struct catalog *c, uint32_t node, const struct sealed *file, const struct sealed_run *run);
int catalog_add_block(struct catalog *c, const struct catalog_block *block);
/* Does what begins at seq of this incarnation not follow the node's newest run? */
bool catalog_gap_after(
	const struct catalog *c, uint32_t node, uint64_t incarnation, uint64_t first_seq);
/* Removes the runs and blocks of a file. */
void catalog_drop_file(struct catalog *c, const struct sealed *file);
/* Place of the series in rows of the shape, or -1. */
ssize_t catalog_column(const struct catalog *c, uint32_t shape, uint32_t series);

#endif
