/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The producer "proc" over files of our own: exact values, shapes that change, damage, garbage. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/polling.h"
#include "tests/lib/testrand.h"
#include "user/lib/diag.h"
#include "user/provider/proc.h"

static char dir[64];
static struct producer proc;
static struct snapshot snap;
static struct provider_env env;

static const char stat_text[] = "cpu  30 2 40 3000 5 6 7 8 9 1\n"
				"cpu0 10 1 15 1000 2 3 3 4 4 1\n"
				"cpu1 20 1 25 2000 3 3 4 4 5 0\n"
				"intr 123456789 0 9 0\n"
				"ctxt 17130912\n"
				"btime 1795442564\n"
				"processes 169408\n"
				"procs_running 2\n"
				"procs_blocked 1\n"
				"softirq 55 1 2 3 4 5 6 7 8 9 10\n"
				"of_a_later_kernel 1 2 x\n";
static const char meminfo_text[] = "MemTotal:       16336988 kB\n"
				   "MemFree:          100 kB\n"
				   "Active(anon):     200 kB\n"
				   "SwapTotal:          0 kB\n"
				   "NFS_Unstable:       3 kB\n"
				   "KReclaimable:       4 kB\n"
				   "DirectMap4k:        5 kB\n"
				   "HugePages_Total:    6\n"
				   "HugePages_Rsvd:     7\n";
static const char vmstat_text[] = "nr_free_pages 25\npgfault 18446744073709551615\n"
				  "nr_dirtied 4\nworkingset_nodes 8\n";
static const char loadavg_text[] = "0.86 12.64 100.05 2/91 2134\n";
static const char diskstats_text[] = "   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
				     " 254       0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n"
				     "   8       0 sda 100 2 3 4 5 6 7 8 9 10 11\n";
static const char net_text[] = "Inter-|   Receive                            |  Transmit\n"
			       " face |bytes    packets errs drop fifo frame |bytes\n"
			       "    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
			       "  eth0:17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32\n";

static const char softirqs_text[] = "                    CPU0       CPU1       CPU3\n"
				    "          HI:          0          1          0\n"
				    "      NET_RX:         15          0          7\n";
static const char schedstat_text[] = "version 15\ntimestamp 4294894920\n"
				     "cpu0 0 0 0 0 0 0 1234567890 23 4\n"
				     "domain0 3 0 0 0 0 0 0 0\n"
				     "cpu12 0 0 0 0 0 0 7 8000000000 9\n";
static const char pressure_text[] = "some avg10=1.00 avg60=0.00 avg300=0.00 total=3633184708\n"
				    "full avg10=0.00 avg60=0.00 avg300=0.00 total=12\n";
static const char snmp_text[] = "Ip: Forwarding DefaultTTL InReceives\nIp: 2 64 77\n"
				"Tcp: RtoAlgorithm MaxConn ActiveOpens CurrEstab RetransSegs\n"
				"Tcp: 1 -1 15 3 9\n"
				"Udp: InDatagrams NoPorts\nUdp: 5 6\n"
				"UdpLite: InDatagrams\nUdpLite: 8\n";
static const char netstat_text[] = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\n"
				   "TcpExt: 1 2 3\n"
				   "IpExt: InNoRoutes InOctets\nIpExt: 0 123456789012\n";
static const char sockstat_text[] = "sockets: used 29\nTCP: inuse 5 orphan 1 tw 2 alloc 7 mem 3\n"
				    "FRAG: inuse 0 memory 0\n";
static const char softnet_text[] =
	"0000000a 00000001 000000ff 00000000 00000000 00000000 00000000 00000000 00000000 "
	"00000000 00000000 00000000 00000000\n"
	"ffffffff 00000000 00000002 00000000 00000000 00000000 00000000 00000000 00000000 "
	"00000000 00000000 00000000 00000003 00000000 00000000\n";

