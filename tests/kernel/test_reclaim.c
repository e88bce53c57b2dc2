/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "reclaim": a task in a cgroup with a limit reads a disk that is larger than that, and must win back
 * memory again and again. (A machine that is short of memory all over can't be had in a test.)
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sys/wait.h>

#define MODULE_UNDER_TEST module_reclaim
#include "tests/lib/testcgroup.h"
#include "tests/lib/testdisk.h"
#include "tests/lib/testmodule.h"

#include "tests/lib/testhold.h"

#define CGROUP "kind=\"cgroup\""

enum { LIMIT = 16 << 20, DISK = 96 << 20, PIECE = 1 << 20 };

/* The disk less the limit has to go, at most 2 MiB at a time. */
enum { LEAST = (DISK - LIMIT) / (2 << 20) };

static struct disk disk;

static bool read_all(const struct disk *d)
{
	static char piece[PIECE];
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/dev/%s", d->name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < DISK / PIECE; i++)
		if (read(fd, piece, PIECE) != PIECE)
			return false;
	return !close(fd);
}

static int asked[2], done[2];
static pid_t reader;

/* A task in the cgroup that reads the disk as often as it is asked to. */
static void start_reader(const struct disk *d)
{
	char byte;

	cr_assert_eq(pipe2(asked, O_CLOEXEC) | pipe2(done, O_CLOEXEC), 0);
	reader = fork();
	cr_assert_geq(reader, 0);
	if (reader)
		return;
	close(asked[1]);
	teardown(); /* else programs stay attached by the descriptors that it has got */
	if (!memory_cgroup_write("cgroup.procs", "0"))
		_exit(1);
	while (read(asked[0], &byte, 1) == 1)
		if (!read_all(d) || write(done[1], &byte, 1) != 1)
			_exit(2);
	_exit(0);
}

/* What was read is in the cache, and must go for what comes. Returns in ns how long it took. */
static uint64_t read_in_cgroup(void)
{
	uint64_t begin = clock_monotonic_ns();
	char byte = 0;

	cr_assert_eq(write(asked[1], &byte, 1), 1);
	cr_assert_eq(read(done[0], &byte, 1), 1);
	return clock_monotonic_ns() - begin;
}

static void setup_reader(void)
{
	make_space("128m"); /* the disk is one hole, which older kernels fill when it is read */
	disk = make_disk(0, DISK);
	memory_cgroup_make("tally-reclaim", LIMIT);
	start_reader(&disk);
	close(done[1]);
}

/* Also if the test has failed. */
static void end(void)
{
	teardown();
	close(asked[1]);
	if (reader > 0)
		waitpid(reader, NULL, 0);
	memory_cgroup_remove();
	remove_disk(&disk);
	remove_space();
}

Test(reclaim, a_cgroup_at_its_limit, .init = setup, .fini = end)
{
	uint64_t begins, ends, stalls, ns, wall;
	char own[200];

	setup_reader();
	snprintf(own, sizeof(own), CGROUP ",cgroup=\"%s\"", strrchr(memory_cgroup, '/'));
	begins = runs_of("tally_memcg_begin");
	ends = runs_of("tally_memcg_end");
	stalls = value("memory_stall_seconds", CGROUP, SERIES_BUCKET);
	ns = value("memory_stall_seconds", CGROUP, SERIES_SUM);
	wall = read_in_cgroup();
	begins = runs_of("tally_memcg_begin") - begins;
	ends = runs_of("tally_memcg_end") - ends;
	stalls = value("memory_stall_seconds", CGROUP, SERIES_BUCKET) - stalls;
	ns = value("memory_stall_seconds", CGROUP, SERIES_SUM) - ns;
	printf("%lu begun, %lu ended, %lu counted: %lu of %lu us\n", begins, ends, stalls,
		ns / 1000, wall / 1000);
	cr_assert_geq(begins, LEAST);
	cr_assert_eq(begins, stalls);
	cr_assert_geq(ends, stalls);
	cr_assert_gt(ns, 0);
	cr_assert_lt(ns, wall);
	cr_assert_eq(value("cgroup_memory_stalls", own, SERIES_VALUE), stalls, "by cgroup");
	cr_assert_eq(value("cgroup_memory_stall_seconds", own, SERIES_VALUE), ns);
	cr_assert_eq(value("memory_unknown_stalls", NULL, SERIES_VALUE), 0);
}

/* How often it was begun, where that can be seen. */
static uint64_t read_held(void)
{
	uint64_t begins = runs_of("tally_memcg_begin");

	read_in_cgroup();
	begins = runs_of("tally_memcg_begin") - begins;
	return begins ? begins : LEAST;
}

Test(reclaim, over_a_hold, .init = setup_unless_emulated, .fini = end)
{
	setup_reader();
	check_over_a_hold(&(struct held_work){read_held, "memory_stall_seconds", CGROUP, 0});
}
