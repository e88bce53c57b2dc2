/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "tcp": a known number of connections, refusals, resets and lost segments. Others on the machine may
 * connect, too: the exact number must come in one of some tries, and never less.
 */
#include <bpf/btf.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/kernel/lose_first.skel.h"
#define MODULE_UNDER_TEST module_tcp
#include "tests/lib/testmodule.h"
#include "tests/lib/testrtt.h"

enum { TRIES = 20, CONNECTIONS = 50, REFUSED = 30, RESETS = 20, PORTS = 80, OWN = 63 };
enum { TIMED = 10, CLOSING = 10, LOSERS = 5, LOST = 2, ASKED_MAX = 4096, ASKED_MORE = 100 };

static int listen_any(struct sockaddr_in *a)
{
	return tcp_listen(INADDR_LOOPBACK, a);
}

/* Ends each connection in order: the far side has read the end before it closes. */
static void make_connections(int n)
{
	struct sockaddr_in a;
	int listener = listen_any(&a), fds[2];
	char c;

	for (int i = 0; i < n; i++) {
		tcp_connect(listener, &a, fds);
		close(fds[0]);
		cr_assert_eq(read(fds[1], &c, 1), 0);
		close(fds[1]);
	}
	close(listener);
}

static void make_refusals(int n)
{
	struct sockaddr_in a;

	close(listen_any(&a)); /* nobody is at that port now */
	for (int i = 0; i < n; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), -1);
		cr_assert_eq(errno, ECONNREFUSED);
		close(fd);
	}
}

static void make_resets(int n)
{
	struct sockaddr_in a;
	int listener = listen_any(&a), fds[2];
	char c;

	for (int i = 0; i < n; i++) {
		tcp_connect(listener, &a, fds);
		tcp_give_up(fds[0]);
		cr_assert_eq(read(fds[1], &c, 1), -1);
		cr_assert_eq(errno, ECONNRESET);
		close(fds[1]);
	}
	close(listener);
}

struct figures {
	uint64_t out, in, failed, closed, resets, connects, connect_ns, rtts;
};

static uint64_t count(const char *name)
{
	return value(name, NULL, SERIES_VALUE);
}

static struct figures read_figures(void)
{
	poll_producer();
	return (struct figures){
		.out = value("tcp_opened_connections", "direction=\"out\"", SERIES_VALUE),
		.in = value("tcp_opened_connections", "direction=\"in\"", SERIES_VALUE),
		.failed = count("tcp_failed_connects"),
		.closed = count("tcp_closed_connections"),
		.resets = count("tcp_resets_received"),
		.connects = value("tcp_connect_seconds", NULL, SERIES_BUCKET),
		.connect_ns = value("tcp_connect_seconds", NULL, SERIES_SUM),
		.rtts = value("tcp_rtt_seconds", NULL, SERIES_BUCKET),
	};
}

Test_together(tcp, known_connections)
{
	const uint64_t all = CONNECTIONS + RESETS;
	bool exact = false;

	for (int i = 0; i < TRIES && !exact; i++) {
		struct figures a = read_figures(), b;

		make_connections(CONNECTIONS);
		make_refusals(REFUSED);
		make_resets(RESETS);
		b = read_figures();
		/* the last packets of a connection are the kernel's own affair, and may come later */
		for (int k = 0; k < 200 && b.closed - a.closed < 2 * all; k++) {
			usleep(10000);
			b = read_figures();
		}
		cr_assert_geq(b.out - a.out, all);
		cr_assert_geq(b.in - a.in, all);
		cr_assert_geq(b.failed - a.failed, REFUSED);
		cr_assert_geq(b.closed - a.closed, 2 * all);
		cr_assert_geq(b.resets - a.resets, RESETS + REFUSED);
		cr_assert_geq(b.connects - a.connects, all);
		exact = b.out - a.out == all && b.in - a.in == all &&
			b.failed - a.failed == REFUSED && b.closed - a.closed == 2 * all &&
			b.resets - a.resets == RESETS + REFUSED && b.connects - a.connects == all;
		printf("closed %lu, round-trip times %lu, connect took %lu ns\n",
			b.closed - a.closed, b.rtts - a.rtts,
			(b.connect_ns - a.connect_ns) / (b.connects - a.connects));
		/* a loopback answers within 10 ms, and not at once */
		cr_assert_gt(b.connect_ns - a.connect_ns, 1000 * all);
		cr_assert_lt(b.connect_ns - a.connect_ns, 10 * NSEC_PER_MSEC * all);
		cr_assert_geq(b.rtts - a.rtts, all);
	}
	cr_assert(exact, "in none of %d tries", TRIES);
}

