/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "writeback": much is written to a disk while little may wait for it. The pauses are those in which the
 * writer sleeps.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sys/resource.h>
#include <time.h>

#define MODULE_UNDER_TEST module_writeback
#include "tests/lib/testdisk.h"
#include "tests/lib/testmodule.h"

enum { DISK = 96 << 20, PIECE = 256 << 10 };

#define PASSES (clocks_are_real() ? 4 : 2)

/* The kernel's limits for all disks, which come back after. */
static const char *const limits[2] = {
	"/proc/sys/vm/dirty_background_bytes", "/proc/sys/vm/dirty_bytes"};
static const char *const ratios[2] = {
	"/proc/sys/vm/dirty_background_ratio", "/proc/sys/vm/dirty_ratio"};
static long were[2], ratios_were[2];
static bool lowered;

static long read_long(const char *path)
{
	long v = -1;
	FILE *f = fopen(path, "r");

	cr_assert(f && fscanf(f, "%ld", &v) == 1, "%s", path);
	fclose(f);
	return v;
}

static void write_long(const char *path, long v)
{
	FILE *f = fopen(path, "w");

	cr_assert(f && fprintf(f, "%ld", v) > 0 && !fclose(f), "%s", path);
}

static void lower_limits(void)
{
	for (int i = 0; i < 2; i++) {
		were[i] = read_long(limits[i]);
		ratios_were[i] = read_long(ratios[i]);
	}
	lowered = true;
	for (int i = 0; i < 2; i++)
		write_long(limits[i], (2 + i) << 20);
}

static void restore_limits(void)
{
	for (int i = 2; lowered && i-- > 0;)
		write_long(were[i] ? limits[i] : ratios[i], were[i] ? were[i] : ratios_were[i]);
}

static uint64_t usage_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return ((uint64_t)u.ru_utime.tv_sec + (uint64_t)u.ru_stime.tv_sec) * NSEC_PER_SEC +
	       ((uint64_t)u.ru_utime.tv_usec + (uint64_t)u.ru_stime.tv_usec) * 1000;
}

/* Returns for how long this process did not run. */
static uint64_t write_much(const struct disk *d)
{
	static char piece[PIECE];
	uint64_t wall, cpu;
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/dev/%s", d->name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	wall = clock_monotonic_ns();
	cpu = usage_ns();
	for (int i = 0; i < PASSES * (DISK / PIECE); i++)
		cr_assert_eq(pwrite(fd, piece, PIECE, (off_t)i * PIECE % DISK), PIECE);
	wall = clock_monotonic_ns() - wall;
	cpu = usage_ns() - cpu;
	close(fd);
	return wall > cpu ? wall - cpu : 0;
}

static uint64_t tick_ns(void)
{
	struct timespec t;

	cr_assert_eq(clock_getres(CLOCK_MONOTONIC_COARSE, &t), 0);
	return (uint64_t)t.tv_nsec;
}

/* Also if the test has failed. */
static void teardown_all(void)
{
	restore_limits();
	teardown();
}

Test(writeback, pauses_are_those_of_the_writer, .init = setup, .fini = teardown_all)
{
	uint64_t pauses, ns, slept;
	char labels[64];
	struct disk d;

	make_space("128m");
	d = make_disk(0, DISK);
	snprintf(labels, sizeof(labels), "device=\"%s\"", d.name);
	lower_limits();
	poll_producer();
	pauses = value("writeback_throttle_seconds", labels, SERIES_BUCKET);
	ns = value("writeback_throttle_seconds", labels, SERIES_SUM);
	slept = write_much(&d);
	restore_limits();
	poll_producer();
	pauses = value("writeback_throttle_seconds", labels, SERIES_BUCKET) - pauses;
	ns = value("writeback_throttle_seconds", labels, SERIES_SUM) - ns;
	remove_disk(&d);
	remove_space();
	printf("%lu pauses of %lu us in all; the writer did not run for %lu us\n", pauses,
		ns / 1000, slept / 1000);
	cr_assert_gt(pauses, 0);
	if (!clocks_are_real())
		return;
	/* a pause ends with a tick, and so lasts one more at most; it waits for the disk a little, too */
	cr_assert_geq(slept, ns);
	cr_assert_leq(slept, (ns + pauses * tick_ns()) * 5 / 4 + 100 * NSEC_PER_MSEC);
}
