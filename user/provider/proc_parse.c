/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands in the files of /proc but those of the network's protocols, which are in proc_net.c.
 *
 * Names follow OpenMetrics; what they mean follows proc(5) and the kernel's Documentation.
 */
#include "user/provider/proc.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "user/provider/proc_scan.h"

/* --- stat ------------------------------------------------------------------------------------ */

/* Three seconds: idle and iowait are known to step back when a CPU's accounting is corrected. */
#define CPU_STEP_BACK 300u

static uint64_t tick_factor = 1;
static struct sink_metric cpu_seconds = {"cpu_seconds", "seconds",
	"Time that a CPU spent in each mode (node_exporter: node_cpu_seconds_total)",
	METRIC_COUNTER, -2, CPU_STEP_BACK};
static struct sink_metric cpu_guest_seconds = {"cpu_guest_seconds", "seconds",
	"Time that a CPU ran virtual machines, which cpu_seconds holds as well (node_exporter: "
	"node_cpu_guest_seconds_total)",
	METRIC_COUNTER, -2, CPU_STEP_BACK};

void proc_set_ticks(long per_second)
{
	bool hundredths = per_second <= 0 || per_second == 100;

	tick_factor = hundredths ? 1 : 1000000000u / (uint64_t)per_second;
	cpu_seconds.scale = cpu_guest_seconds.scale = hundredths ? -2 : -9;
	cpu_seconds.may_step_back = cpu_guest_seconds.may_step_back =
		hundredths ? CPU_STEP_BACK : 3000000000u;
}

/* "cpu3 user nice system idle iowait irq softirq steal guest guest_nice"; older ones end sooner. */
static int walk_cpu(const struct proc_text *name, struct proc_text *line, struct sink *k)
{
	static const char *const modes[] = {
		"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"};
	struct sink_label labels[3] = {{"cpu", name->p + 3, length(name) - 3}, {"mode"}};
	uint64_t v;

	for (size_t i = 0; i < 10 && !at_end(line); i++) {
		if (!next_number(line, &v))
			return -EBADMSG;
		labels[1].value = i < 8 ? modes[i] : modes[i - 8];
		labels[1].len = strlen(labels[1].value);
		sink_put(k, i < 8 ? &cpu_seconds : &cpu_guest_seconds, labels, v * tick_factor);
	}
	return 0;
}

static const struct {
	const char *word;
	struct sink_metric metric;
} single[] = {
	{"intr", {"interrupts", "", "Interrupts served (node_exporter: node_intr_total)",
			 METRIC_COUNTER}},
	{"ctxt", {"context_switches", "",
			 "Context switches on all CPUs (node_exporter: "
			 "node_context_switches_total)",
			 METRIC_COUNTER}},
	{"btime", {"boot_time_seconds", "seconds",
			  "When the machine started, as Unix time (node_exporter: "
			  "node_boot_time_seconds)",
			  METRIC_GAUGE}},
	{"processes",
		{"forks", "", "Processes and threads created (node_exporter: node_forks_total)",
			METRIC_COUNTER}},
	{"procs_running", {"processes_running", "",
				  "Threads that run or wait for a CPU (node_exporter: "
				  "node_procs_running)",
				  METRIC_GAUGE}},
	{"procs_blocked", {"processes_blocked", "",
				  "Threads blocked until I/O completes (node_exporter: "
				  "node_procs_blocked)",
				  METRIC_GAUGE}},
};

static void describe_stat(struct describer *d, const char *file)
{
	sink_describe(d, &cpu_seconds, "cpu, mode", file, "cpu*");
	sink_describe(d, &cpu_guest_seconds, "cpu, mode", file, "cpu*");
	for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++)
		sink_describe(d, &single[i].metric, NULL, file, single[i].word);
}

