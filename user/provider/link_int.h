/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of a link, shared by its two files: link.c connects, linktalk.c talks.
 *
 *   DOWN --timer--> CONNECTING --TLS, key pinned--> HELLO --WELCOME--> READY
 *     ^                 |                             |                  |
 *     +-----------------+-- any failure, a refusal, silence -------------+
 */
#ifndef TALLY_USER_PROVIDER_LINK_INT_H
#define TALLY_USER_PROVIDER_LINK_INT_H

#include <openssl/ssl.h>

#include "user/provider/link.h"
#include "user/provider/ring.h"

#define LINK_BACKOFF_MIN (NSEC_PER_SEC / 4)
#define LINK_BACKOFF_MAX (60 * NSEC_PER_SEC)
#define LINK_REFUSED_MIN (10 * NSEC_PER_SEC) /* first pause after a refusal */

struct bufferevent;
struct evdns_base;
struct event;

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
	uint32_t complaints[FURL_HOSTS_MAX]; /* hash of what was logged last about each host */
	struct event *shutdown_timer;
	void (*done)(void *arg); /* set while shutting down */
	void *done_arg;
	bool last_sent;
	uint64_t sent_incarnation, sent_seq; /* of the last ANSWER */
	struct link_stats stats;
};

/* --- link.c --- */

void link_set_timer(struct event *timer, uint64_t ns);
const char *link_peer(const struct link *l, char *out, size_t size);
/*
 * One connection, or one attempt at it, is over: hangs up, and tries again after the back-off, or
 * after at_least_ns if that is longer. A complaint about a host is told once until it changes.
 */
void link_fail(struct link *l, uint64_t at_least_ns, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The shutdown has nothing to wait for any more. Does nothing otherwise. */
void link_finish_shutdown(struct link *l);

/* --- linktalk.c --- */

void link_send_hello(struct link *l);
/* Sends what the gatherer lacks, as much as the output takes; goes on when that has drained. */
void link_pump(struct link *l);
/* The last answer of this provider, which nobody asked for. */
void link_begin_last_answer(struct link *l);
void link_on_read(struct bufferevent *bev, void *arg);
void link_on_write(struct bufferevent *bev, void *arg);

#endif