static const struct {
	const char *file, *text, *group;
} files[] = {
	{"stat", stat_text, "proc.stat"},
	{"meminfo", meminfo_text, "proc.meminfo"},
	{"vmstat", vmstat_text, "proc.vmstat"},
	{"loadavg", loadavg_text, "proc.loadavg"},
	{"diskstats", diskstats_text, "proc.diskstats"},
	{"net/dev", net_text, "proc.net.dev"},
	{"softirqs", softirqs_text, "proc.softirqs"},
	{"schedstat", schedstat_text, "proc.schedstat"},
	{"pressure/io", pressure_text, "proc.pressure.io"},
	{"net/snmp", snmp_text, "proc.net.snmp"},
	{"net/netstat", netstat_text, "proc.net.netstat"},
	{"net/sockstat", sockstat_text, "proc.net.sockstat"},
	{"net/softnet_stat", softnet_text, "proc.net.softnet_stat"},
};
#define FILES (sizeof(files) / sizeof(files[0]))

static void put(const char *name, const char *text, size_t n)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, n), (ssize_t)n);
	close(fd);
}

static void put_text(const char *name, const char *text)
{
	put(name, text, strlen(text));
}

static int take(void)
{
	return polling_take(&proc, &snap);
}

#define expect(name, wanted) cr_expect_str_eq(polling_value(&snap, name), wanted, "%s", name)

static void setup(void)
{
	struct errmsg e = {""};
	char path[80];

	diag_init("test", DIAG_ERROR); /* thousands of warnings about damage are no failure */
	strcpy(dir, "/tmp/tally-proc-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/net", dir);
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/pressure", dir);
	cr_assert_eq(mkdir(path, 0700), 0);
	for (size_t i = 0; i < FILES; i++)
		put_text(files[i].file, files[i].text);
	env = (struct provider_env){
		.proc_dir = dir, .interval_ns = 1000000000, .boot_ns = 1700000000000000000u};
	proc = (struct producer){.ops = &producer_proc};
	cr_assert_eq(producer_proc.open(&proc, &env, &e), 0, "%s", e.text);
}

static void teardown(void)
{
	char cmd[128];

	producer_proc.close(&proc);
	snapshot_release(&snap);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	cr_assert_eq(system(cmd), 0);
}

TestSuite(proc, .init = setup, .fini = teardown);

