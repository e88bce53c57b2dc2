/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The demo's load: keeps a few connections to demo-server busy, in waves, so that there is something
 * to see on the graph. When the server goes away, it waits and connects again.
 *
 *	demo-load PORT SECONDS REQUESTS_PER_SECOND
 *
 * At the end it prints how many answers it got and how many requests it sent.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 6
#define TICK_NS     20000000 /* a bunch of requests each 20 ms ... */
#define BUNCH_MAX   200 /* ... and no more of them than fit into the server's buffer */
#define WAVE_S      8.0

static const char REQUEST[] = "GET /hello HTTP/1.1\r\nHost: demo\r\n\r\n";
static const char REQUEST_BAD[] = "GET /missing HTTP/1.1\r\nHost: demo\r\n\r\n";

struct client {
	pthread_t thread;
	uint16_t port;
	double rate; /* requests a second in the middle of a wave */
	double seconds;
	double owed; /* requests that are due and not sent yet */
	uint64_t sent, answers;
};

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void sleep_ns(long ns)
{
	nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

static int server_connect(uint16_t port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* One request in fifty asks for what is not there. */
static size_t bunch_format(char *out, unsigned n, uint64_t first)
{
	char *at = out;

	*at = 0;
	for (unsigned i = 0; i < n; i++)
		at = stpcpy(at, (first + i) % 50 == 49 ? REQUEST_BAD : REQUEST);
	return (size_t)(at - out);
}

/* An answer ends with the only line feed in it that has no carriage return before it. */
static int bunch_receive(struct client *c, int fd, unsigned n)
{
	char in[16384], last = 0;

	while (n > 0) {
		ssize_t got = recv(fd, in, sizeof(in), 0);

		if (got <= 0)
			return -1;
		for (ssize_t i = 0; i < got; last = in[i++]) {
			if (in[i] == '\n' && last != '\r' && n > 0) {
				c->answers++;
				n--;
			}
		}
	}
	return 0;
}

static int bunch_exchange(struct client *c, int fd, unsigned n)
{
	char out[BUNCH_MAX * sizeof(REQUEST_BAD)];
	size_t len = bunch_format(out, n, c->sent);

	c->sent += n;
	if (send(fd, out, len, MSG_NOSIGNAL) != (ssize_t)len)
		return -1;
	return bunch_receive(c, fd, n);
}

static unsigned bunch_due(struct client *c, double t)
{
	double rate = c->rate * (1 - 0.7 * cos(t * 2 * 3.14159265 / WAVE_S));
	unsigned n;

	c->owed += rate * TICK_NS / 1e9;
	n = c->owed > BUNCH_MAX ? BUNCH_MAX : (unsigned)c->owed;
	c->owed -= n;
	if (c->owed > BUNCH_MAX)
		c->owed = 0; /* the machine can't do that much: don't try to make up for it */
	return n;
}

static void *client_run(void *arg)
{
	struct client *c = arg;
	double begin = now_s(), t;
	int fd = -1;

	while ((t = now_s() - begin) < c->seconds) {
		unsigned n = bunch_due(c, t);

		if (fd < 0)
			fd = server_connect(c->port);
		if (fd >= 0 && n > 0 && bunch_exchange(c, fd, n)) {
			close(fd);
			fd = -1;
		}
		sleep_ns(TICK_NS);
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	struct client clients[CONNECTIONS] = {0};
	uint64_t sent = 0, answers = 0;

	if (argc != 4) {
		fprintf(stderr, "usage: demo-load PORT SECONDS REQUESTS_PER_SECOND\n");
		return 2;
	}
	for (int i = 0; i < CONNECTIONS; i++) {
		struct client *c = &clients[i];

		c->port = (uint16_t)strtoul(argv[1], NULL, 10);
		c->seconds = strtod(argv[2], NULL);
		c->rate = strtod(argv[3], NULL) / CONNECTIONS;
		errno = pthread_create(&c->thread, NULL, client_run, c);
		if (errno) {
			perror("demo-load");
			return 1;
		}
	}
	for (int i = 0; i < CONNECTIONS; i++) {
		pthread_join(clients[i].thread, NULL);
		sent += clients[i].sent;
		answers += clients[i].answers;
	}
	printf("%llu answers to %llu requests\n", (unsigned long long)answers,
		(unsigned long long)sent);
	return 0;
}
