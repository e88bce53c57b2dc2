/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the gatherer share. Everything here belongs to the thread of the event loop;
 * other threads (commit, seal) know the store alone.
 */
#ifndef TALLY_GATHERER_GATHERER_H
#define TALLY_GATHERER_GATHERER_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "gatherer/config.h"
#include "gatherer/store/store.h"
#include "user/lib/identity.h"

struct commit;
struct event_base;
struct node;
struct peer;

/* Why a connection, or what came through one, was not taken. Label "reason" of refusals. */
enum refused_for {
	REFUSED_FOR_TLS, /* no TLS 1.3 with a certificate: garbage, scanners, old programs */
	REFUSED_FOR_TIMEOUT, /* no handshake or no HELLO in time */
	REFUSED_FOR_PROTOCOL, /* not our frames, or out of order */
	REFUSED_FOR_VERSION,
	REFUSED_FOR_SECRET,
	REFUSED_FOR_LIMIT, /* too many connections or providers */
	REFUSED_FOR_RECORD, /* a record that history refused */
	REFUSED_FOR_DISK, /* history can't be written */
	REFUSED_FOR_KINDS
};

struct gatherer_stats {
	uint64_t connections; /* accepted by the listener */
	uint64_t welcomes, replaced, disconnects;
	uint64_t refused[REFUSED_FOR_KINDS];
	uint64_t polls, polls_skipped, polls_late, answers;
	uint64_t bytes, records, snapshots, samples, duplicates, skipped_groups;
	uint64_t commit_errors;
};

TAILQ_HEAD(peer_list, peer);

/* Refusals that are told: each address and text by itself, and not too many in all. */
#define LOG_LIMITS     256u
#define LOG_PER_SECOND 50u
struct log_limit {
	uint32_t about; /* hash of address and text; another one takes the place over */
	struct diag_limit limit;
};

struct gatherer {
	const struct gatherer_config *cfg;
	struct event_base *base;
	const struct identity *identity;
	const char *secret;
	SSL_CTX *tls;
	struct store *store;
	struct commit *commit;
	struct node **nodes; /* sorted by id */
	size_t nnodes;
	struct peer_list peers; /* every open connection, oldest first */
	size_t npeers, nwelcomed;
	struct log_limit log_limits[LOG_LIMITS];
	struct diag_limit log_second; /* limits the lines of refusals in all */
	uint32_t logged; /* in this second */
	bool commit_failing; /* polls rest until history can be written again */
	struct gatherer_stats stats;
};

#endif