/* Both ends finish before they hear of the other, and give up then. */
static void make_simultaneous_ends(int n)
{
	int fds[2];

	for (int i = 0; i < n; i++) {
		tcp_pair(fds);
		tcp_drop_all(fds[0]);
		cr_assert_eq(shutdown(fds[1], SHUT_WR), 0);
		cr_assert_eq(shutdown(fds[0], SHUT_WR), 0);
		tcp_give_up(fds[0]);
		tcp_give_up(fds[1]);
	}
}

/* States of known lives: an orderly end, a refusal, ends of both sides at once; each kind has its listeners. */
static const struct life {
	const char *state;
	uint64_t entered;
} lives[] = {
	{"listen", 1 + 1 + CLOSING},
	{"syn_sent", CONNECTIONS + REFUSED + CLOSING},
	{"syn_recv", CONNECTIONS + CLOSING},
	{"established", 2 * CONNECTIONS + 2 * CLOSING},
	{"fin_wait1", CONNECTIONS + 2 * CLOSING},
	{"fin_wait2", CONNECTIONS},
	{"closing", CLOSING},
	{"close_wait", CONNECTIONS},
	{"last_ack", CONNECTIONS},
	{"time_wait", 0},
	{"close", 2 * CONNECTIONS + REFUSED + 2 * CLOSING + 1 + 1 + CLOSING},
};

enum { LIVES = sizeof(lives) / sizeof(lives[0]) };

static void read_lives(uint64_t entered[LIVES])
{
	char label[32];

	poll_producer();
	for (int i = 0; i < LIVES; i++) {
		snprintf(label, sizeof(label), "state=\"%s\"", lives[i].state);
		entered[i] = value("tcp_states_entered", label, SERIES_VALUE);
	}
}

/* How many states have not been entered as often as they should; told: says which. */
static int count_wrong_lives(const uint64_t before[LIVES], bool told)
{
	uint64_t now[LIVES];
	int wrong = 0;

	read_lives(now);
	for (int i = 0; i < LIVES; i++) {
		wrong += now[i] - before[i] != lives[i].entered;
		if (told)
			printf("%s %lu of %lu, ", lives[i].state, now[i] - before[i],
				lives[i].entered);
	}
	if (told)
		printf("%d wrong\n", wrong);
	return wrong;
}

Test_together(tcp, states_of_known_lives)
{
	int wrong = LIVES;

	for (int try = 0; try < TRIES && wrong; try++) {
		uint64_t before[LIVES];

		read_lives(before);
		make_connections(CONNECTIONS);
		make_refusals(REFUSED);
		make_simultaneous_ends(CLOSING);
		/* the last packets may come later, as above */
		for (int k = 0; k < 50 && count_wrong_lives(before, false); k++)
			usleep(10000);
		wrong = count_wrong_lives(before, true);
	}
	cr_assert_eq(wrong, 0, "in none of %d tries", TRIES);
}

Test_together(tcp, round_trips_are_those_of_the_sockets)
{
	struct rtts before, now, wanted, counted;
	bool all = false;

	for (int i = 0; i < TRIES && !all; i++) {
		int fds[2];

		wanted = (struct rtts){0};
		poll_producer();
		before = read_rtts("tcp_rtt_seconds", NULL);
		for (int k = 0; k < TIMED; k++) {
			tcp_pair(fds);
			use_up(fds, &wanted, &wanted);
		}
		cr_assert_geq(wanted.n, TIMED);
		poll_producer();
		now = read_rtts("tcp_rtt_seconds", NULL);
		counted = rtts_since("both sides", &wanted, &now, &before);
		all = same_rtts(&counted, &wanted);
	}
	cr_assert(all, "in none of %d tries", TRIES);
}

/* Connections to a port that were opened by connect, "out", or by accept, "in". */
static uint64_t opened(const struct sockaddr_in *a, const char *direction)
{
	char labels[64];

	snprintf(labels, sizeof(labels), "port=\"%u\",direction=\"%s\"", ntohs(a->sin_port),
		direction);
	return value("tcp_opened_connections", labels, SERIES_VALUE);
}