static int walk_stat(struct proc_text t, struct sink *k)
{
	struct proc_text line, word;
	uint64_t v;
	int err = 0;

	while (!err && next_line(&t, &line)) {
		if (!next_word(&line, &word))
			return -EBADMSG;
		if (begins(&word, "cpu") && length(&word) > 3)
			err = walk_cpu(&word, &line, k);
		for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
			if (!is_word(&word, single[i].word))
				continue;
			if (!next_number(&line, &v))
				return -EBADMSG;
			sink_put(k, &single[i].metric, NULL, v);
		}
	}
	return err;
}

/* The kernel's "sec" is no unit: checkers of names would take it for one. name has `size` bytes. */
static void spell_out(char *name, size_t size)
{
	static const char sec[] = "_sec_", secondary[] = "_secondary_";
	char *at = strstr(name, sec);

	if (!at || strlen(name) + sizeof(secondary) - sizeof(sec) >= size)
		return;
	memmove(at + strlen(secondary), at + strlen(sec), strlen(at + strlen(sec)) + 1);
	memcpy(at, secondary, strlen(secondary));
}

/* --- meminfo --------------------------------------------------------------------------------- */

/* Of the machine, and of a node. node_exporter has the kernel's names, Active(anon) as Active_anon. */
static const struct sink_metric memory_amounts[2] = {
	{"memory_*_bytes", "bytes", "* of /proc/meminfo (node_exporter: node_memory_*_bytes)",
		METRIC_GAUGE},
	{"numa_memory_*_bytes", "bytes",
		"* of a node's meminfo (node_exporter: node_memory_numa_*)", METRIC_GAUGE}};
static const struct sink_metric memory_huge_pages[2] = {
	{"memory_huge_pages", "",
		"Huge pages of the default size, by state (node_exporter: node_memory_HugePages_*)",
		METRIC_GAUGE},
	{"numa_memory_huge_pages", "",
		"Huge pages of a node of the default size, by state (node_exporter: "
		"node_memory_numa_HugePages_*)",
		METRIC_GAUGE}};

void proc_describe_memory(struct describer *d, bool of_node, const char *file)
{
	sink_describe(d, &memory_amounts[of_node], of_node ? "node" : NULL, file, NULL);
	sink_describe(d, &memory_huge_pages[of_node], of_node ? "node, state" : "state", file,
		"HugePages_*");
}

static void describe_meminfo(struct describer *d, const char *file)
{
	proc_describe_memory(d, false, file);
}

/*
 * What a family's name has for MemTotal: total; for Active(anon): active_anon; for SwapFree: swap_free. out has
 * room for `size`; false if it does not fit or is none.
 */
static bool memory_name(struct proc_text key, char *out, size_t size)
{
	char before = '_';
	size_t n = 0;

	if (begins(&key, "Mem") && length(&key) > 3)
		key.p += 3;
	for (; key.p < key.end && n + 2 < size; key.p++) {
		char c = *key.p;

		if (isupper((unsigned char)c) && islower((unsigned char)before))
			out[n++] = '_';
		before = c;
		if (isalnum((unsigned char)c))
			out[n++] = (char)tolower((unsigned char)c);
		else if (n && out[n - 1] != '_')
			out[n++] = '_';
	}
	while (n && out[n - 1] == '_')
		n--;
	out[n] = '\0';
	return key.p == key.end && n;
}

static int put_huge_pages(
	struct proc_text key, const struct sink_label *node, uint64_t v, struct sink *k)
{
	const size_t prefix = strlen("HugePages_");
	char state[32];
	struct sink_label labels[3] = {{"state", state}};

	if (!begins(&key, "HugePages_") || length(&key) - prefix >= sizeof(state))
		return 0;
	for (const char *p = key.p + prefix; p < key.end; p++)
		state[labels[0].len++] = (char)tolower((unsigned char)*p);
	if (node)
		labels[1] = *node;
	sink_put(k, &memory_huge_pages[node != NULL], labels, v);
	return 0;
}

static void memory_help(struct proc_text key, const char *family, char *out, size_t size)
{
	char word[80], exported[80];
	size_t n = 0;

	snprintf(word, sizeof(word), "%.*s", (int)length(&key), key.p);
	for (const char *c = word; *c; c++)
		if (*c != ')')
			exported[n++] = *c == '(' ? '_' : *c;
	exported[n] = '\0';
	sink_fill(out, size, family, word, exported);
}

