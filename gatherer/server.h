/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Listening sockets: bound first (a port below 1024 needs root), served once everything is ready. */
#ifndef TALLY_GATHERER_SERVER_H
#define TALLY_GATHERER_SERVER_H

#include "gatherer/gatherer.h"

/* Bound and listening, close-on-exec, non-blocking; nobody accepts yet. Negative code with *e. */
int server_bind(const char *address, struct errmsg *e);
/* HOST:PORT that the socket is bound to. */
int server_address(int fd, char *out, size_t size);

struct server;
/* Accepts on these sockets, which it owns from now on, also on failure. */
int server_start(
	struct gatherer *g, const int *fds, size_t n, struct server **ret, struct errmsg *e);
void server_stop(struct server *s);

#endif
