/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commit thread: group commit of history. Whoever wants something durable asks for a ticket; all
 * that was asked for within the delay shares one sync. The seal thread's work is here too: both are
 * the store's slow calls, kept away from the event loop.
 */
#ifndef TALLY_GATHERER_COMMIT_H
#define TALLY_GATHERER_COMMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "user/lib/err.h"

struct commit;
struct store;

/* Starts the threads. delay_ns: how long the first who asks may wait for others; 0: not at all. */
int commit_start(struct store *s, uint64_t delay_ns, struct commit **ret, struct errmsg *e);
/* Asks for a sync of all that was appended until now; `now` does not wait for others. */
uint64_t commit_request(struct commit *c, bool now);
/* An eventfd: readable after each sync, good or bad. Owned by c. */
int commit_fd(const struct commit *c);
/*
 * Every ticket up to the returned one is durable. *ret_error is 0, or the negative code of the last
 * sync when it failed; it is tried again each second, with all that was asked for.
 */
uint64_t commit_done(struct commit *c, int *ret_error);
/* Wakes the seal thread: store_seal() is due. */
void commit_seal(struct commit *c);
/* Lets what runs finish, ends the threads, frees c. NULL is allowed. */
void commit_stop(struct commit *c);

#endif
