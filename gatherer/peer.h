/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A peer: one accepted connection, from its TLS handshake to its end.
 *
 *   HANDSHAKE --TLS 1.3 with a certificate--> HELLO --secret, version--> WELCOMED --> closed
 *       |                                       |                           |
 *       +-- closed without a word               +-------- REFUSED ----------+--> LINGER --> closed
 *
 * Until it is welcomed a connection has 10 s for each step and may send 4 KiB.
 */
#ifndef TALLY_GATHERER_PEER_H
#define TALLY_GATHERER_PEER_H

#include <event2/util.h>
#include <protobuf-c/protobuf-c.h>

#include "gatherer/gatherer.h"
#include "user/lib/frame.h"

/* Takes over the socket. Its handshake begins at once. */
void peer_accept(struct gatherer *g, evutil_socket_t fd, const struct sockaddr *addr, int len);
/*
 * Queues a message. Without memory (-ENOMEM), or if the peer does not read (-ENOBUFS), it is closed.
 */
int peer_send(struct peer *p, enum frame_type type, const ProtobufCMessage *m);
/*
 * Counts, logs (the same about the same address once a minute), tells the peer why, and closes once
 * it was told. Nothing that it sends from now on is looked at.
 */
void peer_refuse(struct peer *p, enum refused_for why, uint32_t retry_after_ms, const char *fmt,
	...) __attribute__((format(printf, 4, 5)));
/* Closes at once; p is gone. why (for the log) may be NULL. */
void peer_close(struct peer *p, const char *why);
void peers_close_all(struct gatherer *g);
/* Text of enum refused_for, for logs and labels. */
const char *refused_for_name(enum refused_for why);

#endif
