/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The producer "cgroup" over trees of our own: both versions, groups that come and go, limits, damage. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/polling.h"
#include "user/lib/diag.h"
#include "user/provider/cgroup_names.h"

static char dir[64];
static struct producer cgroup = {.ops = &producer_cgroup};
static struct snapshot snap;
static struct provider_env env;

static void put(const char *path, const char *text)
{
	char full[512];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", dir, path);
	f = fopen(full, "w");
	cr_assert_not_null(f, "%s", full);
	fputs(text, f);
	fclose(f);
}

static void make_dir(const char *path)
{
	char full[512];

	snprintf(full, sizeof(full), "%s/%s", dir, path);
	cr_assert_eq(mkdir(full, 0755), 0, "%s", full);
}

static void run(const char *command, const char *path)
{
	char text[600];

	snprintf(text, sizeof(text), "%s %s/%s", command, dir, path);
	cr_assert_eq(system(text), 0, "%s", text);
}

static void poll_ok(void)
{
	cr_assert_eq(polling_take(&cgroup, &snap), 0);
}

/* A walk costs, and is not repeated at once: polls until it has been there, for some seconds. */
static void poll_until(const char *name, const char *value)
{
	for (int i = 0; i < 500; i++) {
		poll_ok();
		if (!strcmp(polling_value(&snap, name), value))
			return;
		usleep(10000);
	}
	cr_assert_fail("%s is %s, not %s", name, polling_value(&snap, name), value);
}

static void open_producer(uint32_t limit)
{
	struct errmsg e = {""};

	env = (struct provider_env){
		.cgroup_dir = dir, .cgroup_limit = limit, .interval_ns = 1000000000, .boot_ns = 5};
	cr_assert_eq(producer_cgroup.open(&cgroup, &env, &e), 0, "%s", e.text);
}

static void setup(void)
{
	strcpy(dir, "build/tmp/cgroup-XXXXXX");
	mkdir("build/tmp", 0755);
	cr_assert_not_null(mkdtemp(dir));
	diag_init("test", DIAG_ERROR);
}

static void teardown(void)
{
	if (cgroup.state)
		producer_cgroup.close(&cgroup);
	snapshot_release(&snap);
	run("rm -rf", "");
}

static void expect(const char *name, const char *value)
{
	cr_assert_str_eq(polling_value(&snap, name), value, "%s is %s, not %s", name,
		polling_value(&snap, name), value);
}

/* A group of version 2 that used so many microseconds. */
static void put_v2(const char *path, unsigned usec)
{
	char file[600], text[300];

	snprintf(file, sizeof(file), "%s/cpu.stat", path);
	snprintf(text, sizeof(text),
		"usage_usec %u\nuser_usec 7\nsystem_usec 8\ncore_sched.force_idle_usec 0\n"
		"nr_periods 3\nnr_throttled 2\nthrottled_usec 1500\n",
		usec);
	put(file, text);
	snprintf(file, sizeof(file), "%s/memory.current", path);
	put(file, "4096\n");
}

static void make_v2(const char *path, unsigned usec)
{
	make_dir(path);
	put_v2(path, usec);
}

#define A "cgroup=\"/a.slice/b.service\""
#define U ",unit=\"b.service\""

