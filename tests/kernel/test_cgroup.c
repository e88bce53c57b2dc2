/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Producer "cgroup" over this machine's own control groups, of either version: known work in a group made for it.
 * What a hierarchy lacks is not looked for there.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#define OPS_UNDER_TEST (&producer_cgroup)
#include "tests/lib/testcgroup.h"
#include "tests/lib/testdisk.h"
#include "tests/lib/testmodule.h"

static const char *const controllers[] = {"cpu", "cpuacct", "memory", "pids", "blkio"};
#define CONTROLLERS (sizeof(controllers) / sizeof(controllers[0]))
static char name[64], labels[96];
static bool v1;

/* A file of the group. */
static const char *file_of(const char *controller, const char *file)
{
	static char path[300];

	snprintf(path, sizeof(path), CGROUP_MOUNT "/%s%s/%s", v1 ? controller : "", name, file);
	return path;
}

static bool has(const char *controller, const char *file)
{
	return access(file_of(controller, file), R_OK) == 0;
}

/* The number behind a word of a file, or the first one if word is "". */
static uint64_t number_in(const char *path, const char *word)
{
	char line[300];
	unsigned long long n = 0;
	FILE *f = fopen(path, "r");

	cr_assert_not_null(f, "%s", path);
	while (fgets(line, sizeof(line), f)) {
		size_t k = strlen(word);

		if (strncmp(line, word, k) != 0 || (k && line[k] != ' '))
			continue;
		n = strtoull(line + k, NULL, 10);
		break;
	}
	fclose(f);
	return n;
}

static void make_group(const char *which)
{
	v1 = access(CGROUP_MOUNT "/cgroup.controllers", F_OK) != 0;
	snprintf(name, sizeof(name), "/tally-%s-%d", which, (int)getpid());
	snprintf(labels, sizeof(labels), "cgroup=\"%s\"", name);
	if (!v1) {
		cgroup_write(CGROUP_MOUNT "/cgroup.subtree_control", "+cpu");
		cgroup_write(CGROUP_MOUNT "/cgroup.subtree_control", "+memory");
		cgroup_write(CGROUP_MOUNT "/cgroup.subtree_control", "+pids");
		cgroup_write(CGROUP_MOUNT "/cgroup.subtree_control", "+io");
		cr_assert_eq(mkdir(file_of("", ""), 0755), 0);
	}
	for (size_t i = 0; v1 && i < CONTROLLERS; i++)
		mkdir(file_of(controllers[i], ""), 0755);
}

static void remove_group(void)
{
	for (size_t i = 0; i < (v1 ? CONTROLLERS : 1); i++)
		cgroup_remove_dir(file_of(controllers[i], ""));
}

static void enter(void)
{
	for (size_t i = 0; i < (v1 ? CONTROLLERS : 1); i++)
		cgroup_write(file_of(controllers[i], "cgroup.procs"), "0");
}

/* Polls until the group is shown: it is found by inotify, but a walk is not repeated at once. */
static void poll_until_shown(void)
{
	for (int i = 0; i < 500; i++) {
		poll_producer();
		for (size_t k = 0; k < snapshot.n; k++)
			if (snapshot.groups[k]->schema.n &&
				has_labels(snapshot.groups[k]->schema.series[0].labels, labels))
				return;
		usleep(10000);
	}
	cr_assert_fail("%s is not found", name);
}

static uint64_t of_group(const char *metric, const char *more)
{
	char all[200];

	snprintf(all, sizeof(all), "%s%s%s", labels, *more ? "," : "", more);
	return value(metric, all, SERIES_VALUE);
}

