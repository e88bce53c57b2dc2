/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sealing. The records of all nodes are mixed in a head, and a sealed file has one node after the
 * other: a first pass lists where each stream's records are, a second one replays stream by stream, so
 * that the rows of one node at a time are in memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/array.h"
#include "gatherer/store/collect.h"
#include "gatherer/store/nodeset.h"
#include "gatherer/store/os.h"
#include "gatherer/store/packed.h"
#include "gatherer/store/seal.h"

#define STREAMS_MAX (1u << 20)

struct place {
	uint64_t offset;
	uint32_t stream;
};

struct seal {
	struct buf head; /* the whole file */
	uint32_t salt;
	size_t n, cap;
	struct place *places; /* in order of the file, then of streams */
	size_t nstreams;
	size_t *begins; /* of stream i: places[begins[i]] to places[begins[i + 1]] */
	struct sealed_writer *w;
};

static void seal_release(struct seal *s)
{
	buf_release(&s->head);
	free(s->places);
	free(s->begins);
	sealed_writer_free(s->w);
}

static int read_head(int dirfd, uint64_t number, struct buf *out)
{
	char name[HEAD_NAME_SIZE];
	int fd, err;

	snprintf(name, sizeof(name), HEAD_NAME_FORMAT, (unsigned long long)number);
	fd = os->open(dirfd, name, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	err = os_read_rest(fd, 0, SIZE_MAX, out);
	os->close(fd);
	return err;
}

/* --- first pass ----------------------------------------------------------------------------- */

static int add_place(struct seal *s, const struct record *rec)
{
	if (rec->stream >= STREAMS_MAX)
		return 0;
	if (array_reserve(&s->places, s->n + 1, &s->cap, sizeof(*s->places)))
		return -ENOMEM;
	s->places[s->n++] = (struct place){.offset = rec->offset, .stream = rec->stream};
	if (rec->stream >= s->nstreams)
		s->nstreams = rec->stream + 1;
	return 0;
}

static int list_records(struct seal *s)
{
	struct recscan scan = {
		.data = s->head.data,
		.len = s->head.len,
		.pos = RECFILE_HEADER,
		.salt = s->salt,
	};
	struct record rec;
	int got, err = 0;

	while (!err && (got = recscan_next(&scan, &rec)) != 0) {
		if (got == 1)
			err = add_place(s, &rec);
	}
	return err;
}

/* Counting sort: stable, so that each stream's records stay in order. */
static int sort_places(struct seal *s)
{
	struct place *sorted = malloc((s->n + 1) * sizeof(*sorted));

	s->begins = calloc(s->nstreams + 2, sizeof(*s->begins));
	if (!sorted || !s->begins) {
		free(sorted);
		return -ENOMEM;
	}
	for (size_t i = 0; i < s->n; i++)
		s->begins[s->places[i].stream + 2]++;
	for (size_t i = 2; i < s->nstreams + 2; i++)
		s->begins[i] += s->begins[i - 1];
	for (size_t i = 0; i < s->n; i++)
		sorted[s->begins[s->places[i].stream + 1]++] = s->places[i];
	free(s->places);
	s->places = sorted;
	return 0;
}

/* --- second pass ---------------------------------------------------------------------------- */

struct node_pass {
	struct seal *seal;
	struct stream *stream;
	struct collector *collector;
	bool known; /* its NODE record has been met */
};

static int pass_node(struct node_pass *p, const struct record *rec)
{
	struct noderec *n;
	int err;

	if (p->known)
		return 0; /* a new name: the file keeps the first */
	n = malloc(sizeof(*n));
	err = n ? noderec_parse(rec->payload, rec->len, n) : -ENOMEM;
	for (size_t i = 0; !err && i < n->npast; i++)
		stream_add_past(p->stream, n->past[i].incarnation, n->past[i].seq);
	if (!err)
		err = sealed_writer_node(p->seal->w, n->id, n->name);
	p->known = !err;
	free(n);
	return err == -EBADMSG || err == -EPROTO ? 0 : err;
}

static int pass_applicable(struct node_pass *p, const struct record *rec)
{
	struct snapshot_view view;
	int result = stream_apply(p->stream, rec->type, rec->payload, rec->len, &view);
	if (result < 0)
		return result == -ENOMEM ? result : 0; /* it refers to something damaged */
	return collector_take(p->collector, p->stream, result, &view);
}

static int pass_state(struct node_pass *p, const struct record *state)
{
	struct buf records = BUF_INIT;
	int err = packed_unpack(state, &records);
	struct recscan scan = {.data = records.data, .len = records.len};
	struct record rec;

	while (!err && recscan_next(&scan, &rec) == 1)
		err = pass_applicable(p, &rec);
	buf_release(&records);
	return err == -EBADMSG ? 0 : err;
}

static int pass_record(struct node_pass *p, const struct record *rec)
{
	if (rec->type == RECORD_NODE)
		return pass_node(p, rec);
	if (!p->known)
		return 0;
	return rec->type == RECORD_STATE ? pass_state(p, rec) : pass_applicable(p, rec);
}

/* Which incarnations must not come again, should the heads behind this file be lost. */
static int put_past(struct node_pass *p)
{
	const struct incarnation *inc = stream_incarnation(p->stream);
	const struct stream_past *past;
	struct stream_past all[STREAM_PAST_MAX + 1];
	size_t n = stream_past(p->stream, &past);

	memcpy(all, past, n * sizeof(*all));
	if (inc)
		all[n++] = (struct stream_past){inc->id, stream_seq(p->stream)};
	return sealed_writer_past(p->seal->w, all, n);
}

static int seal_stream(struct seal *s, size_t stream)
{
	struct node_pass p = {
		.seal = s,
		.stream = stream_new(),
		.collector = collector_new(s->w),
	};
	int err = p.stream && p.collector ? 0 : -ENOMEM;

	for (size_t i = s->begins[stream]; i < s->begins[stream + 1] && !err; i++) {
		uint64_t at = s->places[i].offset;
		struct record rec;

		if (record_parse(s->head.data + at, s->head.len - at, s->salt, &rec) > 0)
			err = pass_record(&p, &rec);
	}
	if (!err && p.known)
		err = collector_finish(p.collector);
	if (!err && p.known)
		err = put_past(&p);
	collector_free(p.collector);
	stream_free(p.stream);
	return err;
}

int seal_head(int dirfd, uint64_t number, uint64_t *ret_size)
{
	struct seal s = {0};
	int err = read_head(dirfd, number, &s.head);

	s.salt = recfile_salt(s.head.data, s.head.len);
	if (!err)
		err = list_records(&s);
	if (!err)
		err = sort_places(&s);
	if (!err)
		err = sealed_writer_new(dirfd, number, &s.w);
	for (size_t i = 0; i < s.nstreams && !err; i++)
		err = seal_stream(&s, i);
	if (!err)
		err = sealed_writer_finish(s.w, ret_size);
	seal_release(&s);
	return err;
}
