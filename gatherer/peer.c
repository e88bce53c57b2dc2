/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One accepted connection. gatherer/peer.h draws its states. */
#include "gatherer/peer.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gatherer/ingest.h"
#include "gatherer/node.h"
#include "gatherer/poll.h"
#include "user/lib/diag.h"
#include "user/lib/frameio.h"
#include "user/lib/util.h"
#include "user/lib/wire.pb-c.h"

#define PEER_STEP_SECONDS   10 /* for the handshake, and again for HELLO */
#define PEER_LINGER_SECONDS 2
#define PEERS_PENDING_MAX   256u /* connections that are not welcomed yet */
#define PEER_LOG_EVERY      (60 * NSEC_PER_SEC)
#define PEER_RETRY_LIMIT_MS 60000u
#define PEER_OUTPUT_MAX     65536u /* polls and acknowledgements that a peer does not read */

enum peer_state { PEER_HANDSHAKE, PEER_HELLO, PEER_WELCOMED, PEER_LINGER };

struct peer {
	TAILQ_ENTRY(peer) entry;
	struct gatherer *g;
	struct bufferevent *bev;
	struct event *timer; /* limits every state but WELCOMED */
	enum peer_state state;
	bool busy, dead; /* closed inside its own callback: freed at that one's end */
	uint8_t id[NODE_ID_SIZE];
	struct node *node; /* while this is the node's connection */
	uint32_t address_hash;
	char address[64];
};

const char *refused_for_name(enum refused_for why)
{
	static const char *const names[REFUSED_FOR_KINDS] = {
		[REFUSED_FOR_TLS] = "tls",
		[REFUSED_FOR_TIMEOUT] = "timeout",
		[REFUSED_FOR_PROTOCOL] = "protocol",
		[REFUSED_FOR_VERSION] = "version",
		[REFUSED_FOR_SECRET] = "secret",
		[REFUSED_FOR_LIMIT] = "limit",
		[REFUSED_FOR_RECORD] = "record",
		[REFUSED_FOR_DISK] = "disk",
	};

	return names[why];
}

/* What Refused.code says of it (user/lib/frame.h). */
static enum refusal refused_code(enum refused_for why)
{
	switch (why) {
	case REFUSED_FOR_VERSION:
		return REFUSED_VERSION;
	case REFUSED_FOR_SECRET:
		return REFUSED_SECRET;
	case REFUSED_FOR_LIMIT:
	case REFUSED_FOR_DISK:
		return REFUSED_LIMIT;
	default:
		return REFUSED_PROTOCOL;
	}
}

static uint32_t text_hash(uint32_t hash, const char *text)
{
	while (*text)
		hash = hash * 31 + (unsigned char)*text++;
	return hash;
}

static void peer_set_timer(struct peer *p, int seconds)
{
	struct timeval tv = {.tv_sec = seconds};

	evtimer_add(p->timer, &tv);
}

/* --- the end ------------------------------------------------------------------------------------- */

static void peer_leave_node(struct peer *p)
{
	if (!p->node)
		return;
	poll_end(p->node);
	p->node->peer = NULL;
	p->node = NULL;
	p->g->nwelcomed--;
}

void peer_close(struct peer *p, const char *why)
{
	if (p->dead)
		return;
	if (p->node) {
		diag(p->node->left_in_order ? DIAG_INFO : DIAG_NOTICE,
			"provider \"%s\" at %s disconnected: %s", p->node->name, p->address,
			p->node->left_in_order ? "it went down in order"
			: why                  ? why
					       : "closed");
		p->g->stats.disconnects++;
	}
	peer_leave_node(p);
	TAILQ_REMOVE(&p->g->peers, p, entry);
	p->g->npeers--;
	bufferevent_free(p->bev);
	event_free(p->timer);
	p->dead = true;
	if (!p->busy)
		free(p);
}

void peers_close_all(struct gatherer *g)
{
	struct peer *p;

	while ((p = TAILQ_FIRST(&g->peers)))
		peer_close(p, "the gatherer goes down");
}

/* Our word is out: the other side closes. Until then its bytes are read, or a reset could overtake. */
static void peer_linger(struct peer *p)
{
	shutdown(bufferevent_getfd(p->bev), SHUT_WR);
	peer_set_timer(p, PEER_LINGER_SECONDS);
}

