/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The producer "sys" over files of our own, which change, are damaged and go, and over those of this machine. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/polling.h"
#include "user/lib/diag.h"
#include "user/lib/util.h"

static char dir[64];
static struct producer producer;
static struct snapshot snap;

/* Makes the directories on the way, too. */
static void put(const char *name, const char *text)
{
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	for (char *p = path + strlen(dir) + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		mkdir(path, 0700);
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	cr_assert_geq(fd, 0, "%s", path);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void discard(const char *name)
{
	char command[200];

	snprintf(command, sizeof(command), "rm -r '%s/%s'", dir, name);
	cr_assert_eq(system(command), 0, "%s", command);
}

static void move(const char *from, const char *to)
{
	char old[160], new[160];

	snprintf(old, sizeof(old), "%s/%s", dir, from);
	snprintf(new, sizeof(new), "%s/%s", dir, to);
	cr_assert_eq(rename(old, new), 0);
}

static void put_cpu(int cpu, const char *seconds)
{
	char name[64];

	snprintf(name, sizeof(name), "cpu/cpu%d/cpuidle/state0/name", cpu);
	put(name, "POLL\n");
	snprintf(name, sizeof(name), "cpu/cpu%d/cpuidle/state0/time", cpu);
	put(name, "7\n");
	snprintf(name, sizeof(name), "cpu/cpu%d/cpuidle/state0/usage", cpu);
	put(name, "2\n");
	snprintf(name, sizeof(name), "cpu/cpu%d/cpuidle/state1/name", cpu);
	put(name, "C1_ACPI\n");
	snprintf(name, sizeof(name), "cpu/cpu%d/cpuidle/state1/time", cpu);
	put(name, seconds);
	snprintf(name, sizeof(name), "cpu/cpu%d/cpuidle/state1/usage", cpu);
	put(name, "99\n");
	snprintf(name, sizeof(name), "cpu/cpu%d/cpufreq/scaling_cur_freq", cpu);
	put(name, cpu ? "<unknown>\n" : "2400123\n");
}

static void put_node(int node, const char *meminfo)
{
	char name[64];

	snprintf(name, sizeof(name), "node/node%d/meminfo", node);
	put(name, meminfo);
	snprintf(name, sizeof(name), "node/node%d/numastat", node);
	put(name, "numa_hit 11\nnuma_miss 12\nnuma_foreign 13\ninterleave_hit 14\n"
		  "local_node 15\nother_node 16\n");
}

static void open_it(const char *where)
{
	const struct provider_env env = {.sys_dir = where, .interval_ns = NSEC_PER_SEC};
	struct errmsg e = {""};

	producer = (struct producer){.ops = &producer_sys};
	cr_assert_eq(producer_sys.open(&producer, &env, &e), 0, "%s", e.text);
}

static void setup(void)
{
	diag_init("test", DIAG_ERROR);
	strcpy(dir, "/tmp/tally-sys-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	put("cpu/online", "0,10\n");
	put("cpu/cpufreq/policy0/scaling_cur_freq", "1\n");
	put("cpu/cpuidle/current_driver", "x\n");
	put_cpu(10, "18446744073709551615\n");
	put_cpu(0, "1234567\n");
	put_node(0, "Node 0 MemTotal:        100 kB\nNode 0 Active(anon):     3 kB\n"
		    "Node 0 HugePages_Total:     4\n");
}

static void teardown(void)
{
	producer_sys.close(&producer);
	snapshot_release(&snap);
	discard("");
}

static int take(void)
{
	return polling_take(&producer, &snap);
}

#define expect(name, wanted) cr_expect_str_eq(polling_value(&snap, name), wanted, "%s", name)

Test(sys, values, .init = setup, .fini = teardown)
{
	open_it(dir);
	cr_assert_eq(take(), 0);
	expect("cpu_idle_state_seconds_total{cpu=\"0\",state=\"POLL\"}", "0.000007");
	expect("cpu_idle_state_seconds_total{cpu=\"0\",state=\"C1_ACPI\"}", "1.234567");
	expect("cpu_idle_state_entries_total{cpu=\"10\",state=\"C1_ACPI\"}", "99");
	expect("cpu_idle_state_seconds_total{cpu=\"10\",state=\"C1_ACPI\"}",
		"18446744073709.551615");
	expect("cpu_frequency_hertz{cpu=\"0\"}", "2400123000");
	expect("cpu_frequency_hertz{cpu=\"10\"}", "?");
	expect("sys_left_out", "0");
	/* one node alone has nothing of its own to tell */
	cr_expect_null(polling_group(&snap, "sys.node"));
	put("cpu/cpu0/cpuidle/state1/time", "1234569\n");
	cr_assert_eq(take(), 0);
	expect("cpu_idle_state_seconds_total{cpu=\"0\",state=\"C1_ACPI\"}", "1.234569");
}

Test(sys, nodes, .init = setup, .fini = teardown)
{
	put_node(3, "Node 3 MemTotal:        200 kB\nNode 3 Active(anon):     5 kB\n"
		    "Node 3 HugePages_Total:     6\n");
	open_it(dir);
	cr_assert_eq(take(), 0);
	expect("numa_memory_total_bytes{node=\"0\"}", "102400");
	expect("numa_memory_total_bytes{node=\"3\"}", "204800");
	expect("numa_memory_active_anon_bytes{node=\"3\"}", "5120");
	expect("numa_memory_huge_pages{node=\"3\",state=\"total\"}", "6");
	expect("numa_allocations_total{kind=\"miss\",node=\"0\"}", "12");
	expect("numa_allocations_total{kind=\"local_node\",node=\"3\"}", "15");
}

/* A CPU goes off, and its series with it; it comes back, and so do they. */
Test(sys, cpus_come_and_go, .init = setup, .fini = teardown)
{
	open_it(dir);
	cr_assert_eq(take(), 0);
	put("cpu/online", "0\n");
	move("cpu/cpu10", "cpu/off10");
	cr_assert_eq(take(), 0);
	expect("cpu_idle_state_entries_total{cpu=\"10\",state=\"C1_ACPI\"}", "?");
	expect("cpu_idle_state_entries_total{cpu=\"0\",state=\"C1_ACPI\"}", "99");
	move("cpu/off10", "cpu/cpu10");
	put("cpu/online", "0,10\n");
	cr_assert_eq(take(), 0);
	expect("cpu_idle_state_entries_total{cpu=\"10\",state=\"C1_ACPI\"}", "99");
}

/* Damage costs the group it is in, for as long as it is there. */
Test(sys, damage, .init = setup, .fini = teardown)
{
	static const char *const bad[] = {
		"12x\n", "-1\n", "12", "1 2\n", "\n", "18446744073709551616\n"};

	put_node(3, "Node 3 MemTotal: 200 kB\n");
	open_it(dir);
	cr_assert_eq(take(), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put("cpu/cpu0/cpuidle/state1/usage", bad[i]);
		cr_expect_eq(take(), -EBADMSG, "%s", bad[i]);
		cr_expect_null(polling_group(&snap, "sys.cpuidle"));
		expect("cpu_frequency_hertz{cpu=\"0\"}", "2400123000");
	}
	put("cpu/cpu0/cpuidle/state1/usage", "100\n");
	cr_expect_eq(take(), 0);
	expect("cpu_idle_state_entries_total{cpu=\"0\",state=\"C1_ACPI\"}", "100");
	put("node/node3/meminfo", "Knot 3 MemTotal: 200 kB\n");
	cr_expect_eq(take(), -EBADMSG);
	put("node/node3/meminfo", "Node 3 MemTotal: 201 kB\n");
	cr_expect_eq(take(), 0);
	expect("numa_memory_total_bytes{node=\"3\"}", "205824");
}

/* Of a virtual machine without either there is still the group that says so. */
Test(sys, nothing, .init = setup, .fini = teardown)
{
	discard("cpu");
	discard("node");
	open_it(dir);
	cr_assert_eq(take(), 0);
	expect("sys_left_out", "0");
}

static uint64_t idle_ns(void)
{
	const struct group *g = polling_group(&snap, "sys.cpuidle");
	uint64_t sum = 0;

	for (size_t i = 0; g && i < g->schema.n; i++)
		if (!strcmp(g->schema.series[i].name, "cpu_idle_state_seconds"))
			sum += g->values[i] * 1000;
	return sum;
}

/* This machine's: no CPU is idle for longer than there is time. */
Test(sys, of_this_machine, .init = setup, .fini = teardown)
{
	uint64_t begin = clock_monotonic_ns(), idle, wall;

	open_it("/sys/devices/system");
	cr_assert_eq(take(), 0);
	idle = idle_ns();
	usleep(500000);
	cr_assert_eq(take(), 0);
	idle = idle_ns() - idle;
	wall = clock_monotonic_ns() - begin;
	printf("idle for %lu of %lu us, %ld CPUs\n", idle / 1000, wall / 1000,
		sysconf(_SC_NPROCESSORS_ONLN));
	/* a state that had begun before ends in between, with all of its time */
	cr_assert_leq(idle, (wall + NSEC_PER_SEC) * (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
}
