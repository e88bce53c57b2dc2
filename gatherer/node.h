/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A node: one provider, as long as the gatherer runs. Connections come and go (gatherer/peer.h); at
 * most one of them counts, the newest.
 */
#ifndef TALLY_GATHERER_NODE_H
#define TALLY_GATHERER_NODE_H

#include "gatherer/gatherer.h"

#define NODE_NAME_MAX 63u

struct node {
	struct gatherer *g;
	uint8_t id[NODE_ID_SIZE];
	char fingerprint[FINGERPRINT_SIZE];
	char name[NODE_NAME_MAX + 1];
	uint32_t index; /* in the store */
	struct peer *peer; /* NULL: away */
	bool left_in_order; /* its last answer said that it goes down */

	/* gatherer/poll.c */
	uint64_t interval_ns;
	struct event *due, *late;
	uint64_t poll_id; /* of the last POLL */
	bool outstanding; /* ... which is not answered yet */
	unsigned int missed; /* polls in a row that could not be sent for it */
	bool heard; /* records came since the last POLL was due: slow, not dead */
	uint64_t polled_at_ns; /* when it was sent */

	/* gatherer/ingest.c */
	bool ack_wanted;
	uint64_t ack_ticket; /* of gatherer/commit.h */
};

/*
 * Finds or makes the node and its place in history. -E2BIG: max-providers; other codes: the store.
 * The name is cleaned: see node_clean_name().
 */
int node_get(
	struct gatherer *g, const uint8_t id[NODE_ID_SIZE], const char *name, struct node **ret);
void nodes_release(struct gatherer *g);
/*
 * Makes a name fit for files, labels and terminals: valid UTF-8 of at most NODE_NAME_MAX bytes,
 * control characters, quotes and backslashes become '_'. An empty one becomes the beginning of the
 * fingerprint.
 */
void node_clean_name(const char *name, const char *fingerprint, char out[NODE_NAME_MAX + 1]);

#endif
