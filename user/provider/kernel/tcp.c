/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "tcp": connections, round-trip times, retransmits and resets, by bpf/tcp.bpf.c. */
#include "bpf/tcp.h"
#include "bpf/tcp.skel.h"
#include "user/provider/kernel/modules.h"

enum { STATE, RETRANSMIT, RESET_SENT, RESET_RECEIVED };

static const struct load_member members[] = {
	{"tcp_sock", "srtt_us", "CONFIG_INET"},
	{"sock_common", "skc_dport", "CONFIG_INET"},
	{NULL, NULL, NULL},
};

static const struct module_program programs[] = {
	[STATE] = {.needs = {"tally_tcp_state", "inet_sock_set_state", members},
		.own = offsetof(struct tcp_cpu, state),
		.runs = "some five times in a connection's life"},
	[RETRANSMIT] = {.needs = {"tally_tcp_again", "tcp_retransmit_skb", NULL},
		.own = offsetof(struct tcp_cpu, retransmit),
		.runs = "at each segment sent again"},
	[RESET_SENT] = {.needs = {"tally_rst_sent", "tcp_send_reset", NULL},
		.own = offsetof(struct tcp_cpu, reset_sent),
		.runs = "at each reset sent"},
	[RESET_RECEIVED] = {.needs = {"tally_rst_got", "tcp_receive_reset", NULL},
		.own = offsetof(struct tcp_cpu, reset_received),
		.runs = "at each reset received"},
};

static const char *const sides[TCP_SIDES] = {[TCP_OUT] = "out", [TCP_IN] = "in"};

/*
 * From TCP_ESTABLISHED on. "time_wait" holds its place: what waits so is no longer a socket, and the tracepoint
 * tells of none.
 */
static const char *const states[TCP_STATES] = {"established", "syn_sent", "syn_recv", "fin_wait1",
	"fin_wait2", "time_wait", "close", "close_wait", "last_ack", "listen", "closing"};

static const struct module_metric metrics[] = {
	{.name = "tcp_opened_connections",
		.unit = "",
		.help = "TCP connections established, by the service's port: out by connect, in by "
			"accept",
		.source = "change of state to ESTABLISHED",
		.type = METRIC_COUNTER,
		.slotted = true,
		.program = STATE,
		.offset = offsetof(struct tcp_cell, opened),
		.label = "direction",
		.values = sides,
		.n = TCP_SIDES,
		.stride = sizeof(uint64_t)},
	{.name = "tcp_states_entered",
		.unit = "",
		.help = "TCP sockets that came into a state; of time_wait the kernel tells nothing",
		.source = "the tracepoint",
		.type = METRIC_COUNTER,
		.program = STATE,
		.offset = offsetof(struct tcp_cpu, entered),
		.label = "state",
		.values = states,
		.n = TCP_STATES,
		.stride = sizeof(uint64_t)},
	{.name = "tcp_failed_connects",
		.unit = "",
		.help = "TCP connections that were asked for and not established",
		.source = "change of state from SYN_SENT to CLOSE",
		.type = METRIC_COUNTER,
		.program = STATE,
		.offset = offsetof(struct tcp_cpu, failed)},
	{.name = "tcp_closed_connections",
		.unit = "",
		.help = "TCP connections that were established and have ended",
		.source = "change of state to CLOSE",
		.type = METRIC_COUNTER,
		.program = STATE,
		.offset = offsetof(struct tcp_cpu, closed)},
	{.name = "tcp_connect_seconds",
		.unit = "seconds",
		.help = "Time from connect to the answer, of connections that were established",
		.source = "clock at the changes of state to SYN_SENT and to ESTABLISHED",
		.type = METRIC_HISTOGRAM,
		.scale = -9,
		.lo = TCP_CONNECT_LO,
		.hi = TCP_CONNECT_HI,
		.program = STATE,
		.offset = offsetof(struct tcp_cpu, connect),
		.sum = offsetof(struct tcp_cpu, connect_ns)},
	{.name = "tcp_unknown_connects",
		.unit = "",
		.help = "Connects that tcp_connect_seconds lacks, there being over 4096 at once",
		.source = "insertions into a map that failed",
		.type = METRIC_COUNTER,
		.program = STATE,
		.offset = offsetof(struct tcp_cpu, unknown)},
	{.name = "tcp_rtt_seconds",
		.unit = "seconds",
		.help = "Round-trip time of a TCP connection, smoothed, when it ended",
		.source = "tcp_sock.srtt_us at the change of state to CLOSE",
		.type = METRIC_HISTOGRAM,
		.scale = -6,
		.lo = TCP_RTT_LO,
		.hi = TCP_RTT_HI,
		.program = STATE,
		.offset = offsetof(struct tcp_cpu, rtt),
		.sum = offsetof(struct tcp_cpu, rtt_us)},
	{.name = "tcp_retransmits",
		.unit = "",
		.help = "TCP segments sent again",
		.source =
			"the tracepoint: RetransSegs of /proc/net/snmp, in all network namespaces",
		.type = METRIC_COUNTER,
		.program = RETRANSMIT,
		.offset = offsetof(struct tcp_cpu, retransmit.runs)},
	{.name = "tcp_resets_sent",
		.unit = "",
		.help = "TCP resets sent, in answer to a segment or by who gives a connection up",
		.source = "the tracepoint: OutRsts of /proc/net/snmp, in all network namespaces; "
			  "before Linux 6.10 without answers from ports where nobody listens",
		.type = METRIC_COUNTER,
		.program = RESET_SENT,
		.offset = offsetof(struct tcp_cpu, reset_sent.runs)},
	{.name = "tcp_resets_received",
		.unit = "",
		.help = "TCP resets received by an open connection",
		.source = "the tracepoint",
		.type = METRIC_COUNTER,
		.program = RESET_RECEIVED,
		.offset = offsetof(struct tcp_cpu, reset_received.runs)},
};

static const struct module_slots slots = {
	.map = "tally_tcp", .size = sizeof(struct tcp_cell), MODULE_PORT_NAMES};

const struct module module_tcp = {
	.ops = {.name = "tcp",
		.help = "TCP connections, round-trip times, retransmits, resets (BPF)",
		MODULE_FUNCTIONS},
	.elf = tcp_bpf__elf_bytes,
	.cpu_map = "tally_tcp_cpu",
	.cpu_size = sizeof(struct tcp_cpu),
	.knobs_map = "tally_tcp_knobs",
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
