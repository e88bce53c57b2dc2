/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The provider's link against a gatherer made here, in the same event loop, that answers as each test
 * wants it. The gatherer notes every frame as a letter: H(ello) R(ecords) A(nswer).
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/lib/diag.h"
#include "user/lib/frameio.h"
#include "user/lib/util.h"
#include "user/lib/wire.pb-c.h"
#include "user/provider/link.h"
#include "user/provider/provider.h"

#define PATIENCE_MS 10000

static char dir[] = "/tmp/test-link-XXXXXX";
static struct event_base *base;
static struct provider *provider;
static struct identity *provider_key, *gatherer_key;
static struct furl furl;
static struct link *link_;

/* The gatherer. */
static SSL_CTX *tls;
static struct evconnlistener *listener;
static struct bufferevent *bev;
static char seen[4096]; /* letters of the frames */
static size_t bytes_seen;
static unsigned int accepted, closed;
static Tally__Hello *hello;
static Tally__Answer *answer;
static void (*on_frame)(char letter);

static const char *in_dir(const char *name)
{
	static char path[100];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void send_message(enum frame_type type, const ProtobufCMessage *m)
{
	cr_assert_eq(frameio_send(bev, type, m), 0);
}

static void send_welcome(uint64_t incarnation, uint64_t seq)
{
	Tally__Welcome m = TALLY__WELCOME__INIT;

	m.version = WIRE_VERSION;
	m.interval_ms = 1000;
	m.incarnation = incarnation;
	m.seq = seq;
	m.name = "test";
	send_message(FRAME_WELCOME, &m.base);
}

static void send_poll(uint64_t id)
{
	Tally__Poll m = TALLY__POLL__INIT;

	m.id = id;
	m.interval_ms = 1000;
	send_message(FRAME_POLL, &m.base);
}

static void send_ack(void)
{
	Tally__Ack m = TALLY__ACK__INIT;

	m.incarnation = answer->incarnation;
	m.seq = answer->seq;
	send_message(FRAME_ACK, &m.base);
}

static char note_frame(const struct frame *f)
{
	switch (f->type) {
	case FRAME_HELLO:
		tally__hello__free_unpacked(hello, NULL);
		hello = tally__hello__unpack(NULL, f->len, f->body);
		return 'H';
	case FRAME_RECORDS:
		return 'R';
	case FRAME_ANSWER:
		tally__answer__free_unpacked(answer, NULL);
		answer = tally__answer__unpack(NULL, f->len, f->body);
		return 'A';
	default:
		return '?';
	}
}

static void gatherer_read(struct bufferevent *b, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(b);
	struct frame f;
	size_t size;
	int rc;

	while ((rc = frameio_peek(in, FRAME_BODY_MAX, &f, &size)) == 1) {
		size_t n = strlen(seen);

		cr_assert_lt(n, sizeof(seen) - 1);
		seen[n] = note_frame(&f);
		bytes_seen += size;
		evbuffer_drain(in, size);
		if (on_frame)
			on_frame(seen[n]);
	}
	cr_assert_eq(rc, 0, "the provider sent no frame");
}

static void gatherer_event(struct bufferevent *b, short what, void *arg)
{
	if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)))
		return;
	closed++;
	if (b == bev)
		bev = NULL;
	bufferevent_free(b);
}

static void gatherer_accept(
	struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
	accepted++;
	bev = bufferevent_openssl_socket_new(
		base, fd, SSL_new(tls), BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	bufferevent_setcb(bev, gatherer_read, NULL, gatherer_event, NULL);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

static void start_gatherer(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);

	listener = evconnlistener_new_bind(base, gatherer_accept, NULL, LEV_OPT_CLOSE_ON_FREE, 8,
		(struct sockaddr *)&in, sizeof(in));
	cr_assert_not_null(listener);
	getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&in, &len);
	memcpy(furl.id, identity_id(gatherer_key), NODE_ID_SIZE);
	furl.nhosts = 1;
	strcpy(furl.hosts[0].host, "127.0.0.1");
	snprintf(furl.hosts[0].port, sizeof(furl.hosts[0].port), "%u", ntohs(in.sin_port));
	strcpy(furl.secret, "thesecret");
}

static void start_provider(void)
{
	static const char *const only[] = {"self", NULL};
	struct provider_config cfg = {.name = "node one",
		.state_dir = dir,
		.segment_dir = dir,
		.proc_dir = "/proc",
		.interval_ns = NSEC_PER_SEC,
		.ring_bytes = 64u << 20,
		.producers = only};
	struct errmsg e = {""};

	cr_assert_eq(provider_new(&cfg, &provider, &e), 0, "%s", e.text);
	cr_assert_eq(provider_open_ring(provider, &e), 0, "%s", e.text);
}