/*
 * The same about the same address is said once a minute. Two that share a slot would be said each time
 * by turns; the limit for all keeps that from becoming a flood.
 */
static bool peer_may_log(struct peer *p, const char *text)
{
	uint32_t who = p->node ? text_hash(p->address_hash, p->node->fingerprint) : p->address_hash;
	uint32_t about = text_hash(who, text);
	struct log_limit *l = &p->g->log_limits[about % LOG_LIMITS];
	uint64_t now_ns = clock_monotonic_ns();

	if (l->about != about)
		*l = (struct log_limit){.about = about};
	if (!diag_allowed(&l->limit, now_ns, PEER_LOG_EVERY))
		return false;
	if (now_ns >= p->g->log_second.next_ns)
		p->g->logged = 0;
	if (p->g->logged++ < LOG_PER_SECOND && p->g->logged > 1)
		return true;
	return diag_allowed(&p->g->log_second, now_ns, NSEC_PER_SEC);
}

static void peer_log_refusal(struct peer *p, enum refused_for why, const char *text)
{
	p->g->stats.refused[why]++;
	if (!peer_may_log(p, text))
		return;
	if (p->node)
		diag_warning("refused provider \"%s\" at %s (%s): %s", p->node->name, p->address,
			refused_for_name(why), text);
	else
		diag_warning("refused a connection from %s (%s): %s", p->address,
			refused_for_name(why), text);
}

static void peer_send_refused(
	struct peer *p, enum refused_for why, uint32_t retry_after_ms, char *text)
{
	Tally__Refused refused = TALLY__REFUSED__INIT;

	p->state = PEER_LINGER;
	peer_set_timer(p, PEER_LINGER_SECONDS);
	refused.reason = text;
	refused.code = refused_code(why);
	refused.retry_after_ms = retry_after_ms;
	peer_send(p, FRAME_REFUSED, &refused.base);
}

void peer_refuse(
	struct peer *p, enum refused_for why, uint32_t retry_after_ms, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	peer_log_refusal(p, why, text);
	peer_leave_node(p);
	if (p->state == PEER_HANDSHAKE)
		peer_close(p, NULL); /* there is no channel to say it in */
	else
		peer_send_refused(p, why, retry_after_ms, text);
}

int peer_send(struct peer *p, enum frame_type type, const ProtobufCMessage *m)
{
	int rc = frameio_send(p->bev, type, m);

	if (!rc && evbuffer_get_length(bufferevent_get_output(p->bev)) > PEER_OUTPUT_MAX)
		rc = -ENOBUFS;
	if (rc)
		peer_close(p, rc == -ENOBUFS ? "it does not read what it is sent" : "no memory");
	return rc;
}

/* --- HELLO --------------------------------------------------------------------------------------- */

/* Takes the same time for every wrong secret: both are compared at full size. */
static bool peer_knows_secret(const struct peer *p, const char *secret)
{
	char ours[128] = "", theirs[128] = "";
	bool same;

	strncpy(ours, p->g->secret, sizeof(ours) - 1);
	strncpy(theirs, secret, sizeof(theirs) - 1);
	same = !CRYPTO_memcmp(ours, theirs, sizeof(ours)) && strlen(secret) < sizeof(theirs);
	explicit_bzero(ours, sizeof(ours));
	explicit_bzero(theirs, sizeof(theirs));
	return same;
}

static void peer_welcome(struct peer *p, struct node *n)
{
	Tally__Welcome welcome = TALLY__WELCOME__INIT;

	if (n->peer) {
		n->g->stats.replaced++;
		peer_close(n->peer, "a newer connection of the same provider takes its place");
	}
	n->peer = p;
	n->left_in_order = false;
	n->interval_ns = config_interval(p->g->cfg, n->fingerprint, n->name);
	p->node = n;
	p->state = PEER_WELCOMED;
	p->g->nwelcomed++;
	p->g->stats.welcomes++;
	evtimer_del(p->timer);
	welcome.version = WIRE_VERSION;
	welcome.interval_ms = (uint32_t)(n->interval_ns / NSEC_PER_MSEC);
	welcome.name = p->g->cfg->name;
	store_last(p->g->store, n->index, &welcome.incarnation, &welcome.seq);
	diag_notice("provider \"%s\" (%s) connected from %s", n->name, n->fingerprint, p->address);
	if (!peer_send(p, FRAME_WELCOME, &welcome.base))
		poll_begin(n);
}

