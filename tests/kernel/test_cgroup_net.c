/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "cgroup_net": known datagrams and a known stream between sockets of two cgroups, which may be gone already.
 * What a stream was cut into, and what was acknowledged, the kernel itself tells of each socket.
 */
#include <bpf/bpf.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#define MODULE_UNDER_TEST module_cgroup_net
#include "tests/lib/testcgroup.h"
#include "tests/lib/testmodule.h"
#include "tests/lib/testtcp.h"

enum {
	DATAGRAMS = 200,
	PAYLOAD = 700,
	AT_ONCE = 20,
	CGROUPS = 40,
	STREAM = 4 << 20,
	CHUNK = 1 << 15
};
enum { IP4_UDP = 20 + 8, IP6_UDP = 40 + 8, IP4_TCP = 20 + 20, TIMESTAMPS = 12, SEGMENT = 1000 };

/*
 * A kernel may be made so that programs don't run while some process does, such as the first one of a virtual
 * machine: what arrives just then is not counted. So each test has some rounds, until in one of them all is
 * there; more than all is never right.
 */
enum { ROUNDS = 6 };

struct traffic {
	uint64_t bytes, packets;
};

static char sender[64], receiver[64];
static bool made;

static void make_cgroups(void)
{
	snprintf(sender, sizeof(sender), "/tallytest-%d-sender", (int)getpid());
	snprintf(receiver, sizeof(receiver), "/tallytest-%d-receiver", (int)getpid());
	cgroup_make(sender);
	cgroup_make(receiver);
	made = true;
}

static void remove_cgroups(void)
{
	cgroup_enter("");
	cgroup_remove(sender);
	cgroup_remove(receiver);
	made = false;
}

/* Also after a test that failed on its way. */
static void end(void)
{
	if (made)
		remove_cgroups();
	teardown();
}

/* What was counted so far, as of the last poll. */
static struct traffic counted(const char *cgroup, const char *direction)
{
	char labels[200];

	snprintf(labels, sizeof(labels), "cgroup=\"%s\",direction=\"%s\"", cgroup, direction);
	return (struct traffic){value("cgroup_network_bytes", labels, SERIES_VALUE),
		value("cgroup_network_packets", labels, SERIES_VALUE)};
}

/* What was counted since *before, which is moved on: at most what was sent. Is it all? */
static bool all_counted(
	const char *cgroup, const char *direction, struct traffic *before, struct traffic sent)
{
	struct traffic now = counted(cgroup, direction);
	uint64_t bytes = now.bytes - before->bytes, packets = now.packets - before->packets;

	printf("%s %s: %lu bytes of %lu, %lu packets of %lu\n", cgroup, direction, bytes,
		sent.bytes, packets, sent.packets);
	cr_assert_leq(bytes, sent.bytes);
	cr_assert_leq(packets, sent.packets);
	*before = now;
	return bytes == sent.bytes && packets == sent.packets;
}

/* --- datagrams --------------------------------------------------------------------------------- */

/* fds[0], made in one cgroup, sends to fds[1], made in the other. False if this machine has no such addresses. */
static bool udp_pair(int family, int fds[2])
{
	struct sockaddr_storage a = {.ss_family = (sa_family_t)family};
	socklen_t len = sizeof(a);

	if (family == AF_INET)
		((struct sockaddr_in *)&a)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&a)->sin6_addr = in6addr_loopback;
	cgroup_enter(receiver);
	fds[1] = socket(family, SOCK_DGRAM, 0);
	if (fds[1] < 0 || bind(fds[1], (struct sockaddr *)&a, sizeof(a)))
		return false;
	cr_assert_eq(getsockname(fds[1], (struct sockaddr *)&a, &len), 0);
	cgroup_enter(sender);
	fds[0] = socket(family, SOCK_DGRAM, 0);
	cr_assert_eq(connect(fds[0], (struct sockaddr *)&a, len), 0);
	return true;
}

/* Some at once, which the kernel or the network card cuts. Every one arrives. */
static void send_datagrams(const int fds[2], int at_once)
{
	static char data[DATAGRAMS * PAYLOAD];
	size_t size = (size_t)at_once * PAYLOAD;

	for (int i = 0; i < DATAGRAMS; i++) {
		if (i % at_once == 0)
			cr_assert_eq(send(fds[0], data, size, 0), (ssize_t)size);
		cr_assert_eq(recv(fds[1], data, size, 0), PAYLOAD);
	}
}