static void set_up(void)
{
	struct errmsg e = {""};

	signal(SIGPIPE, SIG_IGN);
	diag_init("test", DIAG_ERROR);
	cr_assert_not_null(mkdtemp(dir));
	base = event_base_new();
	cr_assert_eq(identity_load(in_dir("p.pem"), &provider_key, &e), 0, "%s", e.text);
	cr_assert_eq(identity_load(in_dir("g.pem"), &gatherer_key, &e), 0, "%s", e.text);
	tls = tls_context(gatherer_key, true, &e);
	start_provider();
	start_gatherer();
}

static void start_link(void)
{
	struct errmsg e = {""};

	link_ = link_new(base, provider, &furl, provider_key, &e);
	cr_assert_not_null(link_, "%s", e.text);
	link_set_backoff_max(link_, 200 * NSEC_PER_MSEC);
	link_start(link_);
}

static void tear_down(void)
{
	char cmd[100];

	link_free(link_);
	if (bev)
		bufferevent_free(bev);
	evconnlistener_free(listener);
	provider_free(provider);
	event_base_free(base);
	SSL_CTX_free(tls);
	identity_free(provider_key);
	identity_free(gatherer_key);
	tally__hello__free_unpacked(hello, NULL);
	tally__answer__free_unpacked(answer, NULL);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	cr_assert_eq(system(cmd), 0);
}

