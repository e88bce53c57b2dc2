/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is said on a link once it stands (docs/WIRE.md).
 *
 * Each POLL makes one snapshot at most; then all that lies behind the cursor goes out as RECORDS and
 * an ANSWER closes it. The ring is read only while the output buffer is short, so a slow gatherer
 * costs no memory.
 */
#include "user/provider/link_int.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <string.h>

#include "user/lib/conf.h"
#include "user/lib/diag.h"
#include "user/lib/frameio.h"
#include "user/lib/util.h"
#include "user/lib/wire.pb-c.h"
#include "user/provider/provider.h"

#define LINK_CHUNK_BYTES  (256u << 10) /* of records in one frame */
#define LINK_OUTPUT_BYTES (512u << 10) /* the ring is not read while this much waits to be sent */
#define LINK_INTERVAL_MIN (100 * NSEC_PER_MSEC)
#define LINK_SILENCE      (10 * NSEC_PER_SEC) /* without a POLL, beside three intervals */

/* --- sending ------------------------------------------------------------------------------------- */

static int link_send(struct link *l, enum frame_type type, const ProtobufCMessage *m)
{
	int rc = frameio_send(l->bev, type, m);

	if (rc)
		link_fail(l, 0, "no memory for a message");
	else
		l->stats.bytes_sent += FRAME_HEADER + protobuf_c_message_get_packed_size(m);
	return rc;
}

void link_send_hello(struct link *l)
{
	Tally__Hello hello = TALLY__HELLO__INIT;

	hello.version = WIRE_VERSION;
	hello.secret = l->furl.secret;
	hello.name = (char *)provider_name(l->provider);
	provider_newest(l->provider, &hello.incarnation, &hello.seq);
	hello.interval_ms = (uint32_t)(provider_interval_ns(l->provider) / NSEC_PER_MSEC);
	hello.software = "tallyd " TALLY_VERSION_TEXT;
	l->state = LINK_HELLO;
	link_send(l, FRAME_HELLO, &hello.base);
}

static void link_send_answer(struct link *l)
{
	Tally__Answer answer = TALLY__ANSWER__INIT;

	answer.id = l->poll_id;
	answer.last = l->done != NULL;
	answer.lost = l->lost_before + l->cursor.lost;
	provider_newest(l->provider, &answer.incarnation, &answer.seq);
	l->sent_incarnation = answer.incarnation;
	l->sent_seq = answer.seq;
	l->last_sent = answer.last;
	l->answering = false;
	if (!link_send(l, FRAME_ANSWER, &answer.base) && !answer.last)
		l->stats.polls++;
}

/* Sends a chunk of the ring. 1: there may be more, 0: the end is reached, negative: link is down. */
static int link_send_chunk(struct link *l, struct buf *chunk)
{
	int n = ring_read(provider_ring(l->provider), &l->cursor, LINK_CHUNK_BYTES, chunk);
	int rc;

	if (n <= 0) {
		if (n < 0)
			link_fail(l, 0, "can't read the ring: %s", strerror(-n));
		return n;
	}
	rc = frameio_send_bytes(l->bev, FRAME_RECORDS, chunk->data, chunk->len);
	if (rc == -E2BIG) {
		/* It would fail for ever: the gatherer gets the rest, and the log names the loss. */
		diag_error("ring: a record of %zu bytes is above the limit of %u for a frame: not "
			   "sent",
			chunk->len, FRAME_BODY_MAX);
		l->cursor.lost++;
		return 1;
	}
	if (rc) {
		link_fail(l, 0, "no memory for records");
		return rc;
	}
	l->stats.records_sent += (uint64_t)n;
	l->stats.bytes_sent += FRAME_HEADER + chunk->len;
	return 1;
}

void link_pump(struct link *l)
{
	struct buf chunk = BUF_INIT;
	int more = 1;

	while (more > 0 && l->answering &&
		evbuffer_get_length(bufferevent_get_output(l->bev)) < LINK_OUTPUT_BYTES) {
		buf_reset(&chunk);
		more = link_send_chunk(l, &chunk);
		if (more == 0)
			link_send_answer(l);
	}
	buf_release(&chunk);
}

/* --- receiving ----------------------------------------------------------------------------------- */

static void link_expect_gatherer(struct link *l, uint64_t interval_ns)
{
	l->silence_ns = 3 * interval_ns + LINK_SILENCE;
	link_set_timer(l->timer, l->silence_ns);
}

void link_begin_last_answer(struct link *l)
{
	l->poll_id = 0;
	l->answering = true;
	link_pump(l);
}

