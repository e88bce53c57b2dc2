/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Load for memcached: one connection, requests in bunches, and an account of the answers.
 *
 *	memcached-load PORT REQUESTS SEED
 *
 * The text protocol; keys are drawn from a space that is only half filled, so that there are hits and
 * misses. Prints lines "name value": what a client saw, whatever memcached or tally counted.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUNCH 64
#define KEYS  4000u

enum operation { GET, SET, ADD, REPLACE, DELETE, INCR, OPERATIONS };
static const char *const names[] = {"get", "set", "add", "replace", "delete", "incr"};
/* In a hundred requests. Increments go to keys of numbers, the others to keys of text. */
static const unsigned share[] = {70, 12, 4, 4, 4, 6};

struct client {
	FILE *in, *out;
	uint64_t random;
	uint64_t sent[OPERATIONS], done[OPERATIONS];
};

static uint32_t draw(struct client *c, uint32_t below)
{
	c->random = c->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(c->random >> 33) % below;
}

static enum operation draw_operation(struct client *c)
{
	unsigned n = draw(c, 100), op = 0;

	while (n >= share[op])
		n -= share[op++];
	return op;
}

static void request_send(struct client *c, enum operation op)
{
	static const char text[] = "tally-tally-tally-tally-tally-tally-tally-tally-tally-tally-ta";
	uint32_t key = draw(c, KEYS);
	int len = 1 + (int)draw(c, sizeof(text) - 1);

	switch (op) {
	case GET:
		fprintf(c->out, "get key%u\r\n", key);
		break;
	case DELETE:
		fprintf(c->out, "delete key%u\r\n", key);
		break;
	case INCR:
		fprintf(c->out, "incr number%u 7\r\n", key % 20);
		break;
	default:
		fprintf(c->out, "%s key%u 0 0 %d\r\n%.*s\r\n", names[op], key, len, len, text);
	}
	c->sent[op]++;
}

static void die(const char *what)
{
	fprintf(stderr, "memcached-load: %s\n", what);
	exit(1);
}

static void line_read(struct client *c, char *line, size_t size)
{
	if (!fgets(line, (int)size, c->in))
		die("connection closed");
}

/* Was it done: got, stored, deleted, incremented? */
static void answer_read(struct client *c, enum operation op)
{
	char line[1024];

	line_read(c, line, sizeof(line));
	if (op == GET && !strncmp(line, "VALUE ", 6)) {
		c->done[op]++;
		line_read(c, line, sizeof(line)); /* the item, which has no line feeds */
		line_read(c, line, sizeof(line));
		if (strcmp(line, "END\r\n"))
			die(line);
	} else if (!strcmp(line, "STORED\r\n") || !strcmp(line, "DELETED\r\n") ||
		   (op == INCR && line[0] >= '0' && line[0] <= '9')) {
		c->done[op]++;
	} else if (strcmp(line, "END\r\n") && strcmp(line, "NOT_STORED\r\n") &&
		   strcmp(line, "NOT_FOUND\r\n")) {
		die(line);
	}
}

static void bunch_exchange(struct client *c, unsigned n)
{
	enum operation ops[BUNCH];

	for (unsigned i = 0; i < n; i++) {
		ops[i] = draw_operation(c);
		request_send(c, ops[i]);
	}
	if (fflush(c->out))
		die("cannot send");
	for (unsigned i = 0; i < n; i++)
		answer_read(c, ops[i]);
}

/* Half of the numbers exist, so that some increments find nothing. */
static void numbers_make(struct client *c)
{
	for (unsigned i = 0; i < 20; i += 2) {
		fprintf(c->out, "set number%u 0 0 1\r\n0\r\n", i);
		c->sent[SET]++;
	}
	fflush(c->out);
	for (unsigned i = 0; i < 20; i += 2)
		answer_read(c, SET);
}

static void server_connect(struct client *c, const char *port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	addr.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		die("cannot connect");
	c->in = fdopen(fd, "r");
	c->out = fdopen(dup(fd), "w");
	if (!c->in || !c->out)
		die("no memory");
}

int main(int argc, char **argv)
{
	struct client c = {0};
	unsigned long left;

	if (argc != 4) {
		fprintf(stderr, "usage: memcached-load PORT REQUESTS SEED\n");
		return 2;
	}
	server_connect(&c, argv[1]);
	left = strtoul(argv[2], NULL, 10);
	c.random = strtoul(argv[3], NULL, 10);
	numbers_make(&c);
	while (left > 0) {
		unsigned n = left < BUNCH ? (unsigned)left : BUNCH;

		bunch_exchange(&c, n);
		left -= n;
	}
	for (unsigned op = 0; op < OPERATIONS; op++)
		printf("%s_sent %llu\n%s_done %llu\n", names[op], (unsigned long long)c.sent[op],
			names[op], (unsigned long long)c.done[op]);
	fclose(c.out);
	fclose(c.in);
	return 0;
}
