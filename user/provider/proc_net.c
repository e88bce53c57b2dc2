/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands in the files of /proc/net about protocols, of the provider's network namespace. Of the
 * hundreds of figures in snmp and netstat those are series that tables here name: what administrators ask for.
 */
#include <stdio.h>
#include <unistd.h>

#include "user/provider/proc_scan.h"

/* --- snmp, netstat ------------------------------------------------------------------------------ */

struct protocol_metric {
	const char *protocol, *key; /* as in the file */
	struct sink_metric metric;
};

/* In the order of the file. In brackets node_exporter's name, where it has the same. */
static const struct protocol_metric snmp[] = {
	{"Ip", "InReceives",
		{"ip_received_packets", "", "IP packets received, damaged ones too",
			METRIC_COUNTER}},
	{"Ip", "ForwDatagrams",
		{"ip_forwarded_packets", "", "IP packets forwarded", METRIC_COUNTER}},
	{"Ip", "InDiscards",
		{"ip_receive_discards", "", "IP packets received and discarded for want of memory",
			METRIC_COUNTER}},
	{"Ip", "OutRequests", {"ip_sent_packets", "", "IP packets to be sent", METRIC_COUNTER}},
	{"Ip", "OutDiscards",
		{"ip_send_discards", "", "IP packets to be sent and discarded", METRIC_COUNTER}},
	{"Ip", "OutNoRoutes",
		{"ip_no_route_packets", "", "IP packets to which there was no route",
			METRIC_COUNTER}},
	{"Ip", "ReasmFails",
		{"ip_reassembly_failures", "", "IP packets whose parts did not all come",
			METRIC_COUNTER}},
	{"Icmp", "InMsgs",
		{"icmp_received_messages", "",
			"ICMP messages received (node_exporter: node_netstat_Icmp_InMsgs)",
			METRIC_COUNTER}},
	{"Icmp", "InErrors",
		{"icmp_receive_errors", "",
			"ICMP messages received damaged (node_exporter: "
			"node_netstat_Icmp_InErrors)",
			METRIC_COUNTER}},
	{"Icmp", "OutMsgs",
		{"icmp_sent_messages", "",
			"ICMP messages sent (node_exporter: node_netstat_Icmp_OutMsgs)",
			METRIC_COUNTER}},
	{"Tcp", "ActiveOpens",
		{"tcp_active_opens", "",
			"TCP connections asked for (node_exporter: node_netstat_Tcp_ActiveOpens)",
			METRIC_COUNTER}},
	{"Tcp", "PassiveOpens",
		{"tcp_passive_opens", "",
			"TCP connections asked for by others "
			"(node_exporter: node_netstat_Tcp_PassiveOpens)",
			METRIC_COUNTER}},
	{"Tcp", "AttemptFails",
		{"tcp_attempt_failures", "", "TCP connections not established", METRIC_COUNTER}},
	{"Tcp", "EstabResets",
		{"tcp_established_resets", "", "TCP connections ended by a reset", METRIC_COUNTER}},
	{"Tcp", "CurrEstab",
		{"tcp_established_connections", "",
			"TCP connections that are open (node_exporter: node_netstat_Tcp_CurrEstab)",
			METRIC_GAUGE}},
	{"Tcp", "InSegs",
		{"tcp_received_segments", "",
			"TCP segments received (node_exporter: node_netstat_Tcp_InSegs)",
			METRIC_COUNTER}},
	{"Tcp", "OutSegs",
		{"tcp_sent_segments", "",
			"TCP segments sent (node_exporter: node_netstat_Tcp_OutSegs)",
			METRIC_COUNTER}},
	{"Tcp", "RetransSegs",
		{"tcp_retransmitted_segments", "",
			"TCP segments sent again (node_exporter: node_netstat_Tcp_RetransSegs)",
			METRIC_COUNTER}},
	{"Tcp", "InErrs",
		{"tcp_receive_errors", "",
			"TCP segments received damaged (node_exporter: node_netstat_Tcp_InErrs)",
			METRIC_COUNTER}},
	{"Tcp", "OutRsts",
		{"tcp_sent_resets", "", "TCP resets sent (node_exporter: node_netstat_Tcp_OutRsts)",
			METRIC_COUNTER}},
	{"Udp", "InDatagrams",
		{"udp_received_datagrams", "",
			"UDP datagrams received (node_exporter: node_netstat_Udp_InDatagrams)",
			METRIC_COUNTER}},
	{"Udp", "NoPorts",
		{"udp_no_port_datagrams", "",
			"UDP datagrams for which nobody listened "
			"(node_exporter: node_netstat_Udp_NoPorts)",
			METRIC_COUNTER}},
	{"Udp", "InErrors",
		{"udp_receive_errors", "",
			"UDP datagrams received and not delivered "
			"(node_exporter: node_netstat_Udp_InErrors)",
			METRIC_COUNTER}},
	{"Udp", "OutDatagrams",
		{"udp_sent_datagrams", "",
			"UDP datagrams sent (node_exporter: node_netstat_Udp_OutDatagrams)",
			METRIC_COUNTER}},
	{"Udp", "RcvbufErrors",
		{"udp_receive_buffer_errors", "",
			"UDP datagrams dropped, the receiver's buffer being full "
			"(node_exporter: node_netstat_Udp_RcvbufErrors)",
			METRIC_COUNTER}},
	{"Udp", "SndbufErrors",
		{"udp_send_buffer_errors", "",
			"UDP datagrams not sent, the sender's buffer being full "
			"(node_exporter: node_netstat_Udp_SndbufErrors)",
			METRIC_COUNTER}},
	{0},
};