/* "MemTotal:       16336988 kB"; those without kB count huge pages. */
int proc_walk_memory_line(struct proc_text line, const struct sink_label *node, struct sink *k)
{
	const struct sink_label labels[2] = {node ? *node : (struct sink_label){NULL}};
	const struct sink_metric *family = &memory_amounts[node != NULL];
	struct sink_metric m = *family;
	struct proc_text key, unit;
	char word[64], name[96], help[240];
	uint64_t v;

	if (!next_word(&line, &key) || length(&key) < 2 || key.end[-1] != ':' ||
		!next_number(&line, &v))
		return -EBADMSG;
	key.end--;
	if (at_end(&line))
		return put_huge_pages(key, node, v, k);
	if (!next_word(&line, &unit) || !is_word(&unit, "kB") || !at_end(&line) ||
		__builtin_mul_overflow(v, 1024, &v) ||
		(k->build && !memory_name(key, word, sizeof(word))))
		return -EBADMSG;
	if (k->build) {
		sink_fill(name, sizeof(name), family->name, word, word);
		spell_out(name, sizeof(name));
		memory_help(key, family->help, help, sizeof(help));
		m.name = name;
		m.help = help;
	}
	sink_put_member(k, family, key.p, length(&key), &m, labels, v);
	return 0;
}

static int walk_meminfo(struct proc_text t, struct sink *k)
{
	struct proc_text line;

	while (next_line(&t, &line))
		if (proc_walk_memory_line(line, NULL, k))
			return -EBADMSG;
	return 0;
}

/* --- vmstat ---------------------------------------------------------------------------------- */

/* Event counts; whatever else is in the file is an amount. */
static bool is_event(const struct proc_text *key)
{
	static const char *const prefixes[] = {"pg", "psw", "allocstall_", "thp_", "compact_",
		"numa_", "unevictable_pgs_", "workingset_refault", "workingset_activate",
		"workingset_restore", "workingset_nodereclaim", "slabs_scanned", "kswapd_",
		"pageoutrun", "drop_", "oom_kill", "balloon_", "htlb_", "swap_ra", "swpin_",
		"swpout_", "ksm_", "cow_ksm", "zswp", "zone_reclaim_", "direct_map_", "vma_lock_",
		"nr_vmscan_", "nr_dirtied", "nr_written", "nr_throttled_written", "nr_foll_pin_",
		"nr_tlb_"};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (begins(key, prefixes[i]))
			return true;
	return false;
}

/* node_exporter has these by default: oom_kill, pgpg*, pswp*, pg*fault. */
static bool is_exported(const struct proc_text *key)
{
	static const char fault[] = "fault";

	return begins(key, "oom_kill") || begins(key, "pgpg") || begins(key, "pswp") ||
	       (begins(key, "pg") && length(key) > strlen(fault) &&
		       !memcmp(key->end - strlen(fault), fault, strlen(fault)));
}

static const struct {
	struct sink_metric metric;
	const char *which; /* for people */
} vmstat_families[] = {
	{{"vmstat_*", "", "* of /proc/vmstat", METRIC_GAUGE}, "amounts"},
	{{"vmstat_*", "", "* of /proc/vmstat", METRIC_COUNTER}, "other events"},
	{{"vmstat_*", "", "* of /proc/vmstat (node_exporter: node_vmstat_*)", METRIC_COUNTER},
		"pgpg*, pswp*, pg*fault, oom_kill"},
};

static void describe_vmstat(struct describer *d, const char *file)
{
	for (size_t i = 0; i < sizeof(vmstat_families) / sizeof(vmstat_families[0]); i++)
		sink_describe(d, &vmstat_families[i].metric, NULL, file, vmstat_families[i].which);
}