static void expect_all(void)
{
	char pages_of_3[32];

	snprintf(pages_of_3, sizeof(pages_of_3), "%ld", 3 * sysconf(_SC_PAGESIZE));
	cr_expect_eq(snap.n, FILES);
	expect("cpu_seconds_total{cpu=\"0\",mode=\"user\"}", "0.1");
	expect("cpu_seconds_total{cpu=\"1\",mode=\"idle\"}", "20");
	expect("cpu_seconds_total{cpu=\"1\",mode=\"steal\"}", "0.04");
	expect("cpu_guest_seconds_total{cpu=\"0\",mode=\"nice\"}", "0.01");
	expect("interrupts_total", "123456789");
	expect("context_switches_total", "17130912");
	expect("boot_time_seconds", "1795442564");
	expect("forks_total", "169408");
	expect("processes_running", "2");
	expect("processes_blocked", "1");
	expect("softirqs_total{cpu=\"1\",type=\"hi\"}", "1");
	expect("softirqs_total{cpu=\"3\",type=\"net_rx\"}", "7");
	expect("softirqs_total{cpu=\"1\",type=\"net_rx\"}", "?");
	expect("pressure_stall_seconds_total{kind=\"some\",resource=\"io\"}", "3633.184708");
	expect("pressure_stall_seconds_total{kind=\"full\",resource=\"io\"}", "0.000012");
	expect("ip_received_packets_total", "77");
	expect("tcp_active_opens_total", "15");
	expect("tcp_established_connections", "3");
	expect("tcp_retransmitted_segments_total", "9");
	expect("udp_received_datagrams_total", "5");
	expect("udp_no_port_datagrams_total", "6");
	expect("tcp_listen_overflows_total", "2");
	expect("tcp_listen_drops_total", "3");
	expect("ip_received_bytes_total", "123456789012");
	expect("sockets{protocol=\"sockets\",state=\"used\"}", "29");
	expect("sockets{protocol=\"TCP\",state=\"tw\"}", "2");
	expect("socket_memory_bytes{protocol=\"TCP\"}", pages_of_3);
	expect("softnet_packets_total{cpu=\"0\"}", "10");
	expect("softnet_drops_total{cpu=\"0\"}", "1");
	expect("softnet_squeezes_total{cpu=\"0\"}", "255");
	expect("softnet_packets_total{cpu=\"3\"}", "4294967295");
	expect("schedstat_running_seconds_total{cpu=\"0\"}", "1.23456789");
	expect("schedstat_waiting_seconds_total{cpu=\"12\"}", "8");
	expect("schedstat_timeslices_total{cpu=\"12\"}", "9");
	expect("schedstat_timeslices_total{cpu=\"0\"}", "4");
	expect("memory_total_bytes", "16729075712");
	expect("memory_free_bytes", "102400");
	expect("memory_active_anon_bytes", "204800");
	expect("memory_swap_total_bytes", "0");
	expect("memory_nfs_unstable_bytes", "3072");
	expect("memory_kreclaimable_bytes", "4096");
	expect("memory_direct_map4k_bytes", "5120");
	expect("memory_huge_pages{state=\"rsvd\"}", "7");
	expect("vmstat_nr_free_pages", "25");
	expect("vmstat_pgfault_total", "18446744073709551615");
	expect("vmstat_nr_dirtied_total", "4");
	expect("vmstat_workingset_nodes", "8");
	expect("load1", "0.86");
	expect("load5", "12.64");
	expect("load15", "100.05");
	expect("threads", "91");
	expect("disk_reads_total{device=\"loop0\"}", "?");
	expect("disk_reads_total{device=\"vda\"}", "1");
	expect("disk_read_bytes_total{device=\"vda\"}", "1536");
	expect("disk_read_time_seconds_total{device=\"vda\"}", "0.004");
	expect("disk_written_bytes_total{device=\"sda\"}", "3584");
	expect("disk_io_now{device=\"vda\"}", "9");
	expect("disk_io_time_weighted_seconds_total{device=\"vda\"}", "0.011");
	expect("disk_flush_time_seconds_total{device=\"vda\"}", "0.017");
	expect("disk_flush_time_seconds_total{device=\"sda\"}", "?");
	expect("network_receive_bytes_total{device=\"lo\"}", "1");
	expect("network_receive_multicast_total{device=\"lo\"}", "8");
	expect("network_transmit_bytes_total{device=\"eth0\"}", "25");
	expect("network_transmit_compressed_total{device=\"eth0\"}", "32");
}

static const char *help_of(const char *group, const char *name)
{
	const struct group *g = polling_group(&snap, group);

	for (size_t i = 0; g && i < g->schema.n; i++)
		if (!strcmp(g->schema.series[i].name, name))
			return g->schema.series[i].help;
	return "?";
}

/* Names that are in the file only, and the names that node_exporter makes of them. */
Test(proc, helps_of_families)
{
	cr_assert_eq(take(), 0);
	cr_assert_str_eq(help_of("proc.meminfo", "memory_active_anon_bytes"),
		"Active(anon) of /proc/meminfo (node_exporter: node_memory_Active_anon_bytes)");
	cr_assert_str_eq(help_of("proc.vmstat", "vmstat_nr_dirtied"), "nr_dirtied of /proc/vmstat");
	cr_assert_str_eq(help_of("proc.vmstat", "vmstat_pgfault"),
		"pgfault of /proc/vmstat (node_exporter: node_vmstat_pgfault)");
}

Test(proc, values)
{
	cr_assert_eq(take(), 0);
	expect_all();
	for (size_t i = 0; i < snap.n; i++) {
		cr_expect_eq(snap.due[i].group->version, 1);
		cr_expect_eq(snap.due[i].group->schema.start_ns, 1700000000000000000u);
	}
	/* Again, now against the shape that the first poll made. */
	cr_assert_eq(take(), 0);
	expect_all();
	cr_expect_eq(polling_group(&snap, "proc.stat")->version, 1);
}

Test(proc, steady_polls_do_not_allocate)
{
	void *before[FILES];
	size_t n;

	cr_assert_eq(take() | take(), 0);
	n = snap.n;
	for (size_t i = 0; i < n; i++)
		before[i] = snap.due[i].group->values;
	put_text("loadavg", "1.00 1.00 1.00 1/1 1\n");
	cr_assert_eq(take(), 0);
	expect("load1", "1");
	for (size_t i = 0; i < n; i++)
		cr_expect_eq(before[i], (void *)snap.due[i].group->values);
}