/* Who connects has a port of its own, which is not the service's. */
Test(tcp, opened_by_the_port_of_the_service, .init = setup, .fini = teardown)
{
	struct sockaddr_in a, client;
	int listener = listen_any(&a), fds[2];
	socklen_t len = sizeof(client);

	for (int i = 0; i < CONNECTIONS; i++) {
		tcp_connect(listener, &a, fds);
		cr_assert_eq(getsockname(fds[0], (struct sockaddr *)&client, &len), 0);
		tcp_give_up(fds[0]);
		close(fds[1]);
	}
	close(listener);
	poll_producer();
	cr_assert_eq(opened(&a, "out"), CONNECTIONS);
	cr_assert_eq(opened(&a, "in"), CONNECTIONS);
	cr_assert_eq(opened(&client, "out"), 0);
	cr_assert_eq(opened(&client, "in"), 0);
}

/* The first ports have series of their own; connections to others are seen together. */
Test(tcp, more_ports_than_slots, .init = setup_unless_emulated, .fini = teardown)
{
	uint64_t with_own = 0, all = PORTS;
	struct sockaddr_in a[PORTS];
	int listeners[PORTS], fds[2];

	for (int i = 0; i < PORTS; i++) {
		listeners[i] = listen_any(&a[i]);
		tcp_connect(listeners[i], &a[i], fds);
		tcp_give_up(fds[0]);
		close(fds[1]);
	}
	poll_producer();
	for (int i = 0; i < PORTS; i++) {
		uint64_t out = opened(&a[i], "out");

		cr_assert_leq(out, 1);
		cr_assert_eq(opened(&a[i], "in"), out);
		with_own += out;
		close(listeners[i]);
	}
	printf("%lu ports of %d have series\n", with_own, PORTS);
	cr_assert_leq(with_own, OWN);
	cr_assert_geq(with_own, OWN - 8); /* others on this machine may have come first */
	for (int side = 0; side < 2; side++) {
		const char *other = side ? "port=\"other\",direction=\"in\""
					 : "port=\"other\",direction=\"out\"";

		cr_assert_geq(value("tcp_opened_connections", other, SERIES_VALUE), all - with_own);
	}
}

/* A network namespace with nothing but a loopback, for good: there is nobody else. */
static void enter_own_network(void)
{
	struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd;

	cr_assert_eq(unshare(CLONE_NEWNET), 0);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	cr_assert_eq(ioctl(fd, SIOCSIFFLAGS, &up), 0);
	close(fd);
}

/* Of this network namespace, from /proc/net/snmp. The tracepoints see all of them. */
static uint64_t proc_tcp(const char *name)
{
	char names[1024], values[1024], *n, *v, *in_names, *in_values;
	FILE *f = fopen("/proc/net/snmp", "r");

	cr_assert_not_null(f);
	while (fgets(names, sizeof(names), f) && strncmp(names, "Tcp:", 4))
		;
	cr_assert_not_null(fgets(values, sizeof(values), f));
	fclose(f);
	n = strtok_r(names, " \n", &in_names);
	v = strtok_r(values, " \n", &in_values);
	while (n && v && strcmp(n, name)) {
		n = strtok_r(NULL, " \n", &in_names);
		v = strtok_r(NULL, " \n", &in_values);
	}
	cr_assert(n && v, "%s", name);
	return strtoull(v, NULL, 10);
}

/* A filter that loses the first LOST segments; fds[1] owns it. */
static void lose_first(const int fds[2])
{
	struct lose_first_bpf *filter = lose_first_bpf__open();
	int fd;

	cr_assert_not_null(filter);
	filter->rodata->first = LOST;
	cr_assert_eq(lose_first_bpf__load(filter), 0);
	fd = bpf_program__fd(filter->progs.lose_first);
	cr_assert_eq(setsockopt(fds[1], SOL_SOCKET, SO_ATTACH_BPF, &fd, sizeof(fd)), 0);
	lose_first_bpf__destroy(filter);
}