static int walk_vmstat(struct proc_text t, struct sink *k)
{
	struct proc_text line, key;
	char word[64], name[96], help[240];
	uint64_t v;

	while (next_line(&t, &line)) {
		struct sink_metric m = {NULL};

		if (!next_word(&line, &key) || length(&key) >= sizeof(word) ||
			!next_number(&line, &v) || !at_end(&line))
			return -EBADMSG;
		if (k->build) {
			memcpy(word, key.p, length(&key));
			word[length(&key)] = '\0';
			m = vmstat_families[is_event(&key) + is_exported(&key)].metric;
			sink_fill(name, sizeof(name), m.name, word, word);
			sink_fill(help, sizeof(help), m.help, word, word);
			spell_out(name, sizeof(name));
			m.name = name;
			m.help = help;
		}
		sink_put_member(k, &vmstat_families[0].metric, key.p, length(&key), &m, NULL, v);
	}
	return 0;
}

/* --- loadavg --------------------------------------------------------------------------------- */

/* "0.86" -> 86 */
static bool next_hundredths(struct proc_text *t, uint64_t *ret)
{
	struct proc_text w, whole, part;
	uint64_t a, b;

	if (!next_word(t, &w) || length(&w) < 4 || w.end[-3] != '.')
		return false;
	whole = (struct proc_text){w.p, w.end - 3};
	part = (struct proc_text){w.end - 2, w.end};
	if (!next_number(&whole, &a) || !next_number(&part, &b) || a > UINT32_MAX)
		return false;
	*ret = a * 100 + b;
	return true;
}

static const struct sink_metric loads[] = {
	{"load1", "",
		"Threads that run, wait or are blocked, mean of 1 minute (node_exporter: "
		"node_load1)",
		METRIC_GAUGE, -2},
	{"load5", "",
		"Threads that run, wait or are blocked, mean of 5 minutes (node_exporter: "
		"node_load5)",
		METRIC_GAUGE, -2},
	{"load15", "",
		"Threads that run, wait or are blocked, mean of 15 minutes (node_exporter: "
		"node_load15)",
		METRIC_GAUGE, -2},
};
static const struct sink_metric threads = {
	"threads", "", "Threads that exist (node_exporter: node_processes_threads)", METRIC_GAUGE};

static void describe_loadavg(struct describer *d, const char *file)
{
	for (size_t i = 0; i < 3; i++)
		sink_describe(d, &loads[i], NULL, file, NULL);
	sink_describe(d, &threads, NULL, file, NULL);
}

/* "0.86 0.64 0.35 2/91 2134": load over 1, 5, 15 minutes; running / all threads; newest pid */
static int walk_loadavg(struct proc_text t, struct sink *k)
{
	struct proc_text line, word, all;
	const char *slash;
	uint64_t v;

	if (!next_line(&t, &line))
		return -EBADMSG;
	for (size_t i = 0; i < 3; i++) {
		if (!next_hundredths(&line, &v))
			return -EBADMSG;
		sink_put(k, &loads[i], NULL, v);
	}
	if (!next_word(&line, &word))
		return -EBADMSG;
	slash = memchr(word.p, '/', length(&word));
	all = (struct proc_text){slash ? slash + 1 : word.end, word.end};
	if (!next_number(&all, &v))
		return -EBADMSG;
	sink_put(k, &threads, NULL, v);
	return 0;
}

/* --- tables: one line per device, one metric per column ---------------------------------------- */

/* Devices that become series: a schema must fit a frame of the wire. How many there are is a series. */
#define DEVICES_MAX 400u

struct column {
	struct sink_metric metric;
	uint32_t factor;
};

static void describe_columns(struct describer *d, const struct column *columns, size_t n,
	const struct sink_metric *count, const char *file)
{
	for (size_t i = 0; i < n; i++)
		sink_describe(d, &columns[i].metric, "device", file, NULL);
	sink_describe(d, count, NULL, file, NULL);
}