static void check_datagrams(const int fds[2], uint64_t header, int at_once)
{
	struct traffic sent = {DATAGRAMS * (PAYLOAD + header), DATAGRAMS}, out, in;
	bool all = false;

	poll_producer();
	out = counted(sender, "transmit");
	in = counted(receiver, "receive");
	for (int round = 0; round < ROUNDS && !all; round++) {
		send_datagrams(fds, at_once);
		poll_producer();
		all = all_counted(sender, "transmit", &out, sent);
		all &= all_counted(receiver, "receive", &in, sent);
	}
	cr_assert(all);
	cr_assert_eq(counted(sender, "receive").packets, 0);
	cr_assert_eq(counted(receiver, "transmit").packets, 0);
}

/* The first packet of all comes when both cgroups are gone: their sockets know them still. */
Test(cgroup_net, datagrams_of_cgroups_that_are_gone, .init = setup, .fini = end)
{
	int fds[2];

	make_cgroups();
	cr_assert(udp_pair(AF_INET, fds));
	remove_cgroups();
	check_datagrams(fds, IP4_UDP, 1);
}

Test(cgroup_net, datagrams_of_ip6, .init = setup_unless_emulated, .fini = end)
{
	int fds[2];
	bool any;

	make_cgroups();
	any = udp_pair(AF_INET6, fds);
	remove_cgroups();
	if (!any)
		cr_skip_test("no IPv6 here");
	check_datagrams(fds, IP6_UDP, 1);
}

