/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The provider's link to one gatherer: dialling, the pin, back-off, the end. What is said on it is in
 * linktalk.c; link_int.h draws the states.
 */
#include "user/provider/link.h"

#include <arpa/inet.h>
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

#include "user/lib/diag.h"
#include "user/lib/util.h"
#include "user/provider/link_int.h"

#define LINK_HANDSHAKE (15 * NSEC_PER_SEC) /* from dialling to WELCOME */

static void link_dial(struct link *l);

void link_set_timer(struct event *timer, uint64_t ns)
{
	struct timeval tv = {.tv_sec = (time_t)(ns / NSEC_PER_SEC),
		.tv_usec = (suseconds_t)(ns % NSEC_PER_SEC / 1000)};

	evtimer_add(timer, &tv);
}

const char *link_peer(const struct link *l, char *out, size_t size)
{
	bool v6 = strchr(l->furl.hosts[l->host].host, ':');

	snprintf(out, size, "%s%s%s:%s", v6 ? "[" : "", l->furl.hosts[l->host].host, v6 ? "]" : "",
		l->furl.hosts[l->host].port);
	return out;
}

/* --- ends ---------------------------------------------------------------------------------------- */

/* From the event loop, not from here: who is told may free the link. */
void link_finish_shutdown(struct link *l)
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

static uint32_t text_hash(const char *text)
{
	uint32_t hash = 1; /* 0 is no text */

	while (*text)
		hash = hash * 31 + (unsigned char)*text++;
	return hash ? hash : 1;
}

void link_fail(struct link *l, uint64_t at_least_ns, const char *fmt, ...)
{
	char why[400], peer[300];
	uint32_t hash;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	hash = text_hash(why);
	diag(l->complaints[l->host] == hash ? DIAG_DEBUG : DIAG_WARNING,
		"gatherer %s: %s; trying again", link_peer(l, peer, sizeof(peer)), why);
	l->complaints[l->host] = hash;
	if (l->state != LINK_READY)
		l->stats.failures++;
	link_hang_up(l);
	if (l->done)
		link_finish_shutdown(l);
	else
		link_retry_later(l, at_least_ns);
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
		"has another key than the furl says: it shows %s, the furl names %s; it was told "
		"nothing",
		got, want);
}

/* A connect that failed comes as an end of file; only errno says so. */
static bool link_is_connect_error(int err)
{
	return err == ECONNREFUSED || err == ECONNRESET || err == EHOSTUNREACH ||
	       err == ENETUNREACH || err == ETIMEDOUT || err == EACCES;
}

static const char *link_explain_end(struct link *l, short what, int err)
{
	unsigned long ssl_error = bufferevent_get_openssl_error(l->bev);
	const char *text = ssl_error ? ERR_reason_error_string(ssl_error) : NULL;
	int dns_error = bufferevent_socket_get_dns_error(l->bev);

	if (dns_error)
		return evutil_gai_strerror(dns_error);
	if (l->state != LINK_READY && link_is_connect_error(err))
		return strerror(err);
	if (ERR_GET_LIB(ssl_error) == ERR_LIB_SSL &&
		ERR_GET_REASON(ssl_error) == SSL_R_WRONG_VERSION_NUMBER)
		return "what answers there does not speak TLS: is this the gatherer's port for "
		       "providers (its option listen), not the one for HTTP?";
	if (text)
		return text;
	if (what & BEV_EVENT_EOF || !err)
		return l->state == LINK_READY ? "closed the connection"
					      : "closed the connection before its welcome";
	return strerror(err);
}

static void link_on_event(struct bufferevent *bev, short what, void *arg)
{
	int err = EVUTIL_SOCKET_ERROR();
	struct link *l = arg;

	if (what & BEV_EVENT_CONNECTED)
		link_check_pin(l);
	else if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		link_fail(l, 0, "%s", link_explain_end(l, what, err));
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
