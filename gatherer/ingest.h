/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What comes in: records to history, and acknowledgements back once they are on disk. */
#ifndef TALLY_GATHERER_INGEST_H
#define TALLY_GATHERER_INGEST_H

#include "gatherer/node.h"
#include "user/lib/frame.h"

/*
 * Appends the records of a RECORDS frame. -EBADMSG, -EPROTO, -E2BIG: refused, with the reason in *e;
 * other codes: history can't be written. Records before the bad one are kept.
 */
int ingest_records(struct node *n, const uint8_t *p, size_t len, struct errmsg *e);
/* All up to here was sent: acknowledge it as soon as it is durable. -EPROTO: malformed. */
int ingest_answer(struct node *n, const uint8_t *p, size_t len);
/* A commit ended: sends the acknowledgements that it allows. */
void ingest_committed(struct gatherer *g);
/* Asks for the acknowledgement of all that the node has in history. `now`: without waiting. */
void ingest_want_ack(struct node *n, bool now);

#endif
