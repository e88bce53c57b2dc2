/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "files": known operations on a ramfs of the test's own, a kind that nobody else uses meanwhile. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define MODULE_UNDER_TEST module_files
#include "tests/lib/testmodule.h"

#include "tests/lib/testhold.h"

enum { OPENS = 30, WRITES = 200, READS = 160, PIECES = 50, SYNCS = 40, PIECE = 1000 };

static char at[] = "/tmp/tally-files-XXXXXX", path[sizeof(at) + 8];

static void setup_files(void)
{
	setup();
	cr_assert_not_null(mkdtemp(at));
	cr_assert_eq(mount("none", at, "ramfs", 0, NULL), 0, "%s", strerror(errno));
	snprintf(path, sizeof(path), "%s/file", at);
}

static void teardown_files(void)
{
	teardown();
	umount2(at, MNT_DETACH);
	rmdir(at);
}

static uint64_t of(const char *name, const char *op, int part)
{
	char labels[64];

	snprintf(labels, sizeof(labels), "fs=\"ramfs\",op=\"%s\"", op);
	return value(name, labels, part);
}

static void assert_figures(const char *op, uint64_t operations, uint64_t errors, uint64_t bytes)
{
	cr_expect_eq(of("file_operations", op, SERIES_VALUE), operations, "%s: %lu operations", op,
		of("file_operations", op, SERIES_VALUE));
	cr_expect_eq(of("file_errors", op, SERIES_VALUE), errors, "%s: %lu errors", op,
		of("file_errors", op, SERIES_VALUE));
	cr_expect_eq(of("file_bytes", op, SERIES_VALUE), bytes, "%s: %lu bytes", op,
		of("file_bytes", op, SERIES_VALUE));
}

/* Returns a file that was opened OPENS times. */
static int open_often(void)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	for (int i = 1; i < OPENS; i++) {
		close(fd);
		fd = open(path, O_RDWR | O_CLOEXEC);
	}
	cr_assert_geq(fd, 0);
	return fd;
}

/* One piece by each call, and two by some: half of them where the file is, half at a place that is told. */
static void write_and_read(int fd)
{
	static char data[PIECE];
	struct iovec two[2] = {{data, PIECE}, {data, PIECE}};

	for (int i = 0; i < WRITES / 2; i++)
		cr_assert(write(fd, data, PIECE) == PIECE && pwrite(fd, data, PIECE, 0) == PIECE);
	for (int i = 0; i < PIECES / 2; i++)
		cr_assert(writev(fd, two, 2) == 2 * PIECE && pwritev(fd, two, 2, 0) == 2 * PIECE);
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	for (int i = 0; i < PIECES / 2; i++)
		cr_assert(readv(fd, two, 2) == 2 * PIECE && preadv(fd, two, 2, 0) == 2 * PIECE);
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	for (int i = 0; i < READS / 2; i++)
		cr_assert(read(fd, data, PIECE) == PIECE && pread(fd, data, PIECE, 0) == PIECE);
}

static void check_operations(void)
{
	uint64_t begin, wall;
	int fd = open_often();

	write_and_read(fd);
	begin = clock_monotonic_ns();
	for (int i = 0; i < SYNCS; i++)
		cr_assert_eq(i % 2 ? fsync(fd) : fdatasync(fd), 0);
	wall = clock_monotonic_ns() - begin;
	close(fd);
	poll_producer();
	assert_figures("open", OPENS, 0, 0);
	assert_figures("write", WRITES + PIECES, 0, (WRITES + 2 * PIECES) * PIECE);
	assert_figures("read", READS + PIECES, 0, (READS + 2 * PIECES) * PIECE);
	assert_figures("fsync", SYNCS, 0, 0);
	/* each fsync is timed */
	cr_assert_eq(of("file_operation_seconds", "fsync", SERIES_BUCKET), SYNCS);
	cr_assert_gt(of("file_operation_seconds", "fsync", SERIES_SUM), 0);
	cr_assert_leq(of("file_operation_seconds", "fsync", SERIES_SUM), wall);
}