/* A new disk, one gone, one back with smaller numbers: new shapes, and a mark where it began again. */
Test(proc, shapes_change)
{
	uint64_t start;

	cr_assert_eq(take(), 0);
	put_text("diskstats", " 254 0 vda 2 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n"
			      " 9 0 md0 1 1 1 1 1 1 1 1 1 1 1\n");
	cr_assert_eq(take(), 0);
	expect("disk_reads_total{device=\"vda\"}", "2");
	expect("disk_reads_total{device=\"md0\"}", "1");
	expect("disk_reads_total{device=\"sda\"}", "?");
	cr_expect_eq(polling_group(&snap, "proc.diskstats")->version, 2);
	cr_expect_eq(polling_group(&snap, "proc.stat")->version, 1);
	start = polling_group(&snap, "proc.diskstats")->schema.start_ns;
	cr_expect_eq(start, 1700000000000000000u);
	/* sda returns above what it had (100): nothing began again */
	put_text("diskstats", " 8 0 sda 100 2 3 4 5 6 7 8 9 10 11\n");
	cr_assert_eq(take(), 0);
	cr_expect_eq(polling_group(&snap, "proc.diskstats")->schema.start_ns, start);
	/* vda returns below what it had */
	put_text("diskstats", " 254 0 vda 1 2 3 4 5 6 7 8 9 10 11\n");
	cr_assert_eq(take(), 0);
	expect("disk_reads_total{device=\"vda\"}", "1");
	cr_expect_gt(polling_group(&snap, "proc.diskstats")->schema.start_ns, start);
}

Test(proc, a_step_back_is_a_reset)
{
	uint64_t start;

	cr_assert_eq(take(), 0);
	start = polling_group(&snap, "proc.vmstat")->schema.start_ns;
	put_text("vmstat", "nr_free_pages 24\npgfault 18446744073709551615\n"
			   "nr_dirtied 4\nworkingset_nodes 1\n");
	cr_assert_eq(take(), 0);
	cr_expect_eq(
		polling_group(&snap, "proc.vmstat")->schema.start_ns, start, "gauges may fall");
	put_text("vmstat", "nr_free_pages 24\npgfault 5\nnr_dirtied 4\nworkingset_nodes 1\n");
	cr_assert_eq(take(), 0);
	expect("vmstat_pgfault_total", "5");
	cr_expect_gt(polling_group(&snap, "proc.vmstat")->schema.start_ns, start);
}

/* The kernel's idle times do this; the counter stands still until they have caught up. */
Test(proc, idle_time_is_held)
{
	char text[sizeof(stat_text)];

	cr_assert_eq(take(), 0);
	memcpy(text, stat_text, sizeof(text));
	memcpy(strstr(text, "2000"), "1990", 4);
	put_text("stat", text);
	cr_assert_eq(take(), 0);
	expect("cpu_seconds_total{cpu=\"1\",mode=\"idle\"}", "20");
	cr_expect_eq(polling_group(&snap, "proc.stat")->version, 1);
	memcpy(strstr(text, "1990"), "2001", 4);
	put_text("stat", text);
	cr_assert_eq(take(), 0);
	expect("cpu_seconds_total{cpu=\"1\",mode=\"idle\"}", "20.01");
	memcpy(strstr(text, "2001"), "1000", 4);
	put_text("stat", text);
	cr_assert_eq(take(), 0);
	expect("cpu_seconds_total{cpu=\"1\",mode=\"idle\"}", "10");
	cr_expect_eq(polling_group(&snap, "proc.stat")->version, 2);
}