/* Each of some connections sends one byte, which arrives when LOST copies of it are lost. */
static void send_until_it_arrives(void)
{
	int fds[LOSERS][2];
	char c;

	for (int i = 0; i < LOSERS; i++) {
		tcp_pair(fds[i]);
		lose_first(fds[i]);
	}
	for (int i = 0; i < LOSERS; i++)
		cr_assert_eq(write(fds[i][0], "x", 1), 1);
	for (int i = 0; i < LOSERS; i++) {
		cr_assert_eq(read(fds[i][1], &c, 1), 1);
		cr_assert_geq(tcp_at_rest(fds[i][0]).tcpi_total_retrans, LOST);
		tcp_give_up(fds[i][0]);
		tcp_give_up(fds[i][1]);
	}
}

/*
 * Of some tries, in one all must be there: a kernel may be made so that programs don't run while some process
 * does, such as the first one of a virtual machine, and what a timer sends again just then is not counted.
 */
Test_together(tcp, a_retransmit_for_each_segment_lost)
{
	const uint64_t all = LOSERS * LOST;
	uint64_t told = 0, ours = 0;

	enter_own_network();
	for (int try = 0; try < TRIES && (told != all || ours != all); try++) {
		told = proc_tcp("RetransSegs");
		poll_producer();
		ours = count("tcp_retransmits");
		send_until_it_arrives();
		poll_producer();
		ours = count("tcp_retransmits") - ours;
		told = proc_tcp("RetransSegs") - told;
		printf("%lu segments lost; the kernel sent %lu again, %lu counted\n", all, told,
			ours);
	}
	cr_assert_eq(told, all, "in none of %d tries", TRIES);
	cr_assert_eq(ours, all, "in none of %d tries", TRIES);
}

/* Both sides of each connection give up, and none hears of the other. */
static void make_unheard_resets(int n)
{
	int fds[2];

	for (int i = 0; i < n; i++) {
		tcp_pair(fds);
		tcp_drop_all(fds[1]);
		tcp_give_up(fds[0]);
		tcp_give_up(fds[1]);
	}
}

/* Who closes a connection has not read what was sent to it. */
static void make_unread_ends(int n)
{
	struct pollfd over = {.events = POLLIN};
	int fds[2];

	for (int i = 0; i < n; i++) {
		tcp_pair(fds);
		cr_assert_eq(write(fds[0], "x", 1), 1);
		over.fd = fds[1];
		cr_assert_eq(poll(&over, 1, 10000), 1);
		close(fds[1]);
		over.fd = fds[0];
		cr_assert_eq(poll(&over, 1, 10000), 1);
		cr_assert(over.revents & POLLHUP);
		close(fds[0]);
	}
}

/* Linux from 6.10 on, where the tracepoint is one of its own kind. */
static bool tells_of_resets_without_socket(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int id = btf__find_by_name_kind(btf, "trace_event_raw_tcp_send_reset", BTF_KIND_STRUCT);

	btf__free(btf);
	return id > 0;
}

Test_together(tcp, resets_are_of_who_sends_them)
{
	const uint64_t all = 2 * RESETS + CONNECTIONS + REFUSED, heard = CONNECTIONS + REFUSED;
	const uint64_t told = tells_of_resets_without_socket() ? all : all - REFUSED;
	uint64_t sent = 0, received = 0, before;

	enter_own_network();
	for (int try = 0; try < TRIES && (sent != told || received != heard); try++) {
		before = proc_tcp("OutRsts");
		poll_producer();
		sent = count("tcp_resets_sent");
		received = count("tcp_resets_received");
		make_unheard_resets(RESETS);
		make_unread_ends(CONNECTIONS);
		make_refusals(REFUSED);
		poll_producer();
		sent = count("tcp_resets_sent") - sent;
		received = count("tcp_resets_received") - received;
		printf("%lu of %lu resets sent, %lu of %lu received\n", sent, told, received,
			heard);
		cr_assert_eq(proc_tcp("OutRsts") - before, all);
	}
	cr_assert_eq(sent, told, "in none of %d tries", TRIES);
	cr_assert_eq(received, heard, "in none of %d tries", TRIES);
}

/* Gives the loopback of this network namespace one more address, or another one in its place. */
static void set_address(uint32_t address)
{
	struct ifreq alias = {.ifr_name = "lo:1"};
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	memcpy(&alias.ifr_addr, &a, sizeof(a));
	cr_assert_eq(ioctl(fd, SIOCSIFADDR, &alias), 0);
	close(fd);
}