static void peer_take_hello(struct peer *p, const Tally__Hello *m)
{
	struct node *n;
	int rc;

	if (m->version != WIRE_VERSION) {
		peer_refuse(p, REFUSED_FOR_VERSION, PEER_RETRY_LIMIT_MS,
			"protocol version %u is not spoken here, %u is", m->version, WIRE_VERSION);
		return;
	}
	if (!peer_knows_secret(p, m->secret)) {
		peer_refuse(p, REFUSED_FOR_SECRET, PEER_RETRY_LIMIT_MS,
			"wrong secret: the furl is not, or no longer, that of this gatherer");
		return;
	}
	if (!memcmp(p->id, identity_id(p->g->identity), NODE_ID_SIZE)) {
		peer_refuse(p, REFUSED_FOR_PROTOCOL, PEER_RETRY_LIMIT_MS,
			"that is the gatherer's own key: each provider needs one of its own");
		return;
	}
	rc = node_get(p->g, p->id, m->name, &n);
	if (rc == -E2BIG)
		peer_refuse(p, REFUSED_FOR_LIMIT, PEER_RETRY_LIMIT_MS,
			"max-providers (%u) is reached", p->g->cfg->max_providers);
	else if (rc)
		peer_refuse(p, REFUSED_FOR_DISK, PEER_RETRY_LIMIT_MS,
			"history can't take another provider: %s", strerror(-rc));
	else
		peer_welcome(p, n);
}

/* --- frames -------------------------------------------------------------------------------------- */

static void peer_frame_hello(struct peer *p, const struct frame *f)
{
	Tally__Hello *m = NULL;

	if (f->type == FRAME_HELLO)
		m = tally__hello__unpack(NULL, f->len, f->body);
	if (m)
		peer_take_hello(p, m);
	else
		peer_refuse(p, REFUSED_FOR_PROTOCOL, 0, "no HELLO at the beginning");
	tally__hello__free_unpacked(m, NULL);
}

static void peer_frame_records(struct peer *p, const struct frame *f)
{
	struct errmsg e = {""};
	int rc = ingest_records(p->node, f->body, f->len, &e);

	if (rc == -EBADMSG || rc == -EPROTO || rc == -E2BIG)
		peer_refuse(p, REFUSED_FOR_RECORD, PEER_RETRY_LIMIT_MS, "%s", e.text);
	else if (rc)
		peer_refuse(p, REFUSED_FOR_DISK, PEER_RETRY_LIMIT_MS,
			"history can't be written: %s", strerror(-rc));
}

static void peer_take_frame(struct peer *p, const struct frame *f)
{
	if (p->state == PEER_HELLO)
		peer_frame_hello(p, f);
	else if (f->type == FRAME_RECORDS)
		peer_frame_records(p, f);
	else if (f->type != FRAME_ANSWER || f->len > FRAME_CONTROL_MAX ||
		 ingest_answer(p->node, f->body, f->len))
		peer_refuse(p, REFUSED_FOR_PROTOCOL, 0, "unexpected message of type %u, %zu bytes",
			f->type, f->len);
}

/* 1: a frame was taken, 0: there is no whole one. */
static int peer_next_frame(struct peer *p)
{
	struct evbuffer *in = bufferevent_get_input(p->bev);
	size_t size, max = p->state == PEER_WELCOMED ? FRAME_BODY_MAX : FRAME_CONTROL_MAX;
	struct frame f;
	int rc = frameio_peek(in, max, &f, &size);

	if (rc < 0)
		peer_refuse(p, REFUSED_FOR_PROTOCOL, 0, "something that is no frame");
	if (rc <= 0)
		return 0;
	peer_take_frame(p, &f);
	if (!p->dead)
		evbuffer_drain(in, size);
	return 1;
}

static void peer_on_read(struct bufferevent *bev, void *arg)
{
	struct peer *p = arg;

	p->busy = true;
	while (!p->dead && p->state != PEER_LINGER && peer_next_frame(p) > 0)
		;
	if (!p->dead && p->state == PEER_LINGER)
		evbuffer_drain(bufferevent_get_input(bev), SIZE_MAX);
	p->busy = false;
	if (p->dead)
		free(p);
}

