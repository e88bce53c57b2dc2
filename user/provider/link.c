// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The provider's link to one gatherer.
 *
 *   DOWN --timer--> CONNECTING --TLS, key pinned--> HELLO --WELCOME--> READY
 *     ^                 |                             |                  |
 *     +-----------------+-- any failure, a refusal, silence -------------+
 *
 * In READY each POLL makes one snapshot at most; then all that lies behind the cursor goes out as
 * RECORDS and an ANSWER closes it. The ring is read only while the output buffer is short, so a slow
 * gatherer costs no memory.
 */
#include "user/provider/link.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/lib/conf.h"
#include "user/lib/diag.h"
#include "user/lib/frameio.h"
#include "user/lib/util.h"
#include "user/lib/wire.pb-c.h"
#include "user/provider/provider.h"

#define LINK_CHUNK_BYTES  (256u << 10) /* of records in one frame */
#define LINK_OUTPUT_BYTES (512u << 10) /* the ring is not read while this much waits to be sent */
#define LINK_BACKOFF_MIN  (NSEC_PER_SEC / 4)
#define LINK_BACKOFF_MAX  (60 * NSEC_PER_SEC)
#define LINK_REFUSED_MIN  (10 * NSEC_PER_SEC) /* first pause after a refusal */
#define LINK_HANDSHAKE    (15 * NSEC_PER_SEC) /* from dialling to WELCOME */
#define LINK_SILENCE      (10 * NSEC_PER_SEC) /* without a POLL, beside three intervals */

enum link_state { LINK_DOWN, LINK_CONNECTING, LINK_HELLO, LINK_READY };

struct link {
	struct event_base *base;
	struct provider *provider;
	struct furl furl;
	SSL_CTX *ctx;
	struct evdns_base *dns; /* made when the first host name has to be looked up */
	struct bufferevent *bev;
	struct event *timer; /* DOWN: next attempt. Else: patience with the gatherer. */
	enum link_state state;
	size_t host; /* of the furl; the one that is tried or used */
	uint64_t backoff_ns, backoff_max_ns, delay_ns;
	struct ring_cursor cursor;
	uint64_t lost_before; /* lost in the cursors of earlier connections */
	bool answering; /* a POLL, or the shutdown, is not fully answered */
	uint64_t poll_id;
	uint64_t silence_ns; /* how long the gatherer may say nothing */
	char complaint[512]; /* the last failure that was logged: each is told once */
	struct event *shutdown_timer;
	void (*done)(void *arg); /* set while shutting down */
	void *done_arg;
	bool last_sent;
	uint64_t sent_incarnation, sent_seq; /* of the last ANSWER */
	struct link_stats stats;
};

static void link_dial(struct link *l);
static void link_pump(struct link *l);

static void link_set_timer(struct event *timer, uint64_t ns)
{
	struct timeval tv = {.tv_sec = (time_t)(ns / NSEC_PER_SEC),
		.tv_usec = (suseconds_t)(ns % NSEC_PER_SEC / 1000)};

	evtimer_add(timer, &tv);
}

static const char *link_peer(const struct link *l, char *out, size_t size)
{
	bool v6 = strchr(l->furl.hosts[l->host].host, ':');

	snprintf(out, size, "%s%s%s:%s", v6 ? "[" : "", l->furl.hosts[l->host].host, v6 ? "]" : "",
		l->furl.hosts[l->host].port);
	return out;
}

/* --- ends ---------------------------------------------------------------------------------------- */

/* From the event loop, not from here: who is told may free the link. */
static void link_finish_shutdown(struct link *l)
{
	if (l->done)
		event_active(l->shutdown_timer, EV_TIMEOUT, 0);
}

static void link_hang_up(struct link *l)
{
	if (l->bev)
		bufferevent_free(l->bev);
	l->bev = NULL;
	l->state = LINK_DOWN;
	l->answering = false;
	l->lost_before += l->cursor.lost;
	l->cursor.lost = 0;
	l->stats.connected = false;
	evtimer_del(l->timer);
}

/* Half of the delay is random, so that a thousand providers do not come back at one moment. */
static uint64_t link_jitter(uint64_t ns)
{
	uint32_t r = 0;

	if (random_bytes(&r, sizeof(r)))
		r = 0;
	return ns / 2 + (uint64_t)((double)(ns / 2) * ((double)r / UINT32_MAX));
}