static const struct protocol_metric netstat[] = {
	{"TcpExt", "SyncookiesSent",
		{"tcp_syncookies_sent", "",
			"SYN cookies sent (node_exporter: node_netstat_TcpExt_SyncookiesSent)",
			METRIC_COUNTER}},
	{"TcpExt", "SyncookiesRecv",
		{"tcp_syncookies_received", "",
			"SYN cookies received (node_exporter: node_netstat_TcpExt_SyncookiesRecv)",
			METRIC_COUNTER}},
	{"TcpExt", "SyncookiesFailed",
		{"tcp_syncookies_failed", "",
			"SYN cookies that were not ours "
			"(node_exporter: node_netstat_TcpExt_SyncookiesFailed)",
			METRIC_COUNTER}},
	{"TcpExt", "PruneCalled",
		{"tcp_prunes", "", "Times that data was thrown away for want of memory",
			METRIC_COUNTER}},
	{"TcpExt", "ListenOverflows",
		{"tcp_listen_overflows", "",
			"Connections that found a full queue of accept "
			"(node_exporter: node_netstat_TcpExt_ListenOverflows)",
			METRIC_COUNTER}},
	{"TcpExt", "ListenDrops",
		{"tcp_listen_drops", "",
			"Connections that a listening socket dropped, overflows too "
			"(node_exporter: node_netstat_TcpExt_ListenDrops)",
			METRIC_COUNTER}},
	{"TcpExt", "TCPTimeouts",
		{"tcp_timeouts", "",
			"Times that no acknowledgement came "
			"(node_exporter: node_netstat_TcpExt_TCPTimeouts)",
			METRIC_COUNTER}},
	{"TcpExt", "TCPAbortOnMemory",
		{"tcp_memory_aborts", "", "TCP connections ended for want of memory",
			METRIC_COUNTER}},
	{"TcpExt", "TCPBacklogDrop",
		{"tcp_backlog_drops", "", "TCP segments dropped, the socket's backlog being full",
			METRIC_COUNTER}},
	{"TcpExt", "TCPRcvQDrop",
		{"tcp_receive_queue_drops", "",
			"TCP segments dropped, the receiver's queue being full "
			"(node_exporter: node_netstat_TcpExt_TCPRcvQDrop)",
			METRIC_COUNTER}},
	{"TcpExt", "TCPOFOQueue",
		{"tcp_out_of_order_segments", "",
			"TCP segments that came out of order "
			"(node_exporter: node_netstat_TcpExt_TCPOFOQueue)",
			METRIC_COUNTER}},
	{"TcpExt", "TCPSynRetrans",
		{"tcp_syn_retransmits", "",
			"SYN segments sent again "
			"(node_exporter: node_netstat_TcpExt_TCPSynRetrans)",
			METRIC_COUNTER}},
	{"IpExt", "InOctets",
		{"ip_received_bytes", "bytes",
			"IP bytes received (node_exporter: node_netstat_IpExt_InOctets)",
			METRIC_COUNTER}},
	{"IpExt", "OutOctets",
		{"ip_sent_bytes", "bytes",
			"IP bytes sent (node_exporter: node_netstat_IpExt_OutOctets)",
			METRIC_COUNTER}},
	{0},
};

