/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "fsync": a known number of calls on a file system of the test's own, whose times are those of the calls. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define MODULE_UNDER_TEST module_fsync
#include "tests/lib/testdisk.h"
#include "tests/lib/testmodule.h"

#include "tests/lib/testhold.h"

enum { CALLS = 60, DATA_CALLS = 40 };

static uint64_t of(const char *op, int part)
{
	char labels[64];

	snprintf(labels, sizeof(labels), "device=\"%s\",op=\"%s\"", own_fs.disk.name, op);
	return value("ext4_fsync_seconds", labels, part);
}

/* Returns how long the calls took, in ns. */
static uint64_t sync_often(int fd, int (*fn)(int), int n)
{
	uint64_t ns = 0, begin;

	for (int i = 0; i < n; i++) {
		cr_assert_eq(pwrite(fd, "word", 4, (off_t)i * 5000), 4);
		begin = clock_monotonic_ns();
		cr_assert_eq(fn(fd), 0);
		ns += clock_monotonic_ns() - begin;
	}
	return ns;
}

static int open_own(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/file", own_fs.at);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	return fd;
}

static void end(void)
{
	teardown();
	remove_own_fs();
}

Test(fsync, known_calls, .init = setup, .fini = end)
{
	uint64_t all, data, all_ns, data_ns, all_wall, data_wall;
	int fd;

	own_fs = make_file_system();
	fd = open_own();
	poll_producer();
	all = of("fsync", SERIES_BUCKET);
	data = of("fdatasync", SERIES_BUCKET);
	all_ns = of("fsync", SERIES_SUM);
	data_ns = of("fdatasync", SERIES_SUM);
	all_wall = sync_often(fd, fsync, CALLS);
	data_wall = sync_often(fd, fdatasync, DATA_CALLS);
	close(fd);
	poll_producer();
	all = of("fsync", SERIES_BUCKET) - all;
	data = of("fdatasync", SERIES_BUCKET) - data;
	all_ns = of("fsync", SERIES_SUM) - all_ns;
	data_ns = of("fdatasync", SERIES_SUM) - data_ns;
	printf("%lu fsync: %lu of %lu us; %lu fdatasync: %lu of %lu us\n", all, all_ns / 1000,
		all_wall / 1000, data, data_ns / 1000, data_wall / 1000);
	cr_assert_eq(all, CALLS);
	cr_assert_eq(data, DATA_CALLS);
	cr_assert(all_ns <= all_wall && all_ns >= all_wall / 2);
	cr_assert(data_ns <= data_wall && data_ns >= data_wall / 2);
	cr_assert_eq(value("ext4_fsync_errors", NULL, SERIES_VALUE), 0);
	cr_assert_eq(value("ext4_fsync_unknown", NULL, SERIES_VALUE), 0);
}

static uint64_t sync_own(void)
{
	int fd = open_own();

	sync_often(fd, fsync, CALLS);
	close(fd);
	return CALLS;
}

Test(fsync, over_a_hold, .init = setup_unless_emulated, .fini = end)
{
	char labels[64];

	own_fs = make_file_system();
	snprintf(labels, sizeof(labels), "device=\"%s\"", own_fs.disk.name);
	check_over_a_hold(&(struct held_work){sync_own, "ext4_fsync_seconds", labels, 0});
}
