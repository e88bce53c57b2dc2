/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What comes in. Records are appended to history as they are; the store decides what is new. An
 * acknowledgement names what the store says is durable, so it can't promise more than that.
 */
#include "gatherer/ingest.h"

#include <string.h>

#include "gatherer/commit.h"
#include "gatherer/peer.h"
#include "gatherer/poll.h"
#include "user/lib/diag.h"
#include "user/lib/recfile.h"
#include "user/lib/wire.pb-c.h"

static void ingest_count(
	struct gatherer *g, const struct record *rec, int result, const struct snapshot_view *view)
{
	g->stats.records++;
	if (result == STREAM_OLD && rec->type == RECORD_SNAPSHOT)
		g->stats.duplicates++;
	if (result != STREAM_SNAPSHOT)
		return;
	g->stats.snapshots++;
	g->stats.skipped_groups += view->nskipped;
	for (size_t i = 0; i < view->ngroups; i++)
		g->stats.samples += view->groups[i].schema->n;
}

static int ingest_record(struct node *n, const struct record *rec, struct errmsg *e)
{
	struct snapshot_view view;
	int rc;

	if (rec->stream != 0 || rec->type == RECORD_NODE)
		return err_set(e, -EPROTO,
			"a record of type %u for stream %u has no place on the wire", rec->type,
			rec->stream);
	rc = store_append(n->g->store, n->index, rec, &view);
	if (rc < 0 && rec->type >= RECORD_CRITICAL)
		return err_set(e, rc,
			"a record of type %u must be understood: made by a newer version",
			rec->type);
	if (rc < 0)
		return err_set(e, rc, "record of type %u, %zu bytes: %s", rec->type, rec->len,
			rc == -EBADMSG ? "damaged" : strerror(-rc));
	ingest_count(n->g, rec, rc, &view);
	return 0;
}

int ingest_records(struct node *n, const uint8_t *p, size_t len, struct errmsg *e)
{
	const uint8_t *end = p + len;

	n->heard = true;
	n->g->stats.bytes += FRAME_HEADER + len;
	while (p < end) {
		struct record rec;
		ssize_t size = record_parse(p, (size_t)(end - p), 0, &rec);
		int rc;

		if (size <= 0)
			return err_set(e, -EBADMSG,
				"no whole record %zu bytes before a frame's end",
				(size_t)(end - p));
		rc = ingest_record(n, &rec, e);
		if (rc)
			return rc;
		p += size;
	}
	return 0;
}

void ingest_want_ack(struct node *n, bool now)
{
	n->ack_wanted = true;
	n->ack_ticket = commit_request(n->g->commit, now);
}

int ingest_answer(struct node *n, const uint8_t *p, size_t len)
{
	Tally__Answer *m = tally__answer__unpack(NULL, len, p);

	if (!m)
		return -EPROTO;
	n->g->stats.answers++;
	n->g->stats.bytes += FRAME_HEADER + len;
	n->left_in_order = m->last;
	poll_answered(n, m->id);
	ingest_want_ack(n, m->last); /* who goes down waits for it */
	tally__answer__free_unpacked(m, NULL);
	return 0;
}

static void ingest_send_ack(struct node *n)
{
	Tally__Ack ack = TALLY__ACK__INIT;

	n->ack_wanted = false;
	if (!n->peer)
		return;
	store_durable(n->g->store, n->index, &ack.incarnation, &ack.seq);
	if (ack.seq)
		peer_send(n->peer, FRAME_ACK, &ack.base);
}

void ingest_committed(struct gatherer *g)
{
	int error;
	uint64_t done = commit_done(g->commit, &error);

	if (error)
		g->stats.commit_errors++;
	g->commit_failing = error != 0;
	for (size_t i = 0; i < g->nnodes; i++)
		if (g->nodes[i]->ack_wanted && g->nodes[i]->ack_ticket <= done)
			ingest_send_ack(g->nodes[i]);
}
