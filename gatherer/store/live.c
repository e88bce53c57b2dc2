/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Following heads; see the header. Decoding rows again is in live_load.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/array.h"
#include "gatherer/store/live.h"
#include "gatherer/store/os.h"

static void node_release(struct live_node *n)
{
	free(n->incs);
	free(n->records);
	free(n->schemas);
}

void live_release(struct live *l)
{
	for (size_t i = 0; i < l->nfiles; i++) {
		os->close(l->files[i].fd);
		replay_release(&l->files[i].replay);
	}
	for (size_t i = 0; i < l->nodes_cap && i < l->set.n; i++)
		node_release(&l->nodes[i]);
	free(l->files);
	free(l->nodes);
	nodeset_release(&l->set);
	buf_release(&l->chunk);
	buf_release(&l->packed);
	free(l->rows.polls);
	free(l->rows.words);
	*l = (struct live){.catalog = l->catalog};
}

/* --- schemas -------------------------------------------------------------------------------- */

static ssize_t shape_of(struct live *l, const struct live_node *n, const struct schema *schema)
{
	struct buf message = BUF_INIT;
	uint8_t digest[DIGEST_SIZE];
	ssize_t shape = schema_digest(schema, &message, digest);

	buf_release(&message);
	if (shape < 0)
		return shape;
	shape = catalog_find_shape(l->catalog, n->node, digest);
	return shape == -ENOENT ? catalog_add_shape(l->catalog, n->node, digest, schema) : shape;
}