static int put_columns(struct sink *k, const struct proc_text *device, const struct column *columns,
	const uint64_t *values, size_t n)
{
	const struct sink_label labels[2] = {{"device", device->p, length(device)}};

	for (size_t i = 0; i < n; i++) {
		uint64_t v;

		if (__builtin_mul_overflow(values[i], columns[i].factor, &v))
			return -EBADMSG;
		sink_put(k, &columns[i].metric, labels, v);
	}
	return 0;
}

/* Fields of Documentation/admin-guide/iostats.rst, in their order. A sector is 512 bytes here. */
static const struct column disk_columns[] = {
	{{"disk_reads", "", "Reads completed (node_exporter: node_disk_reads_completed_total)",
		 METRIC_COUNTER},
		1},
	{{"disk_reads_merged", "",
		 "Reads merged before they were queued (node_exporter: "
		 "node_disk_reads_merged_total)",
		 METRIC_COUNTER},
		1},
	{{"disk_read_bytes", "bytes", "Bytes read (node_exporter: node_disk_read_bytes_total)",
		 METRIC_COUNTER},
		512},
	{{"disk_read_time_seconds", "seconds",
		 "Time of all reads together (node_exporter: node_disk_read_time_seconds_total)",
		 METRIC_COUNTER, -3},
		1},
	{{"disk_writes", "", "Writes completed (node_exporter: node_disk_writes_completed_total)",
		 METRIC_COUNTER},
		1},
	{{"disk_writes_merged", "",
		 "Writes merged before they were queued (node_exporter: "
		 "node_disk_writes_merged_total)",
		 METRIC_COUNTER},
		1},
	{{"disk_written_bytes", "bytes",
		 "Bytes written (node_exporter: node_disk_written_bytes_total)", METRIC_COUNTER},
		512},
	{{"disk_write_time_seconds", "seconds",
		 "Time of all writes together (node_exporter: node_disk_write_time_seconds_total)",
		 METRIC_COUNTER, -3},
		1},
	{{"disk_io_now", "", "Requests in flight (node_exporter: node_disk_io_now)", METRIC_GAUGE},
		1},
	{{"disk_io_time_seconds", "seconds",
		 "Time with a request in flight (node_exporter: node_disk_io_time_seconds_total)",
		 METRIC_COUNTER, -3},
		1},
	{{"disk_io_time_weighted_seconds", "seconds",
		 "Time in flight of all requests together (node_exporter: "
		 "node_disk_io_time_weighted_seconds_total)",
		 METRIC_COUNTER, -3},
		1},
	{{"disk_discards", "",
		 "Discards completed (node_exporter: node_disk_discards_completed_total)",
		 METRIC_COUNTER},
		1},
	{{"disk_discards_merged", "",
		 "Discards merged before they were queued (node_exporter: "
		 "node_disk_discards_merged_total)",
		 METRIC_COUNTER},
		1},
	{{"disk_discarded_bytes", "bytes", "Bytes discarded", METRIC_COUNTER}, 512},
	{{"disk_discard_time_seconds", "seconds",
		 "Time of all discards together (node_exporter: "
		 "node_disk_discard_time_seconds_total)",
		 METRIC_COUNTER, -3},
		1},
	{{"disk_flushes", "",
		 "Flush requests completed (node_exporter: node_disk_flush_requests_total)",
		 METRIC_COUNTER},
		1},
	{{"disk_flush_time_seconds", "seconds",
		 "Time of all flush requests together (node_exporter: "
		 "node_disk_flush_requests_time_seconds_total)",
		 METRIC_COUNTER, -3},
		1},
};
#define DISK_COLUMNS     (sizeof(disk_columns) / sizeof(disk_columns[0]))
#define DISK_COLUMNS_MIN 11u /* before kernel 4.18 */

static const struct sink_metric disk_count = {
	"disk_devices", "", "Disks that were ever used; the first 400 are series", METRIC_GAUGE};

static void describe_diskstats(struct describer *d, const char *file)
{
	describe_columns(d, disk_columns, DISK_COLUMNS, &disk_count, file);
}