/* The part of a table that is of one protocol, which stands there together; n may be 0. */
struct protocol_part {
	const struct protocol_metric *first;
	size_t n;
};

static struct protocol_part find_protocol(
	const struct protocol_metric *table, const struct proc_text *protocol)
{
	struct protocol_part part = {0};

	while (table->key && !is_word(protocol, table->protocol))
		table++;
	for (part.first = table; table->key && is_word(protocol, table->protocol); table++)
		part.n++;
	return part;
}

static const struct sink_metric *find_key(struct protocol_part part, const struct proc_text *key)
{
	for (size_t i = 0; i < part.n; i++)
		if (is_word(key, part.first[i].key))
			return &part.first[i].metric;
	return NULL;
}

/* Values are numbers, but for MaxConn of Tcp, which is -1, and gauges of dead kernels. */
static int walk_protocol(
	struct proc_text *keys, struct proc_text *values, struct protocol_part part, struct sink *k)
{
	struct proc_text key, value;
	uint64_t v;

	while (next_word(keys, &key)) {
		const struct sink_metric *m = find_key(part, &key);

		if (!next_word(values, &value))
			return -EBADMSG;
		if (!m)
			continue;
		if (!next_number(&value, &v))
			return -EBADMSG;
		sink_put(k, m, NULL, v);
	}
	return at_end(values) ? 0 : -EBADMSG;
}

/* "Tcp: ActiveOpens PassiveOpens ...", "Tcp: 15 16 ..." */
static int walk_protocols(struct proc_text t, const struct protocol_metric *table, struct sink *k)
{
	struct proc_text keys, values, protocol, again;
	int err = 0;

	while (!err && next_line(&t, &keys)) {
		struct protocol_part part;

		if (!next_line(&t, &values) || !next_word(&keys, &protocol) ||
			!next_word(&values, &again) || length(&protocol) < 2 ||
			length(&protocol) != length(&again) ||
			memcmp(protocol.p, again.p, length(&again)) != 0 || protocol.end[-1] != ':')
			return -EBADMSG;
		protocol.end--;
		part = find_protocol(table, &protocol);
		if (part.n)
			err = walk_protocol(&keys, &values, part, k);
	}
	return err;
}

int proc_walk_snmp(struct proc_text t, struct sink *k)
{
	return walk_protocols(t, snmp, k);
}

int proc_walk_netstat(struct proc_text t, struct sink *k)
{
	return walk_protocols(t, netstat, k);
}

static void describe_protocols(
	struct describer *d, const struct protocol_metric *table, const char *file)
{
	char where[64];

	for (; table->key; table++) {
		snprintf(where, sizeof(where), "%s %s", table->protocol, table->key);
		sink_describe(d, &table->metric, NULL, file, where);
	}
}

void proc_describe_snmp(struct describer *d, const char *file)
{
	describe_protocols(d, snmp, file);
}

void proc_describe_netstat(struct describer *d, const char *file)
{
	describe_protocols(d, netstat, file);
}

/* --- sockstat ----------------------------------------------------------------------------------- */

