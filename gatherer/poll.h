/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When nodes are polled. Each has its own place in the interval, from its fingerprint, so that many
 * do not answer at one moment; and at most one unanswered poll, so that a hung one costs nothing.
 */
#ifndef TALLY_GATHERER_POLL_H
#define TALLY_GATHERER_POLL_H

#include "gatherer/node.h"

int poll_init(struct node *n);
void poll_release(struct node *n);
/* The node was welcomed: polls it at once, then in its rhythm. */
void poll_begin(struct node *n);
/* Its connection is gone. */
void poll_end(struct node *n);
/* An ANSWER with this id came; 0 is one that nobody asked for. */
void poll_answered(struct node *n, uint64_t id);
/* Nanoseconds until the next moment of the node's rhythm, 1 to interval_ns. */
uint64_t poll_next_delay(const uint8_t id[NODE_ID_SIZE], uint64_t interval_ns, uint64_t now_ns);

#endif