/* Runs fn in the group; its wait(2) status. */
static int run_inside(void (*fn)(void))
{
	pid_t pid = fork();
	int status;

	cr_assert_geq(pid, 0);
	if (!pid) {
		enter();
		fn();
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

/* --- CPU --------------------------------------------------------------------------------------- */

#define SPIN_NS 300000000u

static uint64_t own_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static void spin(void)
{
	uint64_t begin = own_ns();

	while (own_ns() - begin < SPIN_NS)
		;
}

Test(cgroup, cpu_time, .init = setup, .fini = teardown)
{
	const char *own = "cpuacct.usage", *word = "";
	uint64_t ours, theirs;

	make_group("cpu");
	own = v1 ? "cpuacct.usage" : "cpu.stat";
	word = v1 ? "" : "usage_usec";
	if (!has("cpuacct", own)) {
		remove_group();
		cr_skip_test("no CPU accounting here");
	}
	cr_assert_eq(run_inside(spin), 0);
	poll_until_shown();
	ours = of_group("cgroup_cpu_seconds", "");
	theirs = number_in(file_of("cpuacct", own), word) * (v1 ? 1 : 1000);
	remove_group();
	printf("%lu ns, the group's own books: %lu\n", ours, theirs);
	cr_assert_eq(ours, theirs);
	cr_assert_geq(ours, SPIN_NS - 1000); /* version 2 has whole microseconds */
	/* gone: it keeps what it reached, also when the next walk has not found it */
	for (int i = 0; i < 100; i++) {
		usleep(10000);
		poll_producer();
	}
	cr_assert_geq(value("cgroup_groups", "state=\"ended\"", SERIES_VALUE), 1);
	cr_assert_eq(of_group("cgroup_cpu_seconds", ""), theirs);
}

Test(cgroup, throttling, .init = setup, .fini = teardown)
{
	uint64_t ours, before, after; /* newer kernels may count a period when its tasks are gone */

	make_group("quota");
	if (!has("cpu", v1 ? "cpu.cfs_quota_us" : "cpu.max")) {
		remove_group();
		cr_skip_test("no quota of CPU time here");
	}
	if (v1)
		cr_assert(cgroup_write(file_of("cpu", "cpu.cfs_quota_us"), "20000"));
	else
		cr_assert(cgroup_write(file_of("cpu", "cpu.max"), "20000 100000"));
	cr_assert_eq(run_inside(spin), 0);
	before = number_in(file_of("cpu", "cpu.stat"), "nr_throttled");
	poll_until_shown();
	ours = of_group("cgroup_cpu_throttled_periods", "");
	after = number_in(file_of("cpu", "cpu.stat"), "nr_throttled");
	printf("%lu periods, the group says %lu and %lu; %lu ns throttled\n", ours, before, after,
		of_group("cgroup_cpu_throttled_seconds", ""));
	remove_group();
	cr_assert_geq(ours, before);
	cr_assert_leq(ours, after);
	cr_assert_geq(ours, 5); /* 300 ms at 20 of each 100 */
	cr_assert_leq(ours, of_group("cgroup_cpu_periods", ""));
	if (clocks_are_real())
		cr_assert_gt(of_group("cgroup_cpu_throttled_seconds", ""), 300000000);
}

/* --- memory and tasks ----------------------------------------------------------------------------- */

static void take_memory(void)
{
	const size_t size = 64u << 20;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; i < size; i += 4096)
		((volatile char *)p)[i] = 1;
}

Test(cgroup, out_of_memory, .init = setup, .fini = teardown)
{
	int status;

	make_group("oom");
	if (!has("memory", v1 ? "memory.limit_in_bytes" : "memory.max")) {
		remove_group();
		cr_skip_test("no memory controller here");
	}
	cr_assert(cgroup_write(
		file_of("memory", v1 ? "memory.limit_in_bytes" : "memory.max"), "16777216"));
	cgroup_write(file_of("memory", "memory.swap.max"), "0");
	poll_until_shown();
	cr_assert_eq(of_group("cgroup_memory_events", "event=\"oom_kill\""), 0);
	status = run_inside(take_memory);
	poll_producer();
	printf("%lu killed, %lu at the limit\n",
		of_group("cgroup_memory_events", "event=\"oom_kill\""),
		of_group("cgroup_memory_events", "event=\"max\""));
	remove_group();
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	cr_assert_eq(of_group("cgroup_memory_events", "event=\"oom_kill\""), 1);
	cr_assert_gt(of_group("cgroup_memory_events", "event=\"max\""), 0);
}

Test(cgroup, memory_and_tasks, .init = setup, .fini = teardown)
{
	enum { N = 5 };
	const size_t size = 8u << 20;
	int up[2], down[2];
	pid_t pids[N];
	char c;

	make_group("tasks");
	cr_assert_eq(pipe(up) || pipe(down), 0);
	for (int i = 0; i < N; i++) {
		pids[i] = fork();
		cr_assert_geq(pids[i], 0);
		if (pids[i])
			continue;
		enter();
		for (volatile char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
			p && write(up[1], "", 1) == 1;)
			_exit((int)read(down[0], &c, 1));
	}
	for (int i = 0; i < N; i++)
		cr_assert_eq(read(up[0], &c, 1), 1);
	poll_until_shown();
	printf("%lu tasks, %lu bytes\n", of_group("cgroup_tasks", ""),
		of_group("cgroup_memory_bytes", ""));
	cr_assert_eq(write(down[1], "12345", N), N);
	for (int i = 0; i < N; i++)
		waitpid(pids[i], NULL, 0);
	if (has("pids", "pids.current"))
		cr_assert_eq(of_group("cgroup_tasks", ""), N);
	if (has("memory", v1 ? "memory.usage_in_bytes" : "memory.current")) {
		cr_assert_geq(of_group("cgroup_memory_bytes", ""), N * size);
		cr_assert_leq(of_group("cgroup_memory_bytes", ""), 2 * N * size);
	}
	remove_group();
}

/* --- disks ----------------------------------------------------------------------------------------- */

enum { PIECES = 16, PIECE = 256 << 10 };
static struct disk disk;

static void write_disk(void)
{
	char path[32], *piece;
	int fd;

	snprintf(path, sizeof(path), "/dev/%s", disk.name);
	fd = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
	if (posix_memalign((void **)&piece, 4096, PIECE))
		_exit(1);
	memset(piece, 7, PIECE);
	for (int i = 0; i < PIECES; i++)
		if (write(fd, piece, PIECE) != PIECE)
			_exit(2);
}

Test(cgroup, bytes_to_a_disk, .init = setup, .fini = teardown)
{
	char more[64];
	int status;

	make_space("64m");
	disk = make_disk(0, PIECES * PIECE);
	make_group("io");
	/* newer kernels count in version 1 only what has a limit */
	snprintf(more, sizeof(more), "7:%d 1000000000000", disk.number);
	if (v1 && !cgroup_write(file_of("blkio", "blkio.throttle.write_bps_device"), more))
		goto none;
	if (!v1 && !has("", "io.stat"))
		goto none;
	status = run_inside(write_disk);
	cr_assert_eq(status, 0, "%d", status);
	poll_until_shown();
	snprintf(more, sizeof(more), "device=\"%s\",op=\"write\"", disk.name);
	printf("%lu bytes in %lu requests\n", of_group("cgroup_io_bytes", more),
		of_group("cgroup_io_operations", more));
	remove_group();
	remove_disk(&disk);
	remove_space();
	cr_assert_eq(of_group("cgroup_io_bytes", more), (uint64_t)PIECES * PIECE);
	cr_assert_geq(of_group("cgroup_io_operations", more), PIECES);
	return;
none:
	remove_group();
	remove_disk(&disk);
	remove_space();
	cr_skip_test("control groups don't count what goes to disks here");
}
