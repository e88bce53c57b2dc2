/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A peer: statsd's way, one UDP datagram for each count. Debian has no statsd; what receives on loopback
 * is a socket that only reads, on the other CPU.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

#include "tests/bench/loops.h"

static struct sockaddr_in receiver = {.sin_family = AF_INET};
static int receiving, sending;
static unsigned long received; /* atomic */

static void send_count(void)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%s:%d|c", "bench.requests", 1);

	sendto(sending, text, (size_t)n, 0, (struct sockaddr *)&receiver, sizeof(receiver));
}

/* clang-format off */
#define CASES(X) \
	X(send, "statsd UDP: snprintf and sendto (the receiver only reads)", 1, 1, send_count())
/* clang-format on */

CASES(LOOP_DEFINE)
static const struct loop_case cases[] = {CASES(LOOP_ROW)};

static void *receive_main(void *arg)
{
	char text[512];

	loops_pin(1);
	while (recv(receiving, text, sizeof(text), 0) > 0)
		__atomic_fetch_add(&received, 1, __ATOMIC_RELAXED);
	return arg;
}

static int before(void)
{
	socklen_t size = sizeof(receiver);
	pthread_t t;

	receiver.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	receiving = socket(AF_INET, SOCK_DGRAM, 0);
	sending = socket(AF_INET, SOCK_DGRAM, 0);
	if (receiving < 0 || sending < 0 ||
		bind(receiving, (struct sockaddr *)&receiver, sizeof(receiver)) ||
		getsockname(receiving, (struct sockaddr *)&receiver, &size) ||
		pthread_create(&t, NULL, receive_main, NULL)) {
		perror("statsd");
		return 1;
	}
	return 0;
}

static int after(void)
{
	if (__atomic_load_n(&received, __ATOMIC_RELAXED))
		return 0;
	fprintf(stderr, "statsd: the receiver has received nothing\n");
	return 1;
}

const struct loop_table loop_table = {cases, LOOP_COUNT(cases), before, after};