static const struct sink_metric sockets = {"sockets", "",
	"Sockets, by protocol and state (node_exporter: node_sockstat_*)", METRIC_GAUGE};
static const struct sink_metric socket_memory = {"socket_memory_bytes", "bytes",
	"Memory of sockets, by protocol (node_exporter: node_sockstat_*_mem_bytes)", METRIC_GAUGE};

void proc_describe_sockstat(struct describer *d, const char *file)
{
	sink_describe(d, &sockets, "protocol, state", file, NULL);
	sink_describe(d, &socket_memory, "protocol", file, "mem");
}

/* "TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 1"; mem is in pages. */
static int walk_sockets(const struct proc_text *protocol, struct proc_text *line, struct sink *k)
{
	const struct sink_label name = {"protocol", protocol->p, length(protocol) - 1};
	struct proc_text state;
	uint64_t v;

	while (next_word(line, &state)) {
		if (!next_number(line, &v))
			return -EBADMSG;
		if (is_word(&state, "mem"))
			sink_put(k, &socket_memory, (struct sink_label[]){name, {NULL}},
				v * (uint64_t)sysconf(_SC_PAGESIZE));
		else if (!is_word(&state, "memory"))
			sink_put(k, &sockets,
				(struct sink_label[]){
					name, {"state", state.p, length(&state)}, {NULL}},
				v);
	}
	return 0;
}

int proc_walk_sockstat(struct proc_text t, struct sink *k)
{
	struct proc_text line, protocol;
	int err = 0;

	while (!err && next_line(&t, &line)) {
		if (!next_word(&line, &protocol) || length(&protocol) < 2 ||
			protocol.end[-1] != ':')
			return -EBADMSG;
		err = walk_sockets(&protocol, &line, k);
	}
	return err;
}

/* --- softnet_stat --------------------------------------------------------------------------------- */

static const struct sink_metric softnet[3] = {
	{"softnet_packets", "",
		"Packets taken in by a CPU (node_exporter: node_softnet_processed_total)",
		METRIC_COUNTER},
	{"softnet_drops", "",
		"Packets dropped, a CPU's backlog being full "
		"(node_exporter: node_softnet_dropped_total)",
		METRIC_COUNTER},
	{"softnet_squeezes", "",
		"Times that a CPU left packets for later, for want of time "
		"(node_exporter: node_softnet_times_squeezed_total)",
		METRIC_COUNTER},
};

void proc_describe_softnet(struct describer *d, const char *file)
{
	for (size_t i = 0; i < 3; i++)
		sink_describe(d, &softnet[i], "cpu", file, NULL);
}

static bool next_hex(struct proc_text *t, uint64_t *ret)
{
	struct proc_text w;
	uint64_t v = 0;

	if (!next_word(t, &w) || length(&w) > 16)
		return false;
	for (; w.p < w.end; w.p++) {
		unsigned c = (unsigned char)*w.p, digit;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if (c >= 'a' && c <= 'f')
			digit = c - 'a' + 10;
		else
			return false;
		v = v << 4 | digit;
	}
	*ret = v;
	return true;
}

/* A line for each CPU that is on, of numbers of 32 bits; the 13th, since 5.10, is the CPU's own number. */
int proc_walk_softnet(struct proc_text t, struct sink *k)
{
	struct proc_text line;
	char cpu[24];

	for (uint64_t n = 0; next_line(&t, &line); n++) {
		uint64_t v[13], number = n;
		size_t columns = 0;

		while (columns < 13 && !at_end(&line))
			if (!next_hex(&line, &v[columns++]))
				return -EBADMSG;
		if (columns < 3)
			return -EBADMSG;
		if (columns == 13)
			number = v[12];
		snprintf(cpu, sizeof(cpu), "%llu", (unsigned long long)number);
		for (size_t i = 0; i < 3; i++)
			sink_put(k, &softnet[i],
				(struct sink_label[]){{"cpu", cpu, strlen(cpu)}, {NULL}}, v[i]);
	}
	return 0;
}