/* "254 0 vda reads merged ..."; devices that were never used (loop3, ram0) are no series. */
static int walk_diskstats(struct proc_text t, struct sink *k)
{
	uint64_t values[DISK_COLUMNS], number, devices = 0;
	struct proc_text line, device;

	while (next_line(&t, &line)) {
		size_t n = 0;

		if (!next_number(&line, &number) || !next_number(&line, &number) ||
			!next_word(&line, &device))
			return -EBADMSG;
		while (n < DISK_COLUMNS && !at_end(&line))
			if (!next_number(&line, &values[n++]))
				return -EBADMSG;
		if (n < DISK_COLUMNS_MIN)
			return -EBADMSG;
		if (!values[0] && !values[4])
			continue;
		if (++devices <= DEVICES_MAX && put_columns(k, &device, disk_columns, values, n))
			return -EBADMSG;
	}
	sink_put(k, &disk_count, NULL, devices);
	return 0;
}

static const struct column network_columns[] = {
	{{"network_receive_bytes", "bytes",
		 "Bytes received (node_exporter: node_network_receive_bytes_total)",
		 METRIC_COUNTER},
		1},
	{{"network_receive_packets", "",
		 "Packets received (node_exporter: node_network_receive_packets_total)",
		 METRIC_COUNTER},
		1},
	{{"network_receive_errors", "",
		 "Packets received damaged (node_exporter: node_network_receive_errs_total)",
		 METRIC_COUNTER},
		1},
	{{"network_receive_drops", "",
		 "Packets received and dropped (node_exporter: node_network_receive_drop_total)",
		 METRIC_COUNTER},
		1},
	{{"network_receive_fifo", "",
		 "Receive buffer overruns (node_exporter: node_network_receive_fifo_total)",
		 METRIC_COUNTER},
		1},
	{{"network_receive_frame", "",
		 "Framing errors (node_exporter: node_network_receive_frame_total)",
		 METRIC_COUNTER},
		1},
	{{"network_receive_compressed", "",
		 "Compressed packets received (node_exporter: "
		 "node_network_receive_compressed_total)",
		 METRIC_COUNTER},
		1},
	{{"network_receive_multicast", "",
		 "Multicast packets received (node_exporter: node_network_receive_multicast_total)",
		 METRIC_COUNTER},
		1},
	{{"network_transmit_bytes", "bytes",
		 "Bytes sent (node_exporter: node_network_transmit_bytes_total)", METRIC_COUNTER},
		1},
	{{"network_transmit_packets", "",
		 "Packets sent (node_exporter: node_network_transmit_packets_total)",
		 METRIC_COUNTER},
		1},
	{{"network_transmit_errors", "",
		 "Packets that could not be sent (node_exporter: node_network_transmit_errs_total)",
		 METRIC_COUNTER},
		1},
	{{"network_transmit_drops", "",
		 "Packets dropped before they were sent (node_exporter: "
		 "node_network_transmit_drop_total)",
		 METRIC_COUNTER},
		1},
	{{"network_transmit_fifo", "",
		 "Transmit buffer overruns (node_exporter: node_network_transmit_fifo_total)",
		 METRIC_COUNTER},
		1},
	{{"network_transmit_collisions", "",
		 "Collisions (node_exporter: node_network_transmit_colls_total)", METRIC_COUNTER},
		1},
	{{"network_transmit_carrier", "",
		 "Losses of the carrier (node_exporter: node_network_transmit_carrier_total)",
		 METRIC_COUNTER},
		1},
	{{"network_transmit_compressed", "",
		 "Compressed packets sent (node_exporter: node_network_transmit_compressed_total)",
		 METRIC_COUNTER},
		1},
};
#define NETWORK_COLUMNS (sizeof(network_columns) / sizeof(network_columns[0]))

static const struct sink_metric network_count = {
	"network_devices", "", "Network interfaces; the first 400 are series", METRIC_GAUGE};

static void describe_net_dev(struct describer *d, const char *file)
{
	describe_columns(d, network_columns, NETWORK_COLUMNS, &network_count, file);
}