static void run_ms(uint64_t ms)
{
	struct timeval tv = {
		.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

	event_base_loopexit(base, &tv);
	event_base_dispatch(base);
}

#define RUN_UNTIL(cond)                                                  \
	do {                                                             \
		for (int i_ = 0; i_ < PATIENCE_MS / 10 && !(cond); i_++) \
			run_ms(10);                                      \
		cr_assert(cond, "waited in vain; frames: %s", seen);     \
	} while (0)

static struct link_stats stats(void)
{
	struct link_stats s;

	link_stats(link_, &s);
	return s;
}

static void welcome_and_poll(char letter)
{
	if (letter == 'H') {
		send_welcome(0, 0);
		send_poll(7);
	}
}

static void be_good(char letter)
{
	welcome_and_poll(letter);
	if (letter == 'A')
		send_ack();
}

static void count_done(void *arg)
{
	++*(int *)arg;
}

TestSuite(link, .init = set_up, .fini = tear_down, .timeout = 60);

Test(link, hello_poll_answer_ack)
{
	uint64_t incarnation, seq;

	on_frame = be_good;
	start_link();
	RUN_UNTIL(stats().ack_seq == 1);
	cr_assert_str_eq(seen, "HRA");
	cr_assert_str_eq(hello->secret, "thesecret");
	cr_assert_str_eq(hello->name, "node one");
	cr_assert_eq(hello->version, WIRE_VERSION);
	provider_newest(provider, &incarnation, &seq);
	cr_assert_eq(answer->id, 7);
	cr_assert_eq(answer->incarnation, incarnation);
	cr_assert_eq(answer->seq, seq);
	cr_assert_not(answer->last);
	cr_assert(stats().connected);
	cr_assert_eq(stats().connects, 1);
	cr_assert_eq(stats().bytes_sent, bytes_seen);
	/* The newest snapshot is younger than half the interval: the same one again. */
	send_poll(8);
	RUN_UNTIL(answer->id == 8);
	cr_assert_str_eq(seen, "HRAA");
	cr_assert_eq(answer->seq, 1);
}

Test(link, nothing_is_told_to_another_key)
{
	struct link_stats s;

	furl.id[0] ^= 1;
	start_link();
	RUN_UNTIL(closed >= 2);
	cr_assert_str_eq(seen, "");
	s = stats();
	cr_assert_geq(s.refused, 2);
	cr_assert_geq(s.failures, 2);
	cr_assert_eq(s.bytes_sent, 0);
	cr_assert_not(s.connected);
}

static void refuse(char letter)
{
	Tally__Refused m = TALLY__REFUSED__INIT;

	m.reason = "not you";
	m.code = REFUSED_SECRET;
	send_message(FRAME_REFUSED, &m.base);
}

Test(link, refusal_is_counted_and_tried_again_later)
{
	on_frame = refuse;
	start_link();
	RUN_UNTIL(stats().refused >= 2);
	cr_assert_eq(stats().connects, 0);
	cr_assert_gt(accepted, 1);
}

/* What a gatherer must not send: the link hangs up and tries again, whatever came. */
static void (*misbehave)(void);

static void on_hello_misbehave(char letter)
{
	misbehave();
}

static void poll_before_welcome(void)
{
	send_poll(1);
}

static void ack_before_welcome(void)
{
	Tally__Ack m = TALLY__ACK__INIT;

	send_message(FRAME_ACK, &m.base);
}

static void two_welcomes(void)
{
	send_welcome(0, 0);
	send_welcome(0, 0);
}

static void records_to_provider(void)
{
	frameio_send_bytes(bev, FRAME_RECORDS, "x", 1);
}

static void long_message(void)
{
	static uint8_t zeros[FRAME_CONTROL_MAX + 1];

	frameio_send_bytes(bev, FRAME_WELCOME, zeros, sizeof(zeros));
}

static void no_protobuf(void)
{
	frameio_send_bytes(bev, FRAME_WELCOME, "\xff\xff", 2);
}

static void no_frame(void)
{
	bufferevent_write(bev, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
}

Test(link, misbehaving_gatherers)
{
	static void (*const kinds[])(void) = {poll_before_welcome, ack_before_welcome, two_welcomes,
		records_to_provider, long_message, no_protobuf, no_frame};

	on_frame = on_hello_misbehave;
	misbehave = kinds[0];
	start_link();
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		unsigned int before = closed;

		misbehave = kinds[i];
		RUN_UNTIL(closed >= before + 2);
	}
	on_frame = be_good; /* and a good one is served after all that */
	RUN_UNTIL(stats().ack_seq > 0);
}

static void poll_and_stop_reading(char letter)
{
	welcome_and_poll(letter);
	if (letter == 'H')
		bufferevent_disable(bev, EV_READ);
}

/* The gatherer stops reading: what waits in memory stays small, and nothing is lost for it. */
Test(link, slow_gatherer_costs_no_memory)
{
	struct ring_stats ring;
	int window = 4096;
	uint64_t sent;

	for (int i = 0; i < 200000; i++)
		provider_poll(provider, 0);
	ring_stats(provider_ring(provider), &ring);
	setsockopt(evconnlistener_get_fd(listener), SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
	on_frame = poll_and_stop_reading;
	start_link();
	RUN_UNTIL(strchr(seen, 'H'));
	run_ms(1000);
	sent = stats().bytes_sent;
	run_ms(500);
	cr_assert_eq(stats().bytes_sent, sent, "it goes on reading its ring");
	cr_assert_lt(sent, ring.bytes / 2, "%llu of %llu bytes were read from the ring",
		(unsigned long long)sent, (unsigned long long)ring.bytes);
	bufferevent_enable(bev, EV_READ);
	RUN_UNTIL(strchr(seen, 'A'));
	cr_assert_eq(answer->seq, 200000);
	cr_assert_eq(stats().bytes_sent, bytes_seen);
	cr_assert_eq(answer->lost, 0);
}

Test(link, goes_on_behind_what_the_gatherer_has)
{
	uint64_t incarnation, seq;

	for (int i = 0; i < 5; i++)
		provider_poll(provider, 0);
	provider_newest(provider, &incarnation, &seq);
	start_link();
	RUN_UNTIL(strchr(seen, 'H'));
	send_welcome(incarnation, seq);
	send_poll(1);
	RUN_UNTIL(answer != NULL);
	cr_assert_str_eq(seen, "HA", "there was nothing to send, but frames were %s", seen);
	cr_assert_eq(answer->seq, 5);
}

Test(link, shutdown_delivers_and_waits_for_the_ack)
{
	int done = 0;

	on_frame = welcome_and_poll;
	start_link();
	RUN_UNTIL(answer && answer->id == 7);
	provider_poll(provider, 0);
	link_shutdown(link_, 5 * NSEC_PER_SEC, count_done, &done);
	RUN_UNTIL(answer->last);
	cr_assert_eq(answer->id, 0);
	cr_assert_eq(answer->seq, 2);
	run_ms(200);
	cr_assert_eq(done, 0, "done before the acknowledgement");
	send_ack();
	RUN_UNTIL(done);
	run_ms(100);
	cr_assert_eq(done, 1);
}

Test(link, shutdown_is_bounded)
{
	uint64_t start;
	int done = 0;

	on_frame = welcome_and_poll;
	start_link();
	RUN_UNTIL(answer && answer->id == 7);
	start = clock_monotonic_ns();
	link_shutdown(link_, 300 * NSEC_PER_MSEC, count_done, &done);
	RUN_UNTIL(done);
	cr_assert_geq(clock_monotonic_ns() - start, 290 * NSEC_PER_MSEC);
	cr_assert_lt(clock_monotonic_ns() - start, 3 * NSEC_PER_SEC);
}

Test(link, shutdown_without_a_gatherer)
{
	int done = 0;

	evconnlistener_disable(listener);
	strcpy(furl.hosts[0].port, "1");
	start_link();
	run_ms(50);
	link_shutdown(link_, 5 * NSEC_PER_SEC, count_done, &done);
	RUN_UNTIL(done);
	cr_assert_eq(stats().connects, 0);
}

Test(link, next_host_of_the_furl)
{
	furl.nhosts = 2;
	furl.hosts[1] = furl.hosts[0];
	strcpy(furl.hosts[0].port, "1");
	on_frame = be_good;
	start_link();
	RUN_UNTIL(stats().connected);
	cr_assert_eq(stats().failures, 1);
}
