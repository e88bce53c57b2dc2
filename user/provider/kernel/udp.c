/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "udp": datagrams dropped for a full receive buffer, by bpf/udp.bpf.c. */
#include "bpf/udp.h"
#include "bpf/udp.skel.h"
#include "user/provider/kernel/modules.h"

static const struct load_member members[] = {
	{"sock_common", "skc_num", "CONFIG_INET"},
	{NULL, NULL, NULL},
};

static const struct module_program programs[] = {
	{.needs = {"tally_udp_full", "udp_fail_queue_rcv_skb", members},
		.own = offsetof(struct udp_cpu, own),
		.runs = "at each datagram dropped so"},
};

static const struct module_metric metrics[] = {
	{.name = "udp_receive_drops",
		.unit = "",
		.help = "UDP datagrams dropped for a full receive buffer, by local port",
		.source = "the tracepoint: RcvbufErrors and MemErrors of /proc/net/snmp and snmp6, "
			  "in all "
			  "network namespaces (node_exporter: node_netstat_Udp_RcvbufErrors)",
		.type = METRIC_COUNTER,
		.slotted = true,
		.offset = offsetof(struct udp_cell, drops)},
};

static const struct module_slots slots = {
	.map = "tally_udp", .size = sizeof(struct udp_cell), MODULE_PORT_NAMES};

const struct module module_udp = {
	.ops = {.name = "udp", .help = "UDP datagrams dropped, by port (BPF)", MODULE_FUNCTIONS},
	.elf = udp_bpf__elf_bytes,
	.cpu_map = "tally_udp_cpu",
	.cpu_size = sizeof(struct udp_cpu),
	.slots = &slots,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
