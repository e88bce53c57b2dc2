/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When nodes are polled.
 *
 *   due:        |         |         |         |        every interval, at the node's own phase
 *   POLL        ^ sent    ^ not sent: the one before is not answered; three in a row: closed
 *   late            !                                  counted once a poll, after the time limit
 */
#include "gatherer/poll.h"

#include <event2/event.h>
#include <string.h>

#include "gatherer/peer.h"
#include "user/lib/diag.h"
#include "user/lib/util.h"
#include "user/lib/wire.pb-c.h"

#define POLL_MISSED_MAX 3

static void poll_set_timer(struct event *timer, uint64_t ns)
{
	struct timeval tv = {.tv_sec = (time_t)(ns / NSEC_PER_SEC),
		.tv_usec = (suseconds_t)(ns % NSEC_PER_SEC / 1000)};

	evtimer_add(timer, &tv);
}

uint64_t poll_next_delay(const uint8_t id[NODE_ID_SIZE], uint64_t interval_ns, uint64_t now_ns)
{
	uint64_t phase;

	memcpy(&phase, id, sizeof(phase));
	return interval_ns - (now_ns + interval_ns - phase % interval_ns) % interval_ns;
}

static void poll_send(struct node *n)
{
	uint64_t limit = n->g->cfg->poll_timeout_ns;
	Tally__Poll poll = TALLY__POLL__INIT;

	poll.id = ++n->poll_id;
	poll.interval_ms = (uint32_t)(n->interval_ns / NSEC_PER_MSEC);
	n->outstanding = true;
	n->heard = false;
	n->missed = 0;
	n->polled_at_ns = clock_monotonic_ns();
	n->g->stats.polls++;
	poll_set_timer(n->late, limit < n->interval_ns ? limit : n->interval_ns);
	peer_send(n->peer, FRAME_POLL, &poll.base); /* on failure the peer, and this poll, ends */
}

static void poll_on_due(evutil_socket_t fd, short what, void *arg)
{
	struct node *n = arg;

	/* Timers may fire a little early; the moment that they meant is over nevertheless. */
	uint64_t slack = n->interval_ns / 4;

	poll_set_timer(n->due,
		slack + poll_next_delay(n->id, n->interval_ns, clock_monotonic_ns() + slack));
	if (n->outstanding) {
		/* Records still come: a long way to catch up, not a hung provider. */
		n->missed = n->heard ? 0 : n->missed + 1;
		n->heard = false;
		n->g->stats.polls_skipped++;
		if (n->missed >= POLL_MISSED_MAX)
			peer_close(n->peer, "three polls in a row without an answer");
	} else if (n->g->commit_failing) {
		n->g->stats.polls_skipped++;
	} else {
		poll_send(n);
	}
}

static void poll_on_late(evutil_socket_t fd, short what, void *arg)
{
	struct node *n = arg;

	n->g->stats.polls_late++;
	diag_info("provider \"%s\": poll not answered within %.1f s", n->name,
		(double)(clock_monotonic_ns() - n->polled_at_ns) / NSEC_PER_SEC);
}

int poll_init(struct node *n)
{
	n->due = evtimer_new(n->g->base, poll_on_due, n);
	n->late = evtimer_new(n->g->base, poll_on_late, n);
	return n->due && n->late ? 0 : -ENOMEM;
}

void poll_release(struct node *n)
{
	if (n->due)
		event_free(n->due);
	if (n->late)
		event_free(n->late);
}

void poll_begin(struct node *n)
{
	n->missed = 0;
	n->outstanding = false;
	poll_set_timer(n->due, poll_next_delay(n->id, n->interval_ns, clock_monotonic_ns()));
	if (!n->g->commit_failing)
		poll_send(n);
}

void poll_end(struct node *n)
{
	n->outstanding = false;
	evtimer_del(n->due);
	evtimer_del(n->late);
}

void poll_answered(struct node *n, uint64_t id)
{
	if (!n->outstanding || id != n->poll_id)
		return; /* unasked, or of a connection before */
	n->outstanding = false;
	evtimer_del(n->late);
}