Test(proc, a_damaged_file_costs_its_own_group)
{
	static const struct {
		const char *file, *group, *good, *text;
	} cases[] = {
		{"stat", "proc.stat", stat_text, "cpu0 1 2 x 4\n"},
		{"stat", "proc.stat", stat_text, "ctxt 123"},
		{"stat", "proc.stat", stat_text, ""},
		{"meminfo", "proc.meminfo", meminfo_text, "MemTotal: 1 MB\n"},
		{"meminfo", "proc.meminfo", meminfo_text, "MemTotal 1 kB\n"},
		{"meminfo", "proc.meminfo", meminfo_text, "MemTotal: 18446744073709551615 kB\n"},
		{"vmstat", "proc.vmstat", vmstat_text, "pgfault 18446744073709551616\n"},
		{"vmstat", "proc.vmstat", vmstat_text, "pgfault -1\n"},
		{"loadavg", "proc.loadavg", loadavg_text, "0.8 1.00 1.00 1/1 1\n"},
		{"loadavg", "proc.loadavg", loadavg_text, "1.00 1.00 1.00 11 1\n"},
		{"diskstats", "proc.diskstats", diskstats_text, "8 0 sda 1 2 3\n"},
		{"net/dev", "proc.net.dev", net_text, "no bars\nnone\n"},
		{"softirqs", "proc.softirqs", softirqs_text, " CPU0\n HI: 1 2\n"},
		{"softirqs", "proc.softirqs", softirqs_text, " CPU0\n HI 1\n"},
		{"pressure/io", "proc.pressure.io", pressure_text, "some avg10=0.00\n"},
		{"pressure/io", "proc.pressure.io", pressure_text, "some total=x\n"},
		{"net/snmp", "proc.net.snmp", snmp_text, "Tcp: ActiveOpens\nUdp: 1\n"},
		{"net/snmp", "proc.net.snmp", snmp_text, "Tcp: ActiveOpens\nTcp: -1\n"},
		{"net/snmp", "proc.net.snmp", snmp_text, "Tcp: ActiveOpens InSegs\nTcp: 1\n"},
		{"net/netstat", "proc.net.netstat", netstat_text, "TcpExt: ListenDrops\n"},
		{"net/netstat", "proc.net.netstat", netstat_text, "TcpExt: A B\nTcpExt: 1 2 3\n"},
		{"net/sockstat", "proc.net.sockstat", sockstat_text, "TCP: inuse\n"},
		{"net/sockstat", "proc.net.sockstat", sockstat_text, "TCP inuse 5\n"},
		{"net/softnet_stat", "proc.net.softnet_stat", softnet_text, "0a 0g 00\n"},
		{"net/softnet_stat", "proc.net.softnet_stat", softnet_text, "0a 00\n"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put_text(cases[i].file, cases[i].text);
		cr_expect_lt(take(), 0, "%s", cases[i].text);
		cr_expect_eq(snap.n, FILES - 1, "%s", cases[i].text);
		cr_expect_null(polling_group(&snap, cases[i].group), "%s", cases[i].text);
		put_text(cases[i].file, cases[i].good);
		cr_expect_eq(take(), 0, "%s", cases[i].text);
		expect_all();
	}
}

/* A wild number in a file that is damaged behind it must not make the next good one a step back. */
Test(proc, damage_is_no_reset)
{
	uint64_t start;

	cr_assert_eq(take(), 0);
	start = polling_group(&snap, "proc.vmstat")->schema.start_ns;
	put_text(
		"vmstat", "nr_free_pages 25\npgfault 18446744073709551615\nnr_dirtied 9999\nx y\n");
	cr_expect_lt(take(), 0);
	put_text("vmstat", vmstat_text);
	cr_assert_eq(take(), 0);
	expect_all();
	cr_expect_eq(polling_group(&snap, "proc.vmstat")->schema.start_ns, start);
}

/* Longer than any buffer at first: 3,000 interfaces. */
Test(proc, long_files)
{
	size_t n = 0, size = 400000;
	char *text = malloc(size);

	n = (size_t)sprintf(text, "a|b\nc|d\n");
	for (int i = 0; i < 3000; i++)
		n += (size_t)snprintf(
			text + n, size - n, "veth%d: %d 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n", i, i);
	put("net/dev", text, n);
	cr_assert_eq(take(), 0);
	expect("network_receive_bytes_total{device=\"veth399\"}", "399");
	expect("network_receive_bytes_total{device=\"veth400\"}", "?");
	expect("network_devices", "3000");
	free(text);
}

/* Whatever is in the files: no crash, and what is not touched stays exact. */
Test(proc, random_damage)
{
	static const char alphabet[] = " \n\t0123456789:|.kB-\"\\\xc3\xff{}_aZ";

	test_rand_init();
	for (int round = 0; round < 3000; round++) {
		size_t f = test_rand_below(FILES), n = strlen(files[f].text);
		char text[1024];

		memcpy(text, files[f].text, n);
		for (uint64_t k = test_rand_below(4) + 1; k; k--)
			text[test_rand_below(n)] =
				test_rand_below(20)
					? alphabet[test_rand_below(sizeof(alphabet) - 1)]
					: '\0';
		put(files[f].file, text, test_rand_below(3) ? n : test_rand_below(n + 1));
		take();
		expect(f ? "processes_running" : "load5", f ? "2" : "12.64");
		put_text(files[f].file, files[f].text);
	}
	cr_assert_eq(take(), 0);
	expect("memory_free_bytes", "102400");
	expect("network_transmit_bytes_total{device=\"eth0\"}", "25");
	expect("disk_reads_total{device=\"sda\"}", "100");
}

Test(proc, missing_files)
{
	struct producer other = {.ops = &producer_proc};
	struct errmsg e = {""};
	char path[128];

	snprintf(path, sizeof(path), "%s/vmstat", dir);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(producer_proc.open(&other, &env, &e), 0);
	cr_expect_eq(polling_take(&other, &snap), 0);
	cr_expect_eq(snap.n, FILES - 1);
	producer_proc.close(&other);
	env.proc_dir = "/nonexistent";
	cr_expect_eq(producer_proc.open(&other, &env, &e), -ENOENT);
	env.proc_dir = "/dev";
	cr_expect_eq(producer_proc.open(&other, &env, &e), -ENOENT);
	cr_expect(strstr(e.text, "/dev"), "%s", e.text);
}

/* The machine's own: the sums that the kernel gives must fit the parts. */
Test(proc, this_machine)
{
	struct producer other = {.ops = &producer_proc};
	struct errmsg e = {""};

	env.proc_dir = "/proc";
	cr_assert_eq(producer_proc.open(&other, &env, &e), 0);
	cr_expect_eq(polling_take(&other, &snap), 0);
	cr_expect_eq(polling_take(&other, &snap), 0);
	cr_expect_geq(snap.n, 9);
	cr_expect_gt(atof(polling_value(&snap, "memory_total_bytes")), 1e6);
	cr_expect_gt(atof(polling_value(&snap, "context_switches_total")), 1000);
	cr_expect_gt(atof(polling_value(&snap, "cpu_seconds_total{cpu=\"0\",mode=\"idle\"}")), 0.1);
	producer_proc.close(&other);
}

/* Of a hundred interfaces the kernel gives net/dev a page at a time. */
Test(proc, files_that_come_in_pieces)
{
	struct producer other = {.ops = &producer_proc};
	struct errmsg e = {""};

	if (unshare(CLONE_NEWNET))
		cr_skip_test("no network namespace of its own: %s", strerror(errno));
	for (int i = 0; i < 100; i++) {
		struct ifreq request = {.ifr_flags = IFF_TAP};
		int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

		snprintf(request.ifr_name, sizeof(request.ifr_name), "piece%d", i);
		if (fd < 0 || ioctl(fd, TUNSETIFF, &request))
			cr_skip_test("no interface can be made: %s", strerror(errno));
	}
	env.proc_dir = "/proc";
	cr_assert_eq(producer_proc.open(&other, &env, &e), 0);
	cr_expect_eq(polling_take(&other, &snap), 0);
	expect("network_devices", "101");
	expect("network_receive_bytes_total{device=\"piece99\"}", "0");
	producer_proc.close(&other);
}

Test(proc, files_that_come_at_once)
{
	static char text[1u << 20];
	size_t n = 0;

	for (const struct proc_source *s = proc_sources; s->path; s++) {
		char path[64];
		ssize_t got;
		int fd;

		snprintf(path, sizeof(path), "/proc/%s", s->path);
		fd = s->at_once ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		if (fd < 0)
			continue;
		got = pread(fd, text, sizeof(text), 0);
		cr_expect_gt(got, 0, "%s", path);
		cr_expect_eq(pread(fd, text, sizeof(text), got), 0, "%s has more", path);
		close(fd);
		n++;
	}
	cr_assert_geq(n, 7);
}
