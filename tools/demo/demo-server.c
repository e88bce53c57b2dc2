/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The demo's instrumented program: a small HTTP server, four threads, counting with tally.
 *
 *	demo-server PORT ORACLE_DIR
 *
 * Beside each tally counter it keeps an account that shares nothing with tally: each thread has a
 * file of its own in ORACLE_DIR, mapped, so that it outlives a SIGKILL, with a pair of numbers for
 * each counter: what was started before the call, and what had returned after it.
 *
 *	ORACLE_DIR/PID-THREAD:   0  requests started   8  requests returned
 *	                        16  bytes started     24  bytes returned
 *	                        32  errors started    40  errors returned
 *
 * Exactness is then: returned <= what history says <= started.
 *
 * GET /anything is answered by a line of text, GET /missing by 404, GET /counters by the counters.
 * A client may send many requests at once, up to what fits into 16 KiB.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tally/tally.h>

TALLY_COUNTER(requests, "demo_requests", "Requests answered by the demo's server");
TALLY_COUNTER_UNIT(sent, "demo_sent_bytes", "bytes", "Bytes of answers");
TALLY_COUNTER(errors, "demo_errors", "Requests for what does not exist");
TALLY_GAUGE(connections, "demo_connections", "Connections that are open");

#define THREADS 4
#define BUFFER  16384

struct account {
	volatile uint64_t started, returned;
};

struct oracle {
	struct account requests, sent, errors;
};

struct connection {
	int fd;
	size_t have;
	struct connection *next, **prev;
	char in[BUFFER];
};

struct worker {
	pthread_t thread;
	int epoll, listener;
	struct oracle *oracle;
	struct connection *connections;
};

static atomic_bool stopping;

/* The two stores must not be moved to the other side of the counting by the compiler. */
#define ACCOUNT(account, n, count)                     \
	do {                                           \
		(account)->started += (n);             \
		__asm__ __volatile__("" ::: "memory"); \
		count;                                 \
		__asm__ __volatile__("" ::: "memory"); \
		(account)->returned += (n);            \
	} while (0)

static void die(const char *what)
{
	fprintf(stderr, "demo-server: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct oracle *oracle_open(const char *dir, int thread)
{
	char path[4096];
	struct oracle *oracle;
	int fd;

	snprintf(path, sizeof(path), "%s/%d-%d", dir, (int)getpid(), thread);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		die(path);
	errno = posix_fallocate(fd, 0, sizeof(*oracle));
	if (errno)
		die(path);
	oracle = mmap(NULL, sizeof(*oracle), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (oracle == MAP_FAILED)
		die(path);
	close(fd);
	return oracle;
}

static int listen_on(const char *port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	int fd, one = 1;

	addr.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
		bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 128))
		die(port);
	return fd;
}

static void connection_open(struct worker *w)
{
	struct connection *c;
	int fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return; /* another thread was faster */
	c = calloc(1, sizeof(*c));
	if (!c)
		die("connection");
	c->fd = fd;
	c->next = w->connections;
	c->prev = &w->connections;
	if (c->next)
		c->next->prev = &c->next;
	w->connections = c;
	if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd,
		    &(struct epoll_event){.events = EPOLLIN, .data.ptr = c}))
		die("epoll_ctl");
	TALLY_GAUGE_ADD(connections, 1);
}

static void connection_close(struct connection *c)
{
	TALLY_GAUGE_ADD(connections, -1);
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	close(c->fd);
	free(c);
}

/* One line each: the load generator finds the end of an answer by its line feed. */
static size_t answer_format(char *out, size_t size, const char *request)
{
	char body[256] = "tally counts this\n";
	const char *status = "200 OK";
	int n;

	if (!strncmp(request, "GET /missing", 12)) {
		status = "404 Not Found";
		snprintf(body, sizeof(body), "there is no such thing\n");
	} else if (!strncmp(request, "GET /counters", 13)) {
		snprintf(body, sizeof(body), "requests %llu, bytes %llu, errors %llu\n",
			(unsigned long long)TALLY_VALUE(requests),
			(unsigned long long)TALLY_VALUE(sent),
			(unsigned long long)TALLY_VALUE(errors));
	}
	n = snprintf(out, size, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", status,
		strlen(body), body);
	return (size_t)n;
}

static size_t request_answer(struct worker *w, const char *request, char *out, size_t size)
{
	size_t n = answer_format(out, size, request);

	ACCOUNT(&w->oracle->requests, 1, TALLY_INC(requests));
	ACCOUNT(&w->oracle->sent, n, TALLY_ADD(sent, n));
	if (!strncmp(out, "HTTP/1.1 404", 12))
		ACCOUNT(&w->oracle->errors, 1, TALLY_INC(errors));
	return n;
}

static int send_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n < 0)
			return -1; /* also a client that does not read: it is not waited for */
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Answers all whole requests that have come, and keeps the rest. */
static int connection_serve(struct worker *w, struct connection *c)
{
	char out[BUFFER], *at = c->in, *end;
	size_t n = 0;
	ssize_t got = recv(c->fd, c->in + c->have, sizeof(c->in) - 1 - c->have, 0);

	if (got <= 0)
		return got < 0 && errno == EAGAIN ? 0 : -1;
	c->have += (size_t)got;
	c->in[c->have] = 0;
	while ((end = strstr(at, "\r\n\r\n"))) {
		if (n > sizeof(out) - 512) {
			if (send_all(c->fd, out, n))
				return -1;
			n = 0;
		}
		n += request_answer(w, at, out + n, sizeof(out) - n);
		at = end + 4;
	}
	c->have -= (size_t)(at - c->in);
	memmove(c->in, at, c->have);
	if (c->have == sizeof(c->in) - 1)
		return -1; /* a request that long is none */
	return send_all(c->fd, out, n);
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;
	struct epoll_event events[32];

	while (!atomic_load(&stopping)) {
		int n = epoll_wait(w->epoll, events, 32, 100);

		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;

			if (!c)
				connection_open(w);
			else if (connection_serve(w, c))
				connection_close(c);
		}
	}
	while (w->connections)
		connection_close(w->connections);
	return NULL;
}

static void worker_start(struct worker *w, int listener, const char *dir, int number)
{
	w->listener = listener;
	w->oracle = oracle_open(dir, number);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, listener,
				    &(struct epoll_event){.events = EPOLLIN | EPOLLEXCLUSIVE}))
		die("epoll");
	errno = pthread_create(&w->thread, NULL, worker_run, w);
	if (errno)
		die("thread");
}

int main(int argc, char **argv)
{
	struct worker workers[THREADS] = {0};
	sigset_t set;
	int listener, sig;

	if (argc != 3) {
		fprintf(stderr, "usage: demo-server PORT ORACLE_DIR\n");
		return 2;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	listener = listen_on(argv[1]);
	for (int i = 0; i < THREADS; i++)
		worker_start(&workers[i], listener, argv[2], i);
	sigwait(&set, &sig);
	atomic_store(&stopping, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	return 0;
}