/* A directory can't be read; what is not there has no file system. */
static void check_failures(void)
{
	const char *nowhere = "fs=\"other\",op=\"open\"";
	uint64_t before, reads, bytes;
	int fd = open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char byte;

	cr_assert_geq(fd, 0);
	poll_producer();
	reads = of("file_operations", "read", SERIES_VALUE);
	bytes = of("file_bytes", "read", SERIES_VALUE);
	for (int i = 0; i < READS; i++)
		cr_assert(read(fd, &byte, 1) < 0 && errno == EISDIR);
	close(fd);
	unlink(path);
	poll_producer();
	assert_figures("read", reads + READS, READS, bytes);
	assert_figures("open", OPENS + 1, 0, 0);
	before = value("file_errors", nowhere, SERIES_VALUE);
	for (int i = 0; i < OPENS; i++)
		cr_assert_lt(open(path, O_RDONLY | O_CLOEXEC), 0);
	poll_producer();
	/* that of others of this machine, too */
	cr_assert_geq(value("file_errors", nowhere, SERIES_VALUE) - before, OPENS);
	cr_assert_geq(value("file_operations", nowhere, SERIES_VALUE), OPENS);
	assert_figures("open", OPENS + 1, 0, 0);
}

/* --- times -------------------------------------------------------------------------------------- */

enum { WAITS = 640, WAIT_US = 1000 };

/* Puts a byte into a named pipe of the file system, each a while after it was asked for. */
static void *answer(void *arg)
{
	const int *asked = arg;
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	char byte;

	while (read(asked[0], &byte, 1) == 1) {
		usleep(WAIT_US);
		if (write(fd, &byte, 1) != 1)
			break;
	}
	close(fd);
	return NULL;
}

static void check_times(void)
{
	uint64_t begin, wall, timed, ns, reads;
	pthread_t thread;
	int asked[2], fd;
	char byte = 0;

	cr_assert_eq(pipe2(asked, O_CLOEXEC), 0);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_assert_eq(pthread_create(&thread, NULL, answer, asked), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	poll_producer();
	reads = of("file_operations", "read", SERIES_VALUE);
	timed = of("file_operation_seconds", "read", SERIES_BUCKET);
	ns = of("file_operation_seconds", "read", SERIES_SUM);
	begin = clock_monotonic_ns();
	for (int i = 0; i < WAITS; i++) {
		cr_assert_eq(write(asked[1], &byte, 1), 1);
		cr_assert_eq(read(fd, &byte, 1), 1);
	}
	wall = clock_monotonic_ns() - begin;
	close(asked[1]);
	pthread_join(thread, NULL);
	close(fd);
	poll_producer();
	timed = of("file_operation_seconds", "read", SERIES_BUCKET) - timed;
	ns = of("file_operation_seconds", "read", SERIES_SUM) - ns;
	printf("%lu of %d reads were timed: %lu us of %lu us\n", timed, WAITS, ns / 1000,
		wall / 1000);
	cr_assert_eq(of("file_operations", "read", SERIES_VALUE) - reads, WAITS);
	/* one of 64 of all operations of the machine, so some ten of these */
	cr_assert_geq(timed, 1);
	cr_assert_leq(timed, WAITS / 16);
	/* the reader may come late to some */
	cr_assert_geq(ns, timed * WAIT_US * 1000 / 2);
	cr_assert_leq(ns, wall);
}

/* Each fsync is timed. */
static uint64_t sync_often(void)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	for (int i = 0; i < SYNCS; i++)
		cr_assert_eq(fsync(fd), 0);
	close(fd);
	return SYNCS;
}

static void check_hold(void)
{
	unlink(path);
	check_over_a_hold(&(struct held_work){
		sync_often, "file_operation_seconds", "fs=\"ramfs\",op=\"fsync\"", 0});
}

/* All in one: to load a module takes long in an emulated machine. */
Test(files, known_operations, .init = setup_files, .fini = teardown_files)
{
	check_operations();
	check_failures();
	check_times();
	check_hold();
}
