/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of nodes: an array of pointers sorted by id. Nodes are few and rarely new. */
#include "gatherer/node.h"

#include <stdlib.h>
#include <string.h>

#include "gatherer/poll.h"
#include "user/lib/schema_int.h"

#define NAME_FROM_FINGERPRINT 8

/* Index of the node, or of the place where it belongs. */
static size_t nodes_find(const struct gatherer *g, const uint8_t *id, bool *ret_found)
{
	size_t lo = 0, hi = g->nnodes;

	*ret_found = false;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int cmp = memcmp(g->nodes[mid]->id, id, NODE_ID_SIZE);

		if (!cmp) {
			*ret_found = true;
			return mid;
		}
		if (cmp < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void node_free(struct node *n)
{
	poll_release(n);
	free(n);
}

static int node_insert(struct gatherer *g, size_t at, struct node *n)
{
	struct node **more = reallocarray(g->nodes, g->nnodes + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	g->nodes = more;
	memmove(more + at + 1, more + at, (g->nnodes - at) * sizeof(*more));
	more[at] = n;
	g->nnodes++;
	return 0;
}

static int node_make(struct gatherer *g, size_t at, const uint8_t *id, struct node **ret)
{
	struct node *n;
	int rc;

	if (g->nnodes >= g->cfg->max_providers)
		return -E2BIG;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->g = g;
	memcpy(n->id, id, NODE_ID_SIZE);
	fingerprint_format(id, n->fingerprint);
	rc = poll_init(n);
	if (!rc)
		rc = node_insert(g, at, n);
	if (rc)
		node_free(n);
	else
		*ret = n;
	return rc;
}

int node_get(
	struct gatherer *g, const uint8_t id[NODE_ID_SIZE], const char *name, struct node **ret)
{
	char fingerprint[FINGERPRINT_SIZE], clean[NODE_NAME_MAX + 1];
	struct node *n;
	uint32_t index;
	bool found;
	size_t at = nodes_find(g, id, &found);
	int rc;

	fingerprint_format(id, fingerprint);
	node_clean_name(name, fingerprint, clean);
	if (!found && g->nnodes >= g->cfg->max_providers)
		return -E2BIG; /* before it gets a place in history */
	rc = store_node(g->store, id, clean, &index);
	if (rc)
		return rc;
	if (found)
		n = g->nodes[at];
	else if ((rc = node_make(g, at, id, &n)))
		return rc;
	n->index = index;
	strcpy(n->name, clean);
	*ret = n;
	return 0;
}

void nodes_release(struct gatherer *g)
{
	for (size_t i = 0; i < g->nnodes; i++)
		node_free(g->nodes[i]);
	free(g->nodes);
	g->nodes = NULL;
	g->nnodes = 0;
}

void node_clean_name(const char *name, const char *fingerprint, char out[NODE_NAME_MAX + 1])
{
	size_t n = 0;

	while (*name) {
		size_t len = text_char(name, strlen(name));
		bool good = len && *name != '"' && *name != '\\';

		if (n + (good ? len : 1) > NODE_NAME_MAX)
			break;
		if (good)
			memcpy(out + n, name, len);
		else
			out[n] = '_';
		n += good ? len : 1;
		name += len ? len : 1;
	}
	out[n] = '\0';
	if (!n) {
		memcpy(out, fingerprint, NAME_FROM_FINGERPRINT);
		out[NAME_FROM_FINGERPRINT] = '\0';
	}
}
