/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "jbd2": commits that are asked for, counted by the kernel itself as well, on a disk of the test's own. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define MODULE_UNDER_TEST module_jbd2
#include "tests/lib/testdisk.h"
#include "tests/lib/testmodule.h"

#include "tests/lib/testhold.h"

/* A commit writes two blocks and flushes: no disk takes less for it. How much of an fsync is the commit depends on
 * when the journal's thread runs. */
enum { COMMITS = 40, COMMIT_AT_LEAST_NS = 4000 };

/* "8 transactions (8 requested), each up to 16384 blocks" */
static uint64_t kernel_commits(const char *device)
{
	unsigned long long n = 0;
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/fs/jbd2/%s-8/info", device);
	f = fopen(path, "r");
	cr_assert_not_null(f, "%s", path);
	cr_assert_eq(fscanf(f, "%llu transactions", &n), 1);
	fclose(f);
	return n;
}

static uint64_t commits(const char *device, int part)
{
	char labels[96];

	snprintf(labels, sizeof(labels), "device=\"%s\"", device);
	return value("jbd2_commit_seconds", labels, part);
}

/* Returns how long it took, in ns. */
static uint64_t commit_often(const char *at)
{
	uint64_t begin = clock_monotonic_ns();
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/file", at);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	for (int i = 0; i < COMMITS; i++) {
		cr_assert_eq(pwrite(fd, "word", 4, (off_t)i * 5000), 4);
		cr_assert_eq(fsync(fd), 0);
	}
	close(fd);
	return clock_monotonic_ns() - begin;
}

Test(jbd2, commits_are_those_of_the_kernel, .init = setup, .fini = teardown)
{
	uint64_t kernel, ours, ns, wall;
	struct file_system fs;

	fs = make_file_system();
	kernel = kernel_commits(fs.disk.name);
	poll_producer();
	ours = commits(fs.disk.name, SERIES_BUCKET);
	ns = commits(fs.disk.name, SERIES_SUM);
	wall = commit_often(fs.at);
	usleep(100000); /* the last one ends after its fsync does */
	poll_producer();
	kernel = kernel_commits(fs.disk.name) - kernel;
	ours = commits(fs.disk.name, SERIES_BUCKET) - ours;
	ns = commits(fs.disk.name, SERIES_SUM) - ns;
	printf("%s: %lu commits, %lu by the kernel, %lu us of %lu us\n", fs.disk.name, ours, kernel,
		ns / 1000, wall / 1000);
	remove_file_system(&fs);
	cr_assert_geq(kernel, COMMITS);
	cr_assert_eq(ours, kernel);
	cr_assert_gt(ns, kernel * COMMIT_AT_LEAST_NS);
	cr_assert_lt(ns, wall);
	cr_assert_eq(value("jbd2_unknown_commits", NULL, SERIES_VALUE), 0);
}

static uint64_t commit_own(void)
{
	uint64_t n = kernel_commits(own_fs.disk.name);
	char path[64];

	snprintf(path, sizeof(path), "%s/file", own_fs.at);
	unlink(path); /* what is not new to a file is no transaction */
	commit_often(own_fs.at);
	usleep(100000);
	return kernel_commits(own_fs.disk.name) - n;
}

static void end(void)
{
	teardown();
	remove_own_fs();
}

Test(jbd2, over_a_hold, .init = setup_unless_emulated, .fini = end)
{
	char labels[96];

	own_fs = make_file_system();
	snprintf(labels, sizeof(labels), "device=\"%s\"", own_fs.disk.name);
	check_over_a_hold(&(struct held_work){commit_own, "jbd2_commit_seconds", labels, 0});
}