static size_t schema_place(const struct live_node *n, uint32_t inc, uint32_t id)
{
	size_t lo = 0, hi = n->nschemas;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct live_schema *s = &n->schemas[mid];

		if (s->inc < inc || (s->inc == inc && s->id < id))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int add_schema(struct live *l, struct live_node *n, const struct schema *schema)
{
	uint32_t inc = (uint32_t)n->nincs - 1;
	size_t at = schema_place(n, inc, schema->id);
	ssize_t shape;

	if (at < n->nschemas && n->schemas[at].inc == inc && n->schemas[at].id == schema->id)
		return 0;
	if (array_reserve(&n->schemas, n->nschemas + 1, &n->schemas_cap, sizeof(*n->schemas)))
		return -ENOMEM;
	shape = shape_of(l, n, schema);
	if (shape < 0)
		return (int)shape;
	memmove(n->schemas + at + 1, n->schemas + at, (n->nschemas - at) * sizeof(*n->schemas));
	n->schemas[at] = (struct live_schema){inc, schema->id, (uint32_t)shape, schema->start_ns};
	n->nschemas++;
	catalog_use_shape(l->catalog, (uint32_t)shape);
	return 0;
}

static int add_schemas(struct live *l, struct live_node *n, const struct stream *stream)
{
	struct group_state g;
	int err = 0;

	for (size_t i = 0; i < stream_groups(stream) && !err; i++) {
		stream_group(stream, i, &g);
		err = add_schema(l, n, g.schema);
	}
	n->schemas_due = err != 0;
	return err;
}

/* --- records -------------------------------------------------------------------------------- */

static int add_node(struct live *l, size_t node)
{
	const struct nodeset_node *n = &l->set.nodes[node];
	ssize_t at;

	if (l->nodes_cap < l->set.cap) {
		struct live_node *grown = realloc(l->nodes, l->set.cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		memset(grown + l->nodes_cap, 0, (l->set.cap - l->nodes_cap) * sizeof(*grown));
		l->nodes = grown;
		l->nodes_cap = l->set.cap;
	}
	at = catalog_node(l->catalog, n->id, n->name);
	if (at < 0)
		return (int)at;
	l->nodes[node].node = (uint32_t)at;
	l->nodes[node].first_ns = INT64_MAX;
	l->nodes[node].last_ns = INT64_MIN;
	return 0;
}

static int add_incarnation(struct live_node *n, const struct incarnation *inc)
{
	if (n->nincs && n->incs[n->nincs - 1].id == inc->id)
		return 0;
	if (array_reserve(&n->incs, n->nincs + 1, &n->incs_cap, sizeof(*n->incs)))
		return -ENOMEM;
	n->incs[n->nincs++] = *inc;
	n->schemas_due = true;
	return 0;
}

static void note_times(struct live_node *n, const struct snapshot_view *view)
{
	if (n->first_ns > n->last_ns) {
		n->first_seq = view->seq;
		n->first_inc = (uint32_t)n->nincs - 1;
	}
	n->first_ns = view->realtime_ns < n->first_ns ? view->realtime_ns : n->first_ns;
	n->last_ns = view->realtime_ns > n->last_ns ? view->realtime_ns : n->last_ns;
}

static int add_snapshot(struct live *l, struct live_node *n, const struct stream *stream,
	const struct record *rec, bool base)
{
	bool in_state = l->files[l->reading].replay.in_state;
	int err = n->schemas_due ? add_schemas(l, n, stream) : 0;

	if (!err)
		err = array_reserve(
			&n->records, n->nrecords + 1, &n->records_cap, sizeof(*n->records));
	if (err)
		return err;
	n->records[n->nrecords++] = (struct live_record){
		.offset = in_state ? l->packed.len
				   : l->chunk_at + (uint64_t)(rec->payload - l->chunk.data),
		.len = (uint32_t)rec->len,
		.file = in_state ? LIVE_PACKED : l->reading,
		.inc = (uint32_t)n->nincs - 1,
		.base = base,
		.jumped = n->gaps.jumped,
		.gaps = n->gaps.count,
		.seen = gaps_seen(&n->gaps),
	};
	if (in_state)
		buf_put(&l->packed, rec->payload, rec->len);
	return buf_error(&l->packed);
}

/* A record was applied to the stream of a node. */
static int note_record(void *arg, size_t node, const struct record *rec, int result,
	const struct snapshot_view *view)
{
	struct live *l = arg;
	const struct stream *stream = l->set.nodes[node].stream;
	struct live_node *n = &l->nodes[node];
	int err;

	if (result <= 0)
		return 0;
	gaps_note(&n->gaps, stream, result, view);
	err = add_incarnation(n, stream_incarnation(stream));
	n->schemas_due |= rec->type == RECORD_SCHEMA;
	if (err || rec->type != RECORD_SNAPSHOT)
		return err;
	if (result == STREAM_SNAPSHOT)
		note_times(n, view);
	return add_snapshot(l, n, stream, rec, result == STREAM_STATE);
}

/* --- files ---------------------------------------------------------------------------------- */

int live_add_file(struct live *l, int dirfd, uint64_t number)
{
	char name[HEAD_NAME_SIZE];
	int fd, err;

	if (array_reserve(&l->files, l->nfiles + 1, &l->files_cap, sizeof(*l->files)))
		return -ENOMEM;
	snprintf(name, sizeof(name), HEAD_NAME_FORMAT, (unsigned long long)number);
	fd = os->open(dirfd, name, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	buf_reset(&l->chunk);
	err = os_read_rest(fd, 0, RECFILE_SALT_BYTES, &l->chunk);
	if (err) {
		os->close(fd);
		return err;
	}
	l->files[l->nfiles++] = (struct live_file){
		.number = number,
		.fd = fd,
		.pos = RECFILE_HEADER,
		.replay.salt = recfile_salt(l->chunk.data, l->chunk.len),
	};
	return 0;
}

/* Names may change as long as the catalogue lives. */
static int update_names(struct live *l)
{
	for (size_t i = 0; i < l->set.n; i++) {
		const struct nodeset_node *n = &l->set.nodes[i];
		const char *known = l->catalog->nodes[l->nodes[i].node].name;

		if (strcmp(known, n->name) != 0 && catalog_node(l->catalog, n->id, n->name) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int added_node(void *arg, size_t node)
{
	return add_node(arg, node);
}

/* Parses what is new in one file. */
static int read_file(struct live *l, uint32_t index)
{
	struct live_file *f = &l->files[index];
	size_t pos = 0;
	int err;

	buf_reset(&l->chunk);
	err = os_read_rest(f->fd, f->pos, SIZE_MAX, &l->chunk);
	if (err || l->chunk.len == 0)
		return err;
	l->reading = index;
	l->chunk_at = f->pos;
	f->replay.set = &l->set;
	f->replay.applied = note_record;
	f->replay.added = added_node;
	f->replay.arg = l;
	f->replay.samples = 0;
	err = replay_records(&f->replay, l->chunk.data, l->chunk.len, &pos);
	f->pos += pos;
	l->samples += f->replay.samples;
	l->bytes += pos;
	if (err)
		return err;
	err = pos > 0 ? update_names(l) : 0;
	return err ? err : pos > 0;
}

int live_refresh(struct live *l)
{
	int changed = 0;

	for (uint32_t i = 0; i < l->nfiles; i++) {
		int got = read_file(l, i);

		if (got < 0)
			return got;
		changed |= got;
	}
	if (changed)
		l->rows.loaded = false;
	buf_release(&l->chunk); /* it may have been a whole head */
	return changed;
}

ssize_t live_find(const struct live *l, uint32_t node)
{
	for (size_t i = 0; i < l->set.n; i++)
		if (l->nodes[i].node == node)
			return (ssize_t)i;
	return -1;
}
