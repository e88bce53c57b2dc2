/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "contention": tasks that write to a file system which is frozen wait for its lock, a percpu_rwsem, until it
 * is thawed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <linux/fs.h>
#include <pthread.h>
#include <sys/wait.h>

#define MODULE_UNDER_TEST module_contention
#include "tests/lib/testdisk.h"
#include "tests/lib/testmodule.h"

#include "tests/lib/testhold.h"

enum { WRITERS = 12, FROZEN_MS = 300 };

static uint64_t waits(int part)
{
	return value("lock_contention_seconds", "type=\"percpu_rwsem\"", part);
}

static pid_t start_writer(const char *at, int i)
{
	char path[64];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%d", at, i);
	pid = fork();
	if (pid)
		return pid;
	_exit(mkdir(path, 0700) ? 1 : 0);
}

/* Returns the sum of the times that each of the writers had to wait, in ns: to within what forking them takes. */
static uint64_t write_to_frozen(const char *at)
{
	int fd = open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC), status;
	uint64_t begin[WRITERS], sum = 0;
	pid_t pids[WRITERS];

	cr_assert_geq(fd, 0);
	cr_assert_eq(ioctl(fd, FIFREEZE, 0), 0, "%s", strerror(errno));
	for (int i = 0; i < WRITERS; i++) {
		begin[i] = clock_monotonic_ns();
		pids[i] = start_writer(at, i);
	}
	usleep(FROZEN_MS * 1000);
	cr_assert_eq(ioctl(fd, FITHAW, 0), 0);
	for (int i = 0; i < WRITERS; i++) {
		cr_assert_eq(waitpid(pids[i], &status, 0), pids[i]);
		cr_assert_eq(status, 0);
		sum += clock_monotonic_ns() - begin[i];
	}
	close(fd);
	return sum;
}

Test(contention, writers_to_what_is_frozen, .init = setup, .fini = teardown)
{
	uint64_t count, ns, most;
	struct file_system fs;

	fs = make_file_system();
	poll_producer();
	count = waits(SERIES_BUCKET);
	ns = waits(SERIES_SUM);
	most = write_to_frozen(fs.at);
	poll_producer();
	count = waits(SERIES_BUCKET) - count;
	ns = waits(SERIES_SUM) - ns;
	remove_file_system(&fs);
	printf("%d writers, %lu waits of %lu us in all, at most %lu us\n", WRITERS, count,
		ns / 1000, most / 1000);
	cr_assert_geq(count, WRITERS);
	cr_assert_leq(count, WRITERS + 4); /* others of this machine, and who thaws it */
	/* a writer may be late to wait, more so in an emulated machine */
	cr_assert_gt(ns, WRITERS * FROZEN_MS * NSEC_PER_MSEC / 10 * (clocks_are_real() ? 9 : 5));
	cr_assert_lt(ns, most * 11 / 10);
	cr_assert_eq(value("lock_unknown_contentions", NULL, SERIES_VALUE), 0);
}

static int asked[2], done[2];

/* The same task each time. */
static void *make_directories(void *arg)
{
	char path[64], byte;

	for (int i = 0; read(asked[0], &byte, 1) == 1; i++) {
		snprintf(path, sizeof(path), "%s/%d", own_fs.at, i);
		if (mkdir(path, 0700) || write(done[1], &byte, 1) != 1)
			break;
	}
	close(done[1]);
	return arg;
}

static uint64_t wait_often(void)
{
	enum { TIMES = 5 };
	int fd = open(own_fs.at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char byte = 0;

	cr_assert_geq(fd, 0);
	for (int i = 0; i < TIMES; i++) {
		cr_assert_eq(ioctl(fd, FIFREEZE, 0), 0, "%s", strerror(errno));
		cr_assert_eq(write(asked[1], &byte, 1), 1);
		usleep(50000);
		cr_assert_eq(ioctl(fd, FITHAW, 0), 0);
		cr_assert_eq(read(done[0], &byte, 1), 1);
	}
	close(fd);
	return TIMES;
}

static void end(void)
{
	teardown();
	close(asked[1]); /* the thread is no longer in the file system */
	remove_own_fs();
}

Test(contention, over_a_hold, .init = setup_unless_emulated, .fini = end)
{
	pthread_t thread;

	cr_assert_eq(pipe2(asked, O_CLOEXEC) | pipe2(done, O_CLOEXEC), 0);
	own_fs = make_file_system();
	cr_assert_eq(pthread_create(&thread, NULL, make_directories, NULL), 0);
	check_over_a_hold(&(struct held_work){
		wait_often, "lock_contention_seconds", "type=\"percpu_rwsem\"", 4});
}