/* Two lines of headings with bars, then "  eth0: bytes packets ..." */
static int walk_net_dev(struct proc_text t, struct sink *k)
{
	uint64_t values[NETWORK_COLUMNS], devices = 0;
	struct proc_text line, device;

	for (size_t i = 0; i < 2; i++)
		if (!next_line(&t, &line) || !memchr(line.p, '|', length(&line)))
			return -EBADMSG;
	while (next_line(&t, &line)) {
		const char *colon = memrchr(line.p, ':', length(&line));

		if (!colon)
			return -EBADMSG;
		device = (struct proc_text){line.p, colon};
		line.p = colon + 1;
		skip_blanks(&device);
		for (size_t i = 0; i < NETWORK_COLUMNS; i++)
			if (!next_number(&line, &values[i]))
				return -EBADMSG;
		if (!length(&device))
			return -EBADMSG;
		if (++devices <= DEVICES_MAX &&
			put_columns(k, &device, network_columns, values, NETWORK_COLUMNS))
			return -EBADMSG;
	}
	sink_put(k, &network_count, NULL, devices);
	return 0;
}

/* --- one column for each CPU -------------------------------------------------------------------- */

static const struct sink_metric softirqs = {
	"softirqs", "", "Soft interrupts served, by type and CPU", METRIC_COUNTER};

static void describe_softirqs(struct describer *d, const char *file)
{
	sink_describe(d, &softirqs, "type, cpu", file, NULL);
}

/*
 * "      CPU0  CPU1", then "  NET_RX:  15  7". The columns are possible CPUs, most of which may never come:
 * what was never served is no series.
 */
static int walk_softirqs(struct proc_text t, struct sink *k)
{
	struct proc_text line, heads, name, head;
	char type[32];
	uint64_t v;

	if (!next_line(&t, &heads))
		return -EBADMSG;
	while (next_line(&t, &line)) {
		struct proc_text columns = heads;
		struct sink_label labels[3] = {{"cpu"}, {"type", type}};

		if (!next_word(&line, &name) || length(&name) < 2 || name.end[-1] != ':' ||
			length(&name) > sizeof(type))
			return -EBADMSG;
		for (const char *p = name.p; p < name.end - 1; p++)
			type[labels[1].len++] = (char)tolower((unsigned char)*p);
		while (!at_end(&line)) {
			if (!next_number(&line, &v) || !next_word(&columns, &head) ||
				!begins(&head, "CPU"))
				return -EBADMSG;
			labels[0].value = head.p + 3;
			labels[0].len = length(&head) - 3;
			if (v)
				sink_put(k, &softirqs, labels, v);
		}
	}
	return 0;
}

/* --- schedstat -------------------------------------------------------------------------------- */

static const struct sink_metric schedstat[] = {
	{"schedstat_running_seconds", "seconds",
		"Time that tasks ran on a CPU "
		"(node_exporter: node_schedstat_running_seconds_total)",
		METRIC_COUNTER, -9},
	{"schedstat_waiting_seconds", "seconds",
		"Time that tasks waited for a CPU "
		"(node_exporter: node_schedstat_waiting_seconds_total)",
		METRIC_COUNTER, -9},
	{"schedstat_timeslices", "",
		"Times that a task got a CPU "
		"(node_exporter: node_schedstat_timeslices_total)",
		METRIC_COUNTER},
};

static void describe_schedstat(struct describer *d, const char *file)
{
	for (size_t i = 0; i < 3; i++)
		sink_describe(d, &schedstat[i], "cpu", file, "cpu*");
}

/*
 * "cpu3 0 0 0 0 0 0 running waiting timeslices", in ns, of Documentation/scheduler/sched-stats.rst; lines of
 * domains are between. Kernels without CONFIG_SCHEDSTATS have no such file.
 */
