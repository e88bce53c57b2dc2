/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gatherer's own metrics: a node like any other in history, under the gatherer's fingerprint. */
#ifndef TALLY_GATHERER_SELF_H
#define TALLY_GATHERER_SELF_H

#include "gatherer/gatherer.h"

struct self;

/* Takes a first snapshot, then one each interval. */
int self_start(struct gatherer *g, struct self **ret, struct errmsg *e);
/* NULL is allowed. */
void self_stop(struct self *s);

#endif