/* The next attempt: at once with the next host of the furl, after a pause when all were tried. */
static void link_retry_later(struct link *l, uint64_t at_least_ns)
{
	uint64_t delay = 0;

	l->host = (l->host + 1) % l->furl.nhosts;
	if (l->host == 0) {
		delay = l->backoff_ns > at_least_ns ? l->backoff_ns : at_least_ns;
		if (delay > l->backoff_max_ns)
			delay = l->backoff_max_ns;
		l->backoff_ns = 2 * delay;
		delay = link_jitter(delay);
	}
	l->delay_ns = delay;
	link_set_timer(l->timer, delay);
}

/* One connection, or one attempt at it, is over. Each complaint is told once until it changes. */
static void link_fail(struct link *l, uint64_t at_least_ns, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void link_fail(struct link *l, uint64_t at_least_ns, const char *fmt, ...)
{
	char why[400], peer[300], text[sizeof(l->complaint)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	snprintf(text, sizeof(text), "gatherer %.80s: %s", link_peer(l, peer, sizeof(peer)), why);
	if (strcmp(text, l->complaint))
		diag_warning("%s; trying again", text);
	else
		diag_debug("%s, again", text);
	memcpy(l->complaint, text, sizeof(text));
	if (l->state != LINK_READY)
		l->stats.failures++;
	link_hang_up(l);
	if (l->done)
		link_finish_shutdown(l);
	else
		link_retry_later(l, at_least_ns);
}

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

static void link_send_hello(struct link *l)
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

/* Goes on when the output has drained: link_on_write() calls it again. */
static void link_pump(struct link *l)
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

static void link_begin_last_answer(struct link *l)
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
	l->complaint[0] = '\0';
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

static void link_on_read(struct bufferevent *bev, void *arg)
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

static void link_on_write(struct bufferevent *bev, void *arg)
{
	struct link *l = arg;

	if (l->answering)
		link_pump(l);
}

/* --- connecting ---------------------------------------------------------------------------------- */

/* Before anything is said: is this the gatherer that the furl names? */
static void link_check_pin(struct link *l)
{
	char want[FINGERPRINT_SIZE], got[FINGERPRINT_SIZE] = "none";
	uint8_t id[NODE_ID_SIZE];
	int rc = tls_peer_id(bufferevent_openssl_get_ssl(l->bev), id);

	if (!rc && !CRYPTO_memcmp(id, l->furl.id, sizeof(id))) {
		link_send_hello(l);
		return;
	}
	if (!rc)
		fingerprint_format(id, got);
	fingerprint_format(l->furl.id, want);
	l->stats.refused++;
	link_fail(l, LINK_REFUSED_MIN,
		"has another key than the furl says: it shows %s, the furl names %s; nothing was "
		"told "
		"to it",
		got, want);
}

static void link_explain_error(struct link *l, char *out, size_t size)
{
	unsigned long ssl_error = bufferevent_get_openssl_error(l->bev);
	int dns_error = bufferevent_socket_get_dns_error(l->bev);
	int socket_error = EVUTIL_SOCKET_ERROR();

	if (ssl_error)
		snprintf(out, size, "TLS: %s", ERR_reason_error_string(ssl_error));
	else if (dns_error)
		snprintf(out, size, "name lookup: %s", evutil_gai_strerror(dns_error));
	else
		snprintf(out, size, "%s",
			socket_error ? strerror(socket_error) : "connection closed");
}

static void link_on_event(struct bufferevent *bev, short what, void *arg)
{
	struct link *l = arg;
	char why[200];

	if (what & BEV_EVENT_CONNECTED) {
		link_check_pin(l);
	} else if (what & BEV_EVENT_EOF) {
		link_fail(l, 0,
			l->state == LINK_READY ? "closed the connection"
					       : "closed the connection before its welcome");
	} else if (what & BEV_EVENT_ERROR) {
		link_explain_error(l, why, sizeof(why));
		link_fail(l, 0, "%s", why);
	}
}

static void link_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;

	if (l->state == LINK_DOWN)
		link_dial(l);
	else if (l->state == LINK_READY)
		link_fail(l, 0, "no poll for %llu s",
			(unsigned long long)(l->silence_ns / NSEC_PER_SEC));
	else
		link_fail(l, 0, "no welcome within %llu s", LINK_HANDSHAKE / NSEC_PER_SEC);
}

static bool host_is_address(const char *host)
{
	struct in6_addr addr;

	return inet_pton(AF_INET, host, &addr) == 1 || inet_pton(AF_INET6, host, &addr) == 1;
}

/* An address is parsed at once; only a name needs the resolver, which never blocks the loop. */
static int link_connect_host(struct link *l)
{
	const char *host = l->furl.hosts[l->host].host;
	int port = atoi(l->furl.hosts[l->host].port);

	if (!host_is_address(host) && !l->dns) {
		l->dns = evdns_base_new(l->base,
			EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
		if (!l->dns)
			return -ENOMEM;
	}
	return bufferevent_socket_connect_hostname(l->bev, l->dns, AF_UNSPEC, host, port) ? -EIO
											  : 0;
}

static int link_make_bufferevent(struct link *l)
{
	SSL *ssl = SSL_new(l->ctx);

	if (!ssl)
		return -ENOMEM;
	l->bev = bufferevent_openssl_socket_new(
		l->base, -1, ssl, BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE);
	if (!l->bev) {
		SSL_free(ssl);
		return -ENOMEM;
	}
	bufferevent_openssl_set_allow_dirty_shutdown(l->bev, 1);
	bufferevent_setcb(l->bev, link_on_read, link_on_write, link_on_event, l);
	bufferevent_enable(l->bev, EV_READ | EV_WRITE);
	return 0;
}

static void link_dial(struct link *l)
{
	l->state = LINK_CONNECTING;
	if (link_make_bufferevent(l)) {
		link_fail(l, 0, "no memory for a connection");
		return;
	}
	link_set_timer(l->timer, LINK_HANDSHAKE);
	if (link_connect_host(l) && l->state == LINK_CONNECTING && l->bev)
		link_fail(l, 0, "can't connect: %s", strerror(EVUTIL_SOCKET_ERROR()));
}

static void link_on_shutdown_timer(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	void (*done)(void *) = l->done;

	if (!done)
		return;
	l->done = NULL;
	evtimer_del(l->shutdown_timer);
	link_hang_up(l);
	done(l->done_arg); /* may free l */
}

/* --- public -------------------------------------------------------------------------------------- */

struct link *link_new(struct event_base *base, struct provider *p, const struct furl *furl,
	const struct identity *id, struct errmsg *e)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l) {
		err_set(e, -ENOMEM, "link: no memory");
		return NULL;
	}
	l->base = base;
	l->provider = p;
	l->furl = *furl;
	l->backoff_ns = LINK_BACKOFF_MIN;
	l->backoff_max_ns = LINK_BACKOFF_MAX;
	l->ctx = tls_context(id, false, e);
	l->timer = evtimer_new(base, link_on_timer, l);
	l->shutdown_timer = evtimer_new(base, link_on_shutdown_timer, l);
	if (l->ctx && l->timer && l->shutdown_timer)
		return l;
	if (l->ctx)
		err_set(e, -ENOMEM, "link: no memory");
	link_free(l);
	return NULL;
}