Test(cgroup, version_2, .init = setup, .fini = teardown)
{
	put("cgroup.controllers", "cpu io memory pids\n");
	make_v2("a.slice", 9);
	make_v2("a.slice/b.service", 12345678);
	put("a.slice/b.service/memory.swap.current", "8192\n");
	put("a.slice/b.service/memory.events",
		"low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n");
	put("a.slice/b.service/memory.stat",
		"anon 100\nfile 200\nkernel 300\nkernel_stack 1\nslab 400\nsock 500\nshmem 600\n"
		"file_dirty 700\npgfault 800\npgmajfault 900\n");
	put("a.slice/b.service/io.stat",
		"999:7 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n999:8 \n");
	put("a.slice/b.service/pids.current", "17\n");
	put("a.slice/b.service/cpu.pressure",
		"some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\n"
		"full avg10=0.00 avg60=0.00 avg300=0.00 total=2\n");
	put("a.slice/b.service/irq.pressure", "full avg10=0.00 avg60=0.00 avg300=0.00 total=31\n");
	open_producer(0);
	poll_ok();
	expect("cgroup_cpu_seconds_total{cgroup=\"/a.slice\"}", "0.000009");
	expect("cgroup_cpu_seconds_total{" A U "}", "12.345678");
	expect("cgroup_cpu_mode_seconds_total{" A ",mode=\"user\"" U "}", "0.000007");
	expect("cgroup_cpu_mode_seconds_total{" A ",mode=\"system\"" U "}", "0.000008");
	expect("cgroup_cpu_periods_total{" A U "}", "3");
	expect("cgroup_cpu_throttled_periods_total{" A U "}", "2");
	expect("cgroup_cpu_throttled_seconds_total{" A U "}", "0.0015");
	expect("cgroup_memory_bytes{" A U "}", "4096");
	expect("cgroup_swap_bytes{" A U "}", "8192");
	expect("cgroup_memory_events_total{" A ",event=\"max\"" U "}", "3");
	expect("cgroup_memory_events_total{" A ",event=\"oom_kill\"" U "}", "5");
	expect("cgroup_memory_type_bytes{" A ",type=\"anon\"" U "}", "100");
	expect("cgroup_memory_type_bytes{" A ",type=\"dirty\"" U "}", "700");
	expect("cgroup_page_faults_total{" A ",kind=\"major\"" U "}", "900");
	expect("cgroup_io_bytes_total{" A ",device=\"999:7\",op=\"write\"" U "}", "2");
	expect("cgroup_io_operations_total{" A ",device=\"999:7\",op=\"discard\"" U "}", "6");
	expect("cgroup_tasks{" A U "}", "17");
	expect("cgroup_pressure_seconds_total{" A ",kind=\"some\",resource=\"cpu\"" U "}", "1.5");
	expect("cgroup_pressure_seconds_total{" A ",kind=\"full\",resource=\"irq\"" U "}",
		"0.000031");
	expect("cgroup_groups{state=\"alive\"}", "2");
	expect("cgroup_groups{state=\"over_limit\"}", "0");
}

Test(cgroup, version_1, .init = setup, .fini = teardown)
{
	static const char *const dirs[] = {"cpu", "cpuacct", "memory", "blkio", "pids", "unified"};
	char path[64];

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		make_dir(dirs[i]);
		snprintf(path, sizeof(path), "%s/b.service", dirs[i]);
		make_dir(path);
	}
	make_dir("memory/only-memory");
	put("memory/only-memory/memory.usage_in_bytes", "1\n");
	put("cpuacct/b.service/cpuacct.usage", "12345\n");
	put("cpuacct/b.service/cpuacct.usage_user", "11\n");
	put("cpuacct/b.service/cpuacct.usage_sys", "12\n");
	put("cpu/b.service/cpu.stat", "nr_periods 3\nnr_throttled 2\nthrottled_time 1500\n");
	put("memory/b.service/memory.usage_in_bytes", "4096\n");
	put("memory/b.service/memory.failcnt", "21\n");
	put("memory/b.service/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n");
	put("memory/b.service/memory.stat",
		"cache 1\nrss 2\ntotal_cache 3\ntotal_rss 4\ntotal_swap 5\n");
	put("blkio/b.service/blkio.throttle.io_service_bytes",
		"999:7 Read 1\n999:7 Write 2\n999:7 Sync 3\n999:7 Total 3\nTotal 3\n");
	put("blkio/b.service/blkio.throttle.io_serviced", "Total 0\n");
	put("pids/b.service/pids.current", "17\n");
	put("unified/b.service/io.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n");
	open_producer(0);
	poll_ok();
#define B "cgroup=\"/b.service\""
	expect("cgroup_cpu_seconds_total{" B U "}", "0.000012345");
	expect("cgroup_cpu_mode_seconds_total{" B ",mode=\"system\"" U "}", "0.000000012");
	expect("cgroup_cpu_throttled_seconds_total{" B U "}", "0.0000015");
	expect("cgroup_memory_bytes{" B U "}", "4096");
	expect("cgroup_memory_events_total{" B ",event=\"max\"" U "}", "21");
	expect("cgroup_memory_events_total{" B ",event=\"oom_kill\"" U "}", "5");
	expect("cgroup_memory_type_bytes{" B ",type=\"file\"" U "}", "3");
	expect("cgroup_swap_bytes{" B U "}", "5");
	expect("cgroup_io_bytes_total{" B ",device=\"999:7\",op=\"write\"" U "}", "2");
	expect("cgroup_tasks{" B U "}", "17");
	expect("cgroup_pressure_seconds_total{" B ",kind=\"some\",resource=\"io\"" U "}",
		"0.000007");
	expect("cgroup_memory_bytes{cgroup=\"/only-memory\"}", "1");
	expect("cgroup_groups{state=\"alive\"}", "2");
}

