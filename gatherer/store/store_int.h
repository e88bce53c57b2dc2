/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of the writer: shared by store.c (appending, syncing, sealing) and store_open.c.
 *
 * Three locks, taken in this order: seal (one seal at a time), io (the head's file and what is flying
 * to it), lock (everything else). `lock` is never held during I/O.
 */
#ifndef TALLY_GATHERER_STORE_STORE_INT_H
#define TALLY_GATHERER_STORE_STORE_INT_H

#include <pthread.h>

#include "gatherer/store/batch.h"
#include "gatherer/store/head.h"
#include "gatherer/store/store.h"

struct durable {
	uint64_t incarnation, seq;
};

struct store {
	char *dir;
	int dirfd, lockfd;
	struct store_options opt;
	pthread_mutex_t seal, io, lock;

	uint32_t salt; /* of all heads that are written here */

	/* under io */
	struct head head; /* fd -1: none could be made when the store was opened */
	struct buf first_state; /* ... and what it would have begun with */
	struct batch flying;

	/* under lock */
	struct nodeset nodes;
	struct durable *durable; /* by node */
	size_t durable_cap;
	struct batch batch;
	int sync_error; /* of the last sync: 0 or what the disk said */
	size_t nold, old_cap;
	uint64_t *old; /* numbers of heads that wait to be sealed, ascending */
	uint64_t next_number;
	uint64_t head_records; /* in the head, behind its state */
	uint64_t head_began_ns; /* monotonic */
	uint64_t retry_ns; /* monotonic: no seal before, after one failed */
	struct store_stats stats;
};

int store_add_old(struct store *s, uint64_t number);
/* Room for the durable marks of all nodes. */
int store_reserve_durable(struct store *s);

#endif
