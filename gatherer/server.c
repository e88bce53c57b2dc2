/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Listening sockets. */
#include "gatherer/server.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gatherer/peer.h"
#include "user/lib/diag.h"
#include "user/lib/util.h"

#define SERVER_BACKLOG 1024
#define ACCEPT_PAUSE_S 1

struct server {
	struct gatherer *g;
	struct diag_limit limit;
	struct event *pause; /* no descriptors left: accepting rests for a moment */
	size_t n;
	struct evconnlistener *listeners[];
};

int server_bind(const char *address, struct errmsg *e)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int one = 1, fd, rc = config_parse_address(address, &addr, &len, e);

	if (rc)
		return rc;
	fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(e, -errno, "%s: socket: %s", address, strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (addr.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, len) || listen(fd, SERVER_BACKLOG)) {
		rc = err_set(e, -errno, "can't listen on %s: %s", address, strerror(errno));
		close(fd);
		return rc;
	}
	return fd;
}

int server_address(int fd, char *out, size_t size)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	char host[INET6_ADDRSTRLEN];

	if (getsockname(fd, (struct sockaddr *)&addr, &len))
		return -errno;
	if (addr.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&addr;

		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(out, size, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&addr;

		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(out, size, "%s:%u", host, ntohs(in->sin_port));
	}
	return 0;
}

static void server_on_accept(
	struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *addr, int len, void *arg)
{
	struct server *s = arg;

	peer_accept(s->g, fd, addr, len);
}

static void server_on_accept_error(struct evconnlistener *l, void *arg)
{
	struct timeval tv = {.tv_sec = ACCEPT_PAUSE_S};
	struct server *s = arg;
	int err = EVUTIL_SOCKET_ERROR();

	if (diag_allowed(&s->limit, clock_monotonic_ns(), 60 * NSEC_PER_SEC))
		diag_error("can't accept connections: %s", strerror(err));
	for (size_t i = 0; i < s->n; i++)
		evconnlistener_disable(s->listeners[i]);
	evtimer_add(s->pause, &tv);
}

static void server_on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	for (size_t i = 0; i < s->n; i++)
		evconnlistener_enable(s->listeners[i]);
}

/* Takes the socket over, or closes it. */
static int server_listen(struct server *s, int fd)
{
	struct evconnlistener *l = evconnlistener_new(s->g->base, server_on_accept, s,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);

	if (!l) {
		close(fd);
		return -ENOMEM;
	}
	evconnlistener_set_error_cb(l, server_on_accept_error);
	s->listeners[s->n++] = l;
	return 0;
}

int server_start(
	struct gatherer *g, const int *fds, size_t n, struct server **ret, struct errmsg *e)
{
	struct server *s = calloc(1, sizeof(*s) + n * sizeof(s->listeners[0]));
	int rc = s ? 0 : -ENOMEM;

	if (s) {
		s->g = g;
		s->pause = evtimer_new(g->base, server_on_pause_over, s);
		rc = s->pause ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		if (rc)
			close(fds[i]);
		else
			rc = server_listen(s, fds[i]);
	}
	if (rc) {
		server_stop(s);
		return err_set(e, rc, "no memory for listeners");
	}
	*ret = s;
	return 0;
}

void server_stop(struct server *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		evconnlistener_free(s->listeners[i]);
	if (s->pause)
		event_free(s->pause);
	free(s);
}