/* Returns how often the kernel tried in vain to send again, as our program counts it: its address is gone. */
static uint64_t send_from_nowhere(void)
{
	const uint32_t here = 0xc0000201, elsewhere = 0xc0000301; /* of RFC 5737 */
	struct sockaddr_in a;
	int listener, fds[2];
	uint64_t ours;

	enter_own_network();
	set_address(here);
	listener = tcp_listen(here, &a);
	tcp_connect(listener, &a, fds);
	tcp_drop_all(fds[1]);
	cr_assert_eq(write(fds[0], "x", 1), 1);
	set_address(elsewhere);
	poll_producer();
	ours = count("tcp_retransmits");
	usleep(1000000);
	cr_assert_eq(proc_tcp("RetransSegs"), 0);
	poll_producer();
	tcp_give_up(fds[0]);
	close(fds[1]);
	close(listener);
	return count("tcp_retransmits") - ours;
}

/* Newer kernels' tracepoint tells of failures, too. */
Test(tcp, what_could_not_be_sent_again_is_not_counted, .init = setup_unless_emulated,
	.fini = teardown)
{
	uint64_t ours = 1;

	for (int try = 0; try < TRIES && ours; try++) {
		ours = send_from_nowhere();
		printf("%lu counted, none sent\n", ours);
	}
	cr_assert_eq(ours, 0, "in none of %d tries", TRIES);
}

/* A connect that began before the programs were attached again: its end counts, its time does not. */
Test(tcp, a_connect_over_a_hold_is_not_timed, .init = setup_unless_emulated, .fini = teardown)
{
	struct pollfd waiting = {.events = POLLOUT};
	struct figures a, b;
	struct sockaddr_in addr;
	int listener, fds[8], n = 0;

	listener = listen_any(&addr);
	cr_assert_eq(listen(listener, 0), 0);
	/* what finds no place in its queue is not answered, and asks again after a second */
	do {
		cr_assert_lt(n, 8);
		fds[n] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fds[n], (struct sockaddr *)&addr, sizeof(addr));
		waiting.fd = fds[n++];
	} while (poll(&waiting, 1, 100) == 1);
	cr_assert_eq(module_set_level(&producer, BUDGET_HELD), 0);
	cr_assert_eq(module_set_level(&producer, BUDGET_HELD), 0);
	cr_assert_eq(module_set_level(&producer, BUDGET_WHOLE), 0);
	a = read_figures();
	for (int i = 0; i < n - 1; i++)
		close(accept(listener, NULL, NULL));
	cr_assert_eq(poll(&waiting, 1, 10000), 1);
	b = read_figures();
	printf("%lu opened, connects took %lu us\n", b.out - a.out,
		(b.connect_ns - a.connect_ns) / 1000);
	cr_assert_geq(b.out - a.out, 1);
	cr_assert_lt(b.connect_ns - a.connect_ns, 300 * NSEC_PER_MSEC);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	close(listener);
}

/* Sockets that ask all at once, get no answer and are closed. */
static void ask_in_vain(void)
{
	int listener, fds[ASKED_MAX + ASKED_MORE];
	const int n = sizeof(fds) / sizeof(fds[0]);
	struct rlimit files = {(rlim_t)n + 100, (rlim_t)n + 100};
	struct sockaddr_in a;

	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
	listener = listen_any(&a);
	tcp_drop_all(listener);
	for (int i = 0; i < n; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		cr_assert_eq(connect(fds[i], (struct sockaddr *)&a, sizeof(a)), -1);
		cr_assert_eq(errno, EINPROGRESS);
	}
	for (int i = 0; i < n; i++)
		close(fds[i]);
	close(listener);
}

/* Twice, since those that got no answer must leave room for others. */
Test(tcp, more_connects_than_there_is_room_for, .init = setup, .fini = teardown)
{
	const uint64_t all = ASKED_MAX + ASKED_MORE;
	int exact = 0;

	for (int try = 0; try < TRIES && exact < 2; try++) {
		struct figures a = read_figures(), b;
		uint64_t unknown = count("tcp_unknown_connects");

		ask_in_vain();
		b = read_figures();
		unknown = count("tcp_unknown_connects") - unknown;
		printf("%lu in vain, %lu unknown\n", b.failed - a.failed, unknown);
		exact += unknown == ASKED_MORE && b.failed - a.failed == all;
	}
	cr_assert_eq(exact, 2, "in %d of %d tries", exact, TRIES);
}