static void peer_on_write(struct bufferevent *bev, void *arg)
{
	struct peer *p = arg;

	if (p->state == PEER_LINGER)
		peer_linger(p);
}

static void peer_on_connected(struct peer *p)
{
	if (tls_peer_id(bufferevent_openssl_get_ssl(p->bev), p->id)) {
		peer_refuse(p, REFUSED_FOR_TLS, 0, "a certificate without a usable key");
		return;
	}
	p->state = PEER_HELLO;
	peer_set_timer(p, PEER_STEP_SECONDS);
}

static void peer_on_error(struct peer *p, short what)
{
	unsigned long ssl_error = bufferevent_get_openssl_error(p->bev);
	const char *text = ssl_error ? ERR_reason_error_string(ssl_error) : NULL;

	if (!text)
		text = what & BEV_EVENT_EOF ? "connection closed" : strerror(errno);
	if (p->state == PEER_HANDSHAKE)
		peer_refuse(
			p, REFUSED_FOR_TLS, 0, "no TLS 1.3 handshake with a certificate: %s", text);
	else if (p->state == PEER_HELLO)
		peer_refuse(p, REFUSED_FOR_PROTOCOL, 0, "no HELLO: %s", text);
	else
		peer_close(p, text);
}

static void peer_on_event(struct bufferevent *bev, short what, void *arg)
{
	struct peer *p = arg;

	p->busy = true;
	if (what & BEV_EVENT_CONNECTED)
		peer_on_connected(p);
	else if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		peer_on_error(p, what);
	p->busy = false;
	if (p->dead)
		free(p);
}

static void peer_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;

	if (p->state == PEER_LINGER)
		peer_close(p, NULL);
	else
		peer_refuse(p, REFUSED_FOR_TIMEOUT, 0, "%s within %d s",
			p->state == PEER_HELLO ? "no HELLO" : "no TLS handshake",
			PEER_STEP_SECONDS);
}

/* --- the beginning ------------------------------------------------------------------------------- */

static void peer_set_address(struct peer *p, const struct sockaddr *addr)
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (addr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;

		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(p->address, sizeof(p->address), "[%s]:%u", host, ntohs(in6->sin6_port));
	} else if (addr->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)addr;

		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(p->address, sizeof(p->address), "%s:%u", host, ntohs(in->sin_port));
	}
	p->address_hash = text_hash(0, host);
}

/* A flood of connections that say nothing pushes out its own oldest, never a welcomed provider. */
static void peers_make_room(struct gatherer *g)
{
	struct peer *p;

	if (g->npeers - g->nwelcomed < PEERS_PENDING_MAX)
		return;
	for (p = TAILQ_FIRST(&g->peers); p; p = TAILQ_NEXT(p, entry)) {
		if (p->state == PEER_WELCOMED)
			continue;
		peer_log_refusal(p, REFUSED_FOR_LIMIT, "too many connections wait to be welcomed");
		peer_close(p, NULL);
		return;
	}
}

static int peer_open(struct peer *p, evutil_socket_t fd)
{
	SSL *ssl = SSL_new(p->g->tls);

	p->timer = evtimer_new(p->g->base, peer_on_timer, p);
	if (ssl && p->timer)
		p->bev = bufferevent_openssl_socket_new(
			p->g->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	if (p->bev)
		return 0;
	SSL_free(ssl);
	if (p->timer)
		event_free(p->timer);
	return -ENOMEM;
}

void peer_accept(struct gatherer *g, evutil_socket_t fd, const struct sockaddr *addr, int len)
{
	struct peer *p = calloc(1, sizeof(*p));
	int one = 1;

	g->stats.connections++;
	if (p) {
		p->g = g;
		peer_set_address(p, addr);
	}
	if (!p || peer_open(p, fd)) {
		diag_error("no memory for a connection");
		close(fd);
		free(p);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	peers_make_room(g);
	TAILQ_INSERT_TAIL(&g->peers, p, entry);
	g->npeers++;
	peer_set_timer(p, PEER_STEP_SECONDS);
	bufferevent_openssl_set_allow_dirty_shutdown(p->bev, 1);
	bufferevent_setcb(p->bev, peer_on_read, peer_on_write, peer_on_event, p);
	bufferevent_enable(p->bev, EV_READ | EV_WRITE);
}