Test(cgroup, none_at_all, .init = setup, .fini = teardown)
{
	struct errmsg e = {""};

	env = (struct provider_env){.cgroup_dir = dir, .interval_ns = 1000000000};
	cr_assert_eq(producer_cgroup.open(&cgroup, &env, &e), -ENOENT);
	cr_assert_not_null(strstr(e.text, dir));
	cgroup.state = NULL;
}

/* --- coming and going ----------------------------------------------------------------------------- */

Test(cgroup, come_and_go, .init = setup, .fini = teardown)
{
	struct group *g;

	put("cgroup.controllers", "cpu\n");
	make_v2("a", 10);
	open_producer(0);
	poll_ok();
	expect("cgroup_cpu_seconds_total{cgroup=\"/b\"}", "?");
	make_v2("b", 20);
	poll_until("cgroup_cpu_seconds_total{cgroup=\"/b\"}", "0.00002");
	g = polling_group(&snap, "cgroup./b");
	cr_assert_gt(g->schema.start_ns, 5, "it did not count since the machine's start");
	run("rm -rf", "b");
	poll_until("cgroup_groups{state=\"ended\"}", "1");
	/* what it reached stays; it has no memory any more */
	expect("cgroup_cpu_seconds_total{cgroup=\"/b\"}", "0.00002");
	expect("cgroup_memory_bytes{cgroup=\"/b\"}", "0");
	make_v2("b", 3);
	poll_until("cgroup_cpu_seconds_total{cgroup=\"/b\"}", "0.000003");
	expect("cgroup_memory_bytes{cgroup=\"/b\"}", "4096");
	expect("cgroup_groups{state=\"ended\"}", "0");
	cr_assert_eq(polling_group(&snap, "cgroup./b"), g, "the same one, with a new beginning");
	expect("cgroup_cpu_seconds_total{cgroup=\"/a\"}", "0.00001");
}

Test(cgroup, a_new_beginning_is_marked, .init = setup, .fini = teardown)
{
	uint64_t start;

	put("cgroup.controllers", "cpu\n");
	make_v2("b", 20);
	open_producer(0);
	poll_ok();
	start = polling_group(&snap, "cgroup./b")->schema.start_ns;
	cr_assert_eq(start, 5);
	run("rm -rf", "b");
	poll_until("cgroup_groups{state=\"ended\"}", "1");
	make_v2("b", 30); /* more than the one before: nothing steps back */
	poll_until("cgroup_cpu_seconds_total{cgroup=\"/b\"}", "0.00003");
	cr_assert_neq(polling_group(&snap, "cgroup./b")->schema.start_ns, start);
}

Test(cgroup, more_than_the_limit, .init = setup, .fini = teardown)
{
	char path[16];

	put("cgroup.controllers", "cpu\n");
	for (int i = 0; i < 7; i++) {
		snprintf(path, sizeof(path), "g%d", i);
		make_v2(path, 10);
	}
	make_v2("g0/below", 10);
	open_producer(4);
	poll_ok();
	expect("cgroup_groups{state=\"alive\"}", "4");
	expect("cgroup_groups{state=\"over_limit\"}", "4");
	expect("cgroup_cpu_seconds_total{cgroup=\"/g0/below\"}", "?");
	/* one ended one is kept, and the other places are free */
	run("rm -rf", "g[0-6]");
	make_v2("h1", 11);
	make_v2("h2", 12);
	poll_until("cgroup_groups{state=\"over_limit\"}", "0");
	expect("cgroup_groups{state=\"ended\"}", "1");
	expect("cgroup_cpu_seconds_total{cgroup=\"/h2\"}", "0.000012");
}

/* --- cost ------------------------------------------------------------------------------------------- */

/* While its CPU time stands still its other files are not read: nothing ran in it. */
Test(cgroup, idle_ones_cost_one_read, .init = setup, .fini = teardown)
{
	put("cgroup.controllers", "cpu\n");
	make_v2("a", 10);
	open_producer(0);
	poll_ok();
	poll_ok();
	put("a/memory.current", "8192\n");
	poll_ok();
	expect("cgroup_memory_bytes{cgroup=\"/a\"}", "4096");
	put_v2("a", 11);
	put("a/memory.current", "8192\n");
	poll_ok();
	expect("cgroup_memory_bytes{cgroup=\"/a\"}", "8192");
}

/* --- what changes its shape, what is large, what is damaged -------------------------------------------- */

