/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The provider's link to one gatherer: dials the furl's hosts in turn over TLS 1.3, pins the key,
 * answers polls from the ring. A link that is down is a cursor that stands still: nothing is queued
 * in memory, and nothing is read from the ring while the connection is slow.
 *
 * Everything runs in the thread of the event base.
 */
#ifndef TALLY_USER_PROVIDER_LINK_H
#define TALLY_USER_PROVIDER_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "user/lib/err.h"
#include "user/lib/furl.h"
#include "user/lib/identity.h"

struct event_base;
struct provider;
struct link;

/* Connects nothing yet. furl is copied; the others must outlive the link. NULL with *e. */
struct link *link_new(struct event_base *base, struct provider *p, const struct furl *furl,
	const struct identity *id, struct errmsg *e);
/* The longest pause between two attempts; default 60 s. Before link_start(). */
void link_set_backoff_max(struct link *l, uint64_t ns);
/* Dials at once. To be called only when every producer is open and privileges are dropped. */
void link_start(struct link *l);
/*
 * Sends what the gatherer lacks, unasked, and waits for its acknowledgement; then calls done, once,
 * from the event loop. After timeout_ns, or if there is no connection, done is called as well.
 */
void link_shutdown(struct link *l, uint64_t timeout_ns, void (*done)(void *arg), void *arg);
/* Closes at once; does not call done. NULL is allowed. */
void link_free(struct link *l);

struct link_stats {
	bool connected; /* welcomed by the gatherer */
	uint64_t connects; /* welcomes, ever */
	uint64_t failures; /* attempts that ended before a welcome, refusals included */
	uint64_t refused; /* the gatherer refused us, or we refused its key */
	uint64_t polls; /* polls answered */
	uint64_t bytes_sent; /* of frames */
	uint64_t records_sent; /* repeats after a reconnection are counted again */
	uint64_t ack_incarnation, ack_seq; /* newest snapshot that the gatherer has on disk */
	uint64_t lost_snapshots; /* fell off the ring before they were delivered */
	uint64_t retry_delay_ns; /* the current back-off; 0 while connected */
};
void link_stats(const struct link *l, struct link_stats *ret);

#endif