static int walk_schedstat(struct proc_text t, struct sink *k)
{
	struct proc_text line, name;

	while (next_line(&t, &line)) {
		uint64_t v[9];

		if (!next_word(&line, &name))
			return -EBADMSG;
		if (!begins(&name, "cpu"))
			continue;
		for (size_t i = 0; i < 9; i++)
			if (!next_number(&line, &v[i]))
				return -EBADMSG;
		for (size_t i = 0; i < 3; i++)
			sink_put(k, &schedstat[i],
				(struct sink_label[]){
					{"cpu", name.p + 3, length(&name) - 3}, {NULL}},
				v[6 + i]);
	}
	return 0;
}

/* --- pressure ------------------------------------------------------------------------------------ */

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=3633184708", then "full ...", in us. */
int proc_walk_pressure(
	struct proc_text t, struct sink *k, const struct sink_metric *metric, const char *resource)
{
	struct proc_text line, kind, word;
	uint64_t v;

	while (next_line(&t, &line)) {
		bool found = false;

		if (!next_word(&line, &kind))
			return -EBADMSG;
		while (!found && next_word(&line, &word)) {
			found = begins(&word, "total=");
			word.p += strlen("total=");
		}
		if (!found || !next_number(&word, &v))
			return -EBADMSG;
		sink_put(k, metric,
			(struct sink_label[]){{"kind", kind.p, length(&kind)},
				{"resource", resource, strlen(resource)}, {NULL}},
			v);
	}
	return 0;
}

static const struct sink_metric pressure_seconds = {"pressure_stall_seconds", "seconds",
	"Time that some or all tasks waited for a resource "
	"(node_exporter: node_pressure_*_seconds_total)",
	METRIC_COUNTER, -6};

static void describe_pressure(struct describer *d, const char *file)
{
	sink_describe(d, &pressure_seconds, "resource, kind", file, NULL);
}

static int walk_pressure(struct proc_text t, struct sink *k, const char *resource)
{
	return proc_walk_pressure(t, k, &pressure_seconds, resource);
}

static int walk_pressure_cpu(struct proc_text t, struct sink *k)
{
	return walk_pressure(t, k, "cpu");
}
static int walk_pressure_memory(struct proc_text t, struct sink *k)
{
	return walk_pressure(t, k, "memory");
}
static int walk_pressure_io(struct proc_text t, struct sink *k)
{
	return walk_pressure(t, k, "io");
}
static int walk_pressure_irq(struct proc_text t, struct sink *k)
{
	return walk_pressure(t, k, "irq");
}

const struct proc_source proc_sources[] = {
	{"stat", "proc.stat", walk_stat, describe_stat, .at_once = true},
	{"meminfo", "proc.meminfo", walk_meminfo, describe_meminfo, .at_once = true},
	{"vmstat", "proc.vmstat", walk_vmstat, describe_vmstat},
	{"loadavg", "proc.loadavg", walk_loadavg, describe_loadavg, .at_once = true},
	{"diskstats", "proc.diskstats", walk_diskstats, describe_diskstats},
	{"net/dev", "proc.net.dev", walk_net_dev, describe_net_dev},
	{"softirqs", "proc.softirqs", walk_softirqs, describe_softirqs, .at_once = true},
	{"schedstat", "proc.schedstat", walk_schedstat, describe_schedstat, .optional = true},
	{"pressure/cpu", "proc.pressure.cpu", walk_pressure_cpu, describe_pressure,
		.at_once = true},
	{"pressure/memory", "proc.pressure.memory", walk_pressure_memory, describe_pressure,
		.at_once = true},
	{"pressure/io", "proc.pressure.io", walk_pressure_io, describe_pressure, .at_once = true},
	{"pressure/irq", "proc.pressure.irq", walk_pressure_irq, describe_pressure,
		.optional = true, .at_once = true},
	{"net/snmp", "proc.net.snmp", proc_walk_snmp, proc_describe_snmp, .at_once = true},
	{"net/netstat", "proc.net.netstat", proc_walk_netstat, proc_describe_netstat,
		.at_once = true},
	{"net/sockstat", "proc.net.sockstat", proc_walk_sockstat, proc_describe_sockstat,
		.at_once = true},
	{"net/softnet_stat", "proc.net.softnet_stat", proc_walk_softnet, proc_describe_softnet},
	{0},
};