Test(cgroup, a_disk_more, .init = setup, .fini = teardown)
{
	put("cgroup.controllers", "cpu\n");
	make_v2("a", 10);
	put("a/io.stat", "999:7 rbytes=1 wbytes=2\n");
	put("a/memory.stat", "anon 100\n");
	open_producer(0);
	poll_ok();
	put_v2("a", 11);
	put("a/io.stat", "999:7 rbytes=1 wbytes=2\n999:8 rbytes=3 wbytes=4\n");
	poll_ok();
	expect("cgroup_io_bytes_total{cgroup=\"/a\",device=\"999:7\",op=\"write\"}", "2");
	expect("cgroup_io_bytes_total{cgroup=\"/a\",device=\"999:8\",op=\"read\"}", "3");
	expect("cgroup_memory_type_bytes{cgroup=\"/a\",type=\"anon\"}", "100");
	put_v2("a", 12);
	poll_ok();
	expect("cgroup_memory_type_bytes{cgroup=\"/a\",type=\"anon\"}", "100");
	expect("cgroup_cpu_seconds_total{cgroup=\"/a\"}", "0.000012");
}

Test(cgroup, longer_than_the_room, .init = setup, .fini = teardown)
{
	enum { DISKS = 2000, LINE = 40 };
	char *text = malloc(DISKS * LINE), *at = text;

	put("cgroup.controllers", "cpu\n");
	make_v2("a", 10);
	for (int i = 0; i < DISKS; i++)
		at += sprintf(at, "999:%d rbytes=%d wbytes=1\n", i, i);
	put("a/io.stat", text);
	put("a/pids.current", "4\n");
	free(text);
	open_producer(0);
	poll_ok();
	expect("cgroup_io_bytes_total{cgroup=\"/a\",device=\"999:1999\",op=\"read\"}", "1999");
	expect("cgroup_cpu_seconds_total{cgroup=\"/a\"}", "0.00001");
	expect("cgroup_tasks{cgroup=\"/a\"}", "4");
}

Test(cgroup, damage_is_of_one_group, .init = setup, .fini = teardown)
{
	put("cgroup.controllers", "cpu\n");
	make_v2("a", 10);
	make_v2("b", 10);
	open_producer(0);
	poll_ok();
	put("a/cpu.stat", "usage_usec 11\nuser_usec x\n");
	put_v2("b", 12);
	cr_assert_eq(polling_take(&cgroup, &snap), -EBADMSG);
	expect("cgroup_cpu_seconds_total{cgroup=\"/b\"}", "0.000012");
	expect("cgroup_cpu_seconds_total{cgroup=\"/a\"}", "?");
	put_v2("a", 13);
	poll_ok();
	expect("cgroup_cpu_seconds_total{cgroup=\"/a\"}", "0.000013");
}

Test(cgroup, long_and_unclean_paths_are_told_apart, .init = setup, .fini = teardown)
{
	char path[2][400] = {"", ""}, at[1000];
	int long_ones = 0;

	put("cgroup.controllers", "cpu\n");
	for (int i = 0; i < 2; i++) {
		snprintf(path[i], sizeof(path[i]), "%c%0149d", 'a' + i, 0);
		make_v2(path[i], 10);
		snprintf(at, sizeof(at), "%s/%0150d", path[i], 0);
		make_v2(at, 10);
	}
	make_v2("bad\001name", 77);
	open_producer(0);
	poll_ok();
	expect("cgroup_groups{state=\"alive\"}", "5");
	for (size_t i = 0; i < snap.n; i++) {
		const struct series *s = &snap.due[i].group->schema.series[0];

		cr_assert(text_valid(s->labels, strlen(s->labels)));
		long_ones += strstr(s->labels, "cgroup=\"...") != NULL;
		for (size_t k = 0; k < i; k++)
			cr_assert_str_neq(s->labels, snap.due[k].group->schema.series[0].labels);
	}
	cr_assert_eq(long_ones, 3);
}

Test(cgroup, names)
{
#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	static const struct {
		const char *path, *unit, *container;
	} cases[] = {
		{"/", "", ""},
		{"/system.slice/ssh.service", "ssh.service", ""},
		{"/user.slice/user-1.slice/session-2.scope", "session-2.scope", ""},
		{"/system.slice/docker-" HEX ".scope", "docker-" HEX ".scope", HEX},
		{"/kubepods/besteffort/pod12/" HEX, "", HEX},
		{"/a/" HEX "0", "", ""},
		{"/user.slice/user@1.service/app.slice/x.service", "user@1.service", ""},
		{"/.service", "", ""},
	};
	struct cgroup_names n;
	char text[200];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cgroup_names_find(cases[i].path, &n);
		snprintf(text, sizeof(text), "%.*s", (int)n.unit_len, n.unit ? n.unit : "");
		cr_assert_str_eq(text, cases[i].unit);
		snprintf(text, sizeof(text), "%.*s", (int)n.container_len,
			n.container ? n.container : "");
		cr_assert_str_eq(text, cases[i].container);
	}
}
