/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nodes, and replaying heads into them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/array.h"
#include "gatherer/store/nodeset.h"
#include "gatherer/store/packed.h"

#define UNKNOWN       UINT32_MAX
#define STREAMS_AHEAD 1024u

void nodeset_release(struct nodeset *set)
{
	for (size_t i = 0; i < set->n; i++) {
		free(set->nodes[i].name);
		stream_free(set->nodes[i].stream);
	}
	free(set->nodes);
	*set = (struct nodeset){0};
}

ssize_t nodeset_find(const struct nodeset *set, const uint8_t id[32])
{
	for (size_t i = 0; i < set->n; i++)
		if (memcmp(set->nodes[i].id, id, 32) == 0)
			return (ssize_t)i;
	return -1;
}

ssize_t nodeset_add(struct nodeset *set, const uint8_t id[32], const char *name)
{
	struct nodeset_node node = {.name = strdup(name), .stream = stream_new()};

	if (!node.name || !node.stream ||
		array_reserve(&set->nodes, set->n + 1, &set->cap, sizeof(*set->nodes))) {
		free(node.name);
		stream_free(node.stream);
		return -ENOMEM;
	}
	memcpy(node.id, id, 32);
	set->nodes[set->n] = node;
	return (ssize_t)set->n++;
}

int nodeset_rename(struct nodeset_node *node, const char *name)
{
	char *copy = strdup(name);

	if (!copy)
		return -ENOMEM;
	free(node->name);
	node->name = copy;
	return 0;
}

int nodeset_put_state(const struct nodeset *set, struct buf *out)
{
	int err = 0;

	for (size_t i = 0; i < set->n && !err; i++) {
		const struct nodeset_node *node = &set->nodes[i];

		err = noderec_put(node->id, node->name, node->stream, (uint32_t)i, 0, out);
		if (!err)
			err = stream_put_state(node->stream, (uint32_t)i, out);
	}
	return err;
}

void nodeset_newest(const struct nodeset_node *node, uint64_t *ret_incarnation, uint64_t *ret_seq)
{
	const struct incarnation *inc = stream_incarnation(node->stream);
	const struct stream_past *past;
	size_t npast = stream_past(node->stream, &past);

	*ret_incarnation = *ret_seq = 0;
	if (inc && stream_seq(node->stream) > 0) {
		*ret_incarnation = inc->id;
		*ret_seq = stream_seq(node->stream);
	} else if (npast > 0) {
		*ret_incarnation = past[npast - 1].incarnation;
		*ret_seq = past[npast - 1].seq;
	}
}

/* --- replaying ------------------------------------------------------------------------------ */

void replay_release(struct replay *r)
{
	free(r->map);
	buf_release(&r->unpacked);
	r->map = NULL;
	r->nmap = r->map_cap = 0;
}

/* NODE records come with numbers in order: a jump over many is damage, not a reason to allocate. */
static int map_stream(struct replay *r, uint32_t stream, uint32_t node)
{
	if (stream > r->set->n + STREAMS_AHEAD)
		return -EBADMSG;
	if (array_reserve(&r->map, (size_t)stream + 1, &r->map_cap, sizeof(*r->map)))
		return -ENOMEM;
	while (r->nmap <= stream)
		r->map[r->nmap++] = UNKNOWN;
	r->map[stream] = node;
	r->renumbered |= stream != node;
	return 0;
}

static int replay_node(struct replay *r, const struct record *rec)
{
	struct noderec *n = malloc(sizeof(*n));
	ssize_t i = -1;
	int err = n ? noderec_parse(rec->payload, rec->len, n) : -ENOMEM;

	if (!err)
		i = nodeset_find(r->set, n->id);
	if (!err && i >= 0)
		err = nodeset_rename(&r->set->nodes[i], n->name);
	else if (!err) {
		i = nodeset_add(r->set, n->id, n->name);
		err = i < 0 ? (int)i : r->added ? r->added(r->arg, (size_t)i) : 0;
	}
	if (!err && !stream_incarnation(r->set->nodes[i].stream))
		for (size_t k = 0; k < n->npast; k++)
			stream_add_past(
				r->set->nodes[i].stream, n->past[k].incarnation, n->past[k].seq);
	if (!err)
		err = map_stream(r, rec->stream, (uint32_t)i);
	free(n);
	return err == -ENOMEM ? err : 0;
}

static void count_samples(struct replay *r, const struct snapshot_view *view)
{
	for (size_t i = 0; i < view->ngroups; i++)
		r->samples += view->groups[i].schema->n;
}

static int replay_applicable(struct replay *r, uint32_t node, const struct record *rec)
{
	struct snapshot_view view;
	int result =
		stream_apply(r->set->nodes[node].stream, rec->type, rec->payload, rec->len, &view);
	if (result < 0)
		return result == -ENOMEM || rec->type >= RECORD_CRITICAL
			       ? result
			       : 0; /* else it refers to something damaged */
	if (result == STREAM_SNAPSHOT) {
		count_samples(r, &view);
		r->state_to = r->state_to ? r->state_to : rec->offset;
	}
	return r->applied ? r->applied(r->arg, node, rec, result, &view) : 0;
}

static int replay_state(struct replay *r, uint32_t node, const struct record *state)
{
	int err = packed_unpack(state, &r->unpacked);
	struct recscan scan = {.data = r->unpacked.data, .len = r->unpacked.len};
	struct record rec;

	r->in_state = true;
	while (!err && recscan_next(&scan, &rec) == 1)
		err = replay_applicable(r, node, &rec);
	r->in_state = false;
	return err == -EBADMSG ? 0 : err;
}

static int replay_record(struct replay *r, const struct record *rec)
{
	uint32_t node = rec->stream < r->nmap ? r->map[rec->stream] : UNKNOWN;

	if (rec->type == RECORD_NODE)
		return replay_node(r, rec);
	if (node == UNKNOWN)
		return 0; /* its NODE was lost to damage */
	return rec->type == RECORD_STATE ? replay_state(r, node, rec)
					 : replay_applicable(r, node, rec);
}

static void note_damage(struct replay *r, const struct recscan *scan)
{
	r->damage_bytes += scan->damage_to - scan->damage_from;
	if (r->damage)
		r->damage(r->arg, scan->damage_from, scan->damage_to);
}

int replay_records(struct replay *r, const uint8_t *data, size_t len, size_t *pos)
{
	struct recscan scan = {.data = data, .len = len, .pos = *pos, .salt = r->salt};
	struct record rec;
	int got, err = 0;

	r->torn_at = len;
	while (!err && (got = recscan_next(&scan, &rec)) != 0) {
		if (got == 1) {
			err = replay_record(r, &rec);
			if (!err)
				*pos = scan.pos;
		} else if (scan.damage_to == len) {
			r->torn_at = scan.damage_from;
			break;
		} else {
			note_damage(r, &scan);
		}
	}
	return err;
}
