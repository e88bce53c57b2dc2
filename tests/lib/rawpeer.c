/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A provider that behaves as it is told, to see what the gatherer makes of it:
 *
 *   rawpeer FURLFILE KEYFILE NAME WHAT
 *
 * WHAT is sent once it is welcomed; then every frame that comes is printed, one a line, until the
 * gatherer closes. Exit code 0: it was welcomed, and closed by the gatherer; 1: anything else.
 */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/lib/frame.h"
#include "user/lib/furl.h"
#include "user/lib/recfile.h"
#include "user/lib/util.h"
#include "user/lib/wire.pb-c.h"

#define LIFE_SECONDS 30

static const uint8_t junk[40] = {[8] = 1, 2, 3}; /* of incarnation 0, which nobody has */

static void put_records(struct buf *out, const struct buf *records)
{
	frame_put(out, FRAME_RECORDS, records->data, records->len);
}

static void one_record(struct buf *out, uint8_t type, uint32_t stream)
{
	struct buf b = BUF_INIT;

	record_put(&b, 0, type, stream, junk, sizeof(junk));
	put_records(out, &b);
	buf_release(&b);
}

static void nothing(struct buf *out)
{
}

static void damaged_record(struct buf *out)
{
	one_record(out, RECORD_SCHEMA, 0);
	out->data[out->len - 1] ^= 1;
}

static void half_record(struct buf *out)
{
	struct buf b = BUF_INIT;

	record_put(&b, 0, RECORD_SNAPSHOT, 0, junk, sizeof(junk));
	b.len -= 5;
	put_records(out, &b);
	buf_release(&b);
}

static void node_record(struct buf *out)
{
	one_record(out, RECORD_NODE, 0);
}

static void other_stream(struct buf *out)
{
	one_record(out, RECORD_SNAPSHOT, 1);
}

static void junk_snapshot(struct buf *out)
{
	one_record(out, RECORD_SNAPSHOT, 0);
}

static void junk_schema(struct buf *out)
{
	one_record(out, RECORD_SCHEMA, 0);
}

static void junk_incarnation(struct buf *out)
{
	one_record(out, RECORD_INCARNATION, 0);
}

static void unknown_record(struct buf *out)
{
	one_record(out, 200, 0);
}

static void junk_answer(struct buf *out)
{
	frame_put(out, FRAME_ANSWER, "\xff\xff\xff", 3);
}

static void long_answer(struct buf *out)
{
	static uint8_t zeros[5000];

	frame_put(out, FRAME_ANSWER, zeros, sizeof(zeros));
}

static void second_hello(struct buf *out)
{
	frame_put(out, FRAME_HELLO, "", 0);
}

static void huge_frame(struct buf *out)
{
	buf_put_u32(out, FRAME_BODY_MAX + 1);
	buf_put_u32(out, FRAME_RECORDS);
}

static void unknown_frame(struct buf *out)
{
	buf_put_u32(out, 0);
	buf_put_u32(out, 77);
}

static const struct {
	const char *what;
	void (*put)(struct buf *out);
} kinds[] = {
	{"nothing", nothing},
	{"damaged-record", damaged_record},
	{"half-record", half_record},
	{"node-record", node_record},
	{"other-stream", other_stream},
	{"junk-snapshot", junk_snapshot},
	{"junk-schema", junk_schema},
	{"junk-incarnation", junk_incarnation},
	{"unknown-record", unknown_record},
	{"junk-answer", junk_answer},
	{"long-answer", long_answer},
	{"second-hello", second_hello},
	{"huge-frame", huge_frame},
	{"unknown-frame", unknown_frame},
};

static void die(const char *what)
{
	fprintf(stderr, "rawpeer: %s\n", what);
	exit(1);
}

static SSL *dial(const struct furl *f, const struct identity *id)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *ai;
	SSL_CTX *ctx = tls_context(id, false, NULL);
	SSL *ssl = SSL_new(ctx);
	int fd;

	SSL_CTX_free(ctx); /* ssl holds it */
	if (getaddrinfo(f->hosts[0].host, f->hosts[0].port, &hints, &ai))
		die("no such host");
	fd = socket(ai->ai_family, SOCK_STREAM, 0);
	if (connect(fd, ai->ai_addr, ai->ai_addrlen))
		die("can't connect");
	freeaddrinfo(ai);
	SSL_set_fd(ssl, fd);
	if (SSL_connect(ssl) != 1)
		die("no handshake");
	return ssl;
}

static void send_all(SSL *ssl, struct buf *b)
{
	if (b->len && SSL_write(ssl, b->data, (int)b->len) != (int)b->len)
		die("can't send");
	buf_reset(b);
}

static void put_hello(struct buf *out, const struct furl *f, const char *name)
{
	Tally__Hello hello = TALLY__HELLO__INIT;
	uint8_t body[512];

	hello.version = WIRE_VERSION;
	hello.secret = (char *)f->secret;
	hello.name = (char *)name;
	frame_put(out, FRAME_HELLO, body, tally__hello__pack(&hello, body));
}

static void print_frame(const struct frame *f)
{
	static const char *const names[] = {
		"?", "HELLO", "WELCOME", "REFUSED", "POLL", "RECORDS", "ANSWER", "ACK"};
	Tally__Refused *r;

	printf("%s", names[f->type]);
	if (f->type == FRAME_REFUSED) {
		r = tally__refused__unpack(NULL, f->len, f->body);
		printf(" %u %s", r ? r->code : 0, r ? r->reason : "?");
		tally__refused__free_unpacked(r, NULL);
	}
	printf("\n");
	fflush(stdout);
}

/* The next frame; false at the end of the connection. */
static bool receive(SSL *ssl, struct buf *in, struct frame *f)
{
	static size_t taken;
	ssize_t n;
	int got;

	memmove(in->data, in->data + taken, in->len - taken);
	in->len -= taken;
	taken = 0;
	while (!(n = frame_parse(in->data, in->len, f, NULL))) {
		uint8_t *p = buf_reserve(in, 4096);

		got = SSL_read(ssl, p, 4096);
		if (got <= 0)
			return false;
		in->len += (size_t)got;
	}
	if (n < 0)
		die("the gatherer sent no frame");
	taken = (size_t)n;
	return true;
}

int main(int argc, char **argv)
{
	struct buf out = BUF_INIT, in = BUF_INIT;
	bool welcomed = false;
	struct identity *id;
	struct errmsg e;
	struct frame f;
	struct furl furl;
	size_t kind = 0;
	SSL *ssl;

	if (argc != 5)
		die("usage: rawpeer FURLFILE KEYFILE NAME WHAT");
	while (kind < sizeof(kinds) / sizeof(*kinds) && strcmp(kinds[kind].what, argv[4]))
		kind++;
	if (kind == sizeof(kinds) / sizeof(*kinds))
		die("no such thing to send");
	if (furl_read_file(argv[1], &furl, &e) || identity_load(argv[2], &id, &e))
		die(e.text);
	alarm(LIFE_SECONDS);
	buf_reserve(&in, 4096);
	ssl = dial(&furl, id);
	put_hello(&out, &furl, argv[3]);
	send_all(ssl, &out);
	while (receive(ssl, &in, &f)) {
		print_frame(&f);
		if (f.type != FRAME_WELCOME)
			continue;
		welcomed = true;
		kinds[kind].put(&out);
		send_all(ssl, &out);
	}
	close(SSL_get_fd(ssl));
	SSL_free(ssl);
	identity_free(id);
	buf_release(&in);
	buf_release(&out);
	return welcomed ? 0 : 1;
}