void link_set_backoff_max(struct link *l, uint64_t ns)
{
	l->backoff_max_ns = ns;
}

void link_start(struct link *l)
{
	link_set_timer(l->timer, 0);
}

void link_shutdown(struct link *l, uint64_t timeout_ns, void (*done)(void *arg), void *arg)
{
	l->done = done;
	l->done_arg = arg;
	link_set_timer(l->shutdown_timer, timeout_ns);
	if (l->state == LINK_READY)
		link_begin_last_answer(l);
	else if (l->state == LINK_DOWN)
		link_set_timer(l->timer, 0); /* one more attempt: it may be there again */
}

void link_free(struct link *l)
{
	if (!l)
		return;
	if (l->bev)
		bufferevent_free(l->bev);
	if (l->timer)
		event_free(l->timer);
	if (l->shutdown_timer)
		event_free(l->shutdown_timer);
	if (l->dns)
		evdns_base_free(l->dns, 0);
	SSL_CTX_free(l->ctx);
	explicit_bzero(l->furl.secret, sizeof(l->furl.secret));
	free(l);
}

void link_stats(const struct link *l, struct link_stats *ret)
{
	*ret = l->stats;
	ret->lost_snapshots = l->lost_before + l->cursor.lost;
	ret->retry_delay_ns = l->state == LINK_DOWN ? l->delay_ns : 0;
}