Test(cgroup_net, datagrams_that_are_cut_late, .init = setup, .fini = end)
{
	int fds[2], size = PAYLOAD;

	make_cgroups();
	cr_assert(udp_pair(AF_INET, fds));
	remove_cgroups();
	cr_assert_eq(setsockopt(fds[0], IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
	check_datagrams(fds, IP4_UDP, AT_ONCE);
}

static const char *path_of(int i)
{
	static char path[64];

	snprintf(path, sizeof(path), "/tallytest-%d-%d", (int)getpid(), i);
	return path;
}

/* More than a CPU remembers. What is sent runs in the sender: all of it is counted. */
Test(cgroup_net, cgroups_that_take_turns, .init = setup_unless_emulated, .fini = end)
{
	int fds[2], senders[CGROUPS];
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	make_cgroups();
	cr_assert(udp_pair(AF_INET, fds));
	remove_cgroups();
	cr_assert_eq(getsockname(fds[1], (struct sockaddr *)&a, &len), 0);
	for (int i = 0; i < CGROUPS; i++) {
		cgroup_make(path_of(i));
		cgroup_enter(path_of(i));
		senders[i] = socket(AF_INET, SOCK_DGRAM, 0);
		cgroup_enter("");
		cgroup_remove(path_of(i));
	}
	for (int turn = 0; turn < CGROUPS; turn++)
		for (int i = turn; i < CGROUPS; i++)
			cr_assert_eq(sendto(senders[i], "x", 1, 0, (struct sockaddr *)&a, len), 1);
	poll_producer();
	for (int i = 0; i < CGROUPS; i++)
		cr_assert_eq(counted(path_of(i), "transmit").packets, i + 1, "%s", path_of(i));
}

/* The kernel would not let it attach them again. */
Test(cgroup_net, held_and_let_go_without_privileges, .init = setup, .fini = end)
{
	struct traffic before;
	int fds[2];

	make_cgroups();
	cr_assert(udp_pair(AF_INET, fds));
	remove_cgroups();
	drop_all_privileges();
	check_datagrams(fds, IP4_UDP, 1);
	cr_assert_eq(module_set_level(&producer, BUDGET_HELD), 0);
	before = counted(sender, "transmit");
	send_datagrams(fds, 1);
	poll_producer();
	cr_assert_eq(counted(sender, "transmit").packets, before.packets, "counted while held");
	cr_assert_eq(module_set_level(&producer, BUDGET_WHOLE), 0);
	check_datagrams(fds, IP4_UDP, 1);
}

/* --- a stream ---------------------------------------------------------------------------------- */

static struct tcp_info info_of(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	cr_assert_eq(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info;
}

/* A connection of segments so small that the kernel hands on many of them as one. */
static void tcp_pair_of_two(int fds[2])
{
	int segment = SEGMENT, listener;
	struct sockaddr_in a;

	cgroup_enter(receiver);
	listener = tcp_listen(INADDR_LOOPBACK, &a);
	cr_assert_eq(setsockopt(listener, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment)), 0);
	cgroup_enter(sender);
	tcp_connect(listener, &a, fds);
	close(listener);
}

/* Until all is acknowledged. */
static void send_stream(const int fds[2])
{
	static char data[CHUNK];

	for (int sent = 0; sent < STREAM; sent += CHUNK) {
		cr_assert_eq(send(fds[0], data, CHUNK, 0), CHUNK);
		cr_assert_eq(recv(fds[1], data, CHUNK, MSG_WAITALL), CHUNK);
	}
	for (int i = 0; i < 1000 && info_of(fds[0]).tcpi_unacked; i++)
		usleep(1000);
	usleep(100000); /* longer than an acknowledgement is put off */
}

Test(cgroup_net, stream_with_all_its_headers, .init = setup, .fini = end)
{
	struct traffic out = {0}, in = {0}, back = {0};
	uint64_t runs;
	bool all = false;
	int fds[2];

	make_cgroups();
	tcp_pair_of_two(fds);
	remove_cgroups();
	for (int round = 0; round < ROUNDS && !all; round++) {
		struct tcp_info begin = info_of(fds[0]), end;
		uint64_t header =
			IP4_TCP + (begin.tcpi_options & TCPI_OPT_TIMESTAMPS ? TIMESTAMPS : 0);
		struct traffic there, acks;

		poll_producer();
		out = counted(sender, "transmit");
		in = counted(receiver, "receive");
		back = counted(sender, "receive");
		runs = value("bpf_program_runs", NULL, SERIES_VALUE);
		send_stream(fds);
		end = info_of(fds[0]);
		there.packets = end.tcpi_segs_out - begin.tcpi_segs_out;
		there.bytes = end.tcpi_bytes_sent - begin.tcpi_bytes_sent + there.packets * header;
		acks.packets = end.tcpi_segs_in - begin.tcpi_segs_in;
		acks.bytes = acks.packets * header;
		poll_producer();
		runs = value("bpf_program_runs", NULL, SERIES_VALUE) - runs;
		printf("%lu runs\n", runs);
		/* of what comes twice the acknowledgement says so, and is longer */
		if (end.tcpi_total_retrans > begin.tcpi_total_retrans)
			continue;
		cr_assert_geq(there.packets, STREAM / SEGMENT);
		all = all_counted(sender, "transmit", &out, there);
		all &= all_counted(receiver, "receive", &in, there);
		all &= all_counted(sender, "receive", &back, acks);
		cr_assert_lt(runs, there.packets, "the kernel cut it before");
	}
	cr_assert(all);
}

/* --- programs of others ------------------------------------------------------------------------ */

/* Attaches a program that lets all pass, with flags; negative errno value. */
static int attach_other(int cgroup, uint32_t flags, int *ret_program)
{
	const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
		{.code = BPF_JMP | BPF_EXIT}};
	int fd = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SKB, "other", "GPL", insns, 2, NULL);

	cr_assert_geq(fd, 0);
	*ret_program = fd;
	return bpf_prog_attach(fd, cgroup, BPF_CGROUP_INET_EGRESS, flags) ? -errno : 0;
}

static uint32_t count_attached(int cgroup)
{
	uint32_t ids[64], n = 64, flags;

	cr_assert_eq(bpf_prog_query(cgroup, BPF_CGROUP_INET_EGRESS, 0, &flags, ids, &n), 0);
	return n;
}

Test(cgroup_net, beside_programs_of_others, .init = nothing_unless_emulated, .fini = teardown)
{
	int root = open(cgroup_root(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), other;
	struct errmsg e = {""};
	uint32_t before;
	int err;

	cr_assert_eq(attach_other(root, BPF_F_ALLOW_MULTI, &other), 0);
	before = count_attached(root);
	setup();
	cr_assert_eq(count_attached(root), before + 1);
	teardown();
	cr_assert_eq(count_attached(root), before);
	cr_assert_eq(bpf_prog_detach2(other, root, BPF_CGROUP_INET_EGRESS), 0);
	close(other);
	/* one that wants to be alone stays alone */
	if (attach_other(root, 0, &other))
		cr_skip_test("others have programs there");
	err = open_producer(&e);
	before = count_attached(root);
	cr_assert_eq(bpf_prog_detach2(other, root, BPF_CGROUP_INET_EGRESS), 0);
	printf("%s\n", e.text);
	cr_assert_eq(err, -EPERM);
	cr_assert_not_null(strstr(e.text, "a program at the root cgroup"));
	cr_assert_eq(before, 1);
}