static int link_take_welcome(struct link *l, const struct frame *f)
{
	Tally__Welcome *m = tally__welcome__unpack(NULL, f->len, f->body);
	char peer[300];
	int rc;

	if (!m || l->state != LINK_HELLO) {
		tally__welcome__free_unpacked(m, NULL);
		return -EPROTO;
	}
	rc = ring_seek(provider_ring(l->provider), m->incarnation, m->seq, &l->cursor);
	if (rc) {
		tally__welcome__free_unpacked(m, NULL);
		return rc;
	}
	diag_notice("connected to gatherer \"%.80s\" at %s", m->name ? m->name : "",
		link_peer(l, peer, sizeof(peer)));
	l->state = LINK_READY;
	memset(l->complaints, 0, sizeof(l->complaints));
	l->stats.connected = true;
	l->stats.connects++;
	l->delay_ns = 0;
	link_expect_gatherer(l, m->interval_ms * NSEC_PER_MSEC);
	tally__welcome__free_unpacked(m, NULL);
	if (l->done)
		link_begin_last_answer(l);
	return 0;
}

static int link_take_poll(struct link *l, const struct frame *f)
{
	Tally__Poll *m = tally__poll__unpack(NULL, f->len, f->body);
	uint64_t interval_ns;

	if (!m || l->state != LINK_READY) {
		tally__poll__free_unpacked(m, NULL);
		return -EPROTO;
	}
	interval_ns = m->interval_ms * NSEC_PER_MSEC;
	if (interval_ns < LINK_INTERVAL_MIN)
		interval_ns = LINK_INTERVAL_MIN;
	l->poll_id = m->id;
	tally__poll__free_unpacked(m, NULL);
	if (l->done)
		return 0; /* the last answer is on its way already */
	l->backoff_ns = LINK_BACKOFF_MIN; /* only a gatherer that polls is a good one */
	link_expect_gatherer(l, interval_ns);
	provider_poll(l->provider, interval_ns); /* logs and counts its own failures */
	l->answering = true;
	link_pump(l);
	return 0;
}

static int link_take_ack(struct link *l, const struct frame *f)
{
	Tally__Ack *m = tally__ack__unpack(NULL, f->len, f->body);

	if (!m || l->state != LINK_READY) {
		tally__ack__free_unpacked(m, NULL);
		return -EPROTO;
	}
	l->stats.ack_incarnation = m->incarnation;
	l->stats.ack_seq = m->seq;
	tally__ack__free_unpacked(m, NULL);
	diag_debug("acknowledged: incarnation %016llx seq %llu",
		(unsigned long long)l->stats.ack_incarnation, (unsigned long long)l->stats.ack_seq);
	if (l->done && l->last_sent && l->stats.ack_incarnation == l->sent_incarnation &&
		l->stats.ack_seq >= l->sent_seq)
		link_finish_shutdown(l);
	return 0;
}

static int link_take_refused(struct link *l, const struct frame *f)
{
	Tally__Refused *m = tally__refused__unpack(NULL, f->len, f->body);
	uint64_t pause_ns;

	if (!m)
		return -EPROTO;
	pause_ns = m->retry_after_ms * NSEC_PER_MSEC;
	if (m->code != REFUSED_SHUTDOWN) {
		l->stats.refused++;
		if (pause_ns < LINK_REFUSED_MIN)
			pause_ns = LINK_REFUSED_MIN;
	}
	link_fail(l, pause_ns, "refused us: %.300s", m->reason);
	tally__refused__free_unpacked(m, NULL);
	return 0;
}

static int link_take_frame(struct link *l, const struct frame *f)
{
	switch (f->type) {
	case FRAME_WELCOME:
		return link_take_welcome(l, f);
	case FRAME_REFUSED:
		return link_take_refused(l, f);
	case FRAME_POLL:
		return link_take_poll(l, f);
	case FRAME_ACK:
		return link_take_ack(l, f);
	default:
		return -EPROTO;
	}
}

void link_on_read(struct bufferevent *bev, void *arg)
{
	struct link *l = arg;

	while (l->bev == bev) { /* a frame may end the connection */
		uint8_t body[FRAME_CONTROL_MAX];
		struct frame f;
		size_t size;
		int rc = frameio_peek(bufferevent_get_input(bev), sizeof(body), &f, &size);

		if (!rc)
			return;
		if (rc < 0) {
			link_fail(l, LINK_REFUSED_MIN, "sent something that is no frame");
			return;
		}
		memcpy(body, f.body, f.len);
		f.body = body;
		evbuffer_drain(bufferevent_get_input(bev), size);
		rc = link_take_frame(l, &f);
		if (rc < 0)
			link_fail(l, LINK_REFUSED_MIN, "message of type %u refused: %s", f.type,
				strerror(-rc));
	}
}

void link_on_write(struct bufferevent *bev, void *arg)
{
	struct link *l = arg;

	if (l->answering)
		link_pump(l);
}
