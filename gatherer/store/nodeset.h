/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The nodes of a store and what each one's stream has come to; rebuilt from a head by replaying it. */
#ifndef TALLY_GATHERER_STORE_NODESET_H
#define TALLY_GATHERER_STORE_NODESET_H

#include "gatherer/store/noderec.h"

struct nodeset_node {
	uint8_t id[32];
	char *name;
	struct stream *stream;
};

struct nodeset {
	size_t n, cap;
	struct nodeset_node *nodes;
};

void nodeset_release(struct nodeset *set);
/* Index of the node, or -1. */
ssize_t nodeset_find(const struct nodeset *set, const uint8_t id[32]);
/* A new node's index, or -ENOMEM. */
ssize_t nodeset_add(struct nodeset *set, const uint8_t id[32], const char *name);
int nodeset_rename(struct nodeset_node *node, const char *name);
/* NODE and state records of all nodes; stream numbers are indexes. */
int nodeset_put_state(const struct nodeset *set, struct buf *out);
/* Newest snapshot that the stream has taken in; 0, 0 before the first. */
void nodeset_newest(const struct nodeset_node *node, uint64_t *ret_incarnation, uint64_t *ret_seq);

/* --- replaying ------------------------------------------------------------------------------ */

struct replay {
	struct nodeset *set;
	uint32_t salt; /* of the file */
	/* From the stream numbers of the file to indexes; only as long as one file is replayed. */
	size_t nmap, map_cap;
	uint32_t *map;
	/* Called for each node that is new to the set. May be NULL. */
	int (*added)(void *arg, size_t node);
	/* Called for each record that was applied to a node's stream, also those inside of a STATE
	 * record: in_state is set then. May be NULL. */
	int (*applied)(void *arg, size_t node, const struct record *rec, int result,
		const struct snapshot_view *view);
	void (*damage)(void *arg, uint64_t from, uint64_t to); /* may be NULL */
	void *arg;
	struct buf unpacked; /* records of a STATE record, while they are replayed */
	bool in_state;
	/* results */
	bool renumbered; /* a stream number was not the node's index */
	uint64_t samples, damage_bytes;
	size_t torn_at; /* where a torn tail begins; the length if there is none */
	size_t state_to; /* where the first record with a sample begins; 0 if there is none */
};
void replay_release(struct replay *r);
/*
 * Applies the records of data from *pos on (an offset in the head, behind its header) and moves *pos
 * behind the last one. Damage is passed over; a torn tail ends it. 0, -ENOMEM, -EPROTO (a record of a
 * newer version, which must be understood), or what applied() returned.
 */
int replay_records(struct replay *r, const uint8_t *data, size_t len, size_t *pos);

#endif
