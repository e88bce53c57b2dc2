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
#include "tests/lib/testdisk.h"
#include "tests/lib/testmodule.h"

enum { LIMIT = 16 << 20, DISK = 96 << 20, PIECE = 1 << 20 };

static char cgroup[128];
static bool v1;

static bool write_text(const char *dir, const char *name, const char *text)
{
	char file[200];
	int fd;
	bool good;

	snprintf(file, sizeof(file), "%s/%s", dir, name);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return good;
}

/* With a limit of its own, in whichever hierarchy has the memory controller. */
static void make_cgroup(void)
{
	char limit[32];

	v1 = access("/sys/fs/cgroup/memory/memory.limit_in_bytes", F_OK) == 0;
	if (!v1)
		write_text("/sys/fs/cgroup", "cgroup.subtree_control", "+memory");
	snprintf(cgroup, sizeof(cgroup), "/sys/fs/cgroup/%stally-reclaim-%d", v1 ? "memory/" : "",
		(int)getpid());
	cr_assert_eq(mkdir(cgroup, 0755), 0, "%s: %s", cgroup, strerror(errno));
	snprintf(limit, sizeof(limit), "%d", LIMIT);
	cr_assert(write_text(cgroup, v1 ? "memory.limit_in_bytes" : "memory.max", limit));
}

static void remove_cgroup(void)
{
	for (int i = 0; i < 100 && rmdir(cgroup) < 0 && errno == EBUSY; i++)
		usleep(10000);
}

/* What was read is in the cache, and must go for what comes. Returns in ns how long it took. */
static uint64_t read_in_cgroup(const struct disk *d)
{
	uint64_t begin = clock_monotonic_ns();
	pid_t pid = fork();
	int status;

	cr_assert_geq(pid, 0);
	if (!pid) {
		static char piece[PIECE];
		char path[32];
		int fd;

		if (!write_text(cgroup, "cgroup.procs", "0"))
			_exit(1);
		snprintf(path, sizeof(path), "/dev/%s", d->name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		for (int i = 0; i < DISK / PIECE; i++)
			if (read(fd, piece, PIECE) != PIECE)
				_exit(2);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	return clock_monotonic_ns() - begin;
}

static uint64_t runs(const char *program)
{
	char labels[64];

	snprintf(labels, sizeof(labels), "program=\"%s\"", program);
	return value("bpf_program_runs", labels, SERIES_VALUE);
}

Test(reclaim, a_cgroup_at_its_limit, .init = setup, .fini = teardown)
{
	uint64_t begins, ends, stalls, ns, wall;
	struct disk d;

	make_space("128m"); /* the disk is one hole, which older kernels fill when it is read */
	d = make_disk(0, DISK);
	make_cgroup();
	poll_producer();
	begins = runs("tally_memcg_begin");
	ends = runs("tally_memcg_end");
	stalls = value("memory_stall_seconds", "kind=\"cgroup\"", SERIES_BUCKET);
	ns = value("memory_stall_seconds", "kind=\"cgroup\"", SERIES_SUM);
	wall = read_in_cgroup(&d);
	poll_producer();
	begins = runs("tally_memcg_begin") - begins;
	ends = runs("tally_memcg_end") - ends;
	stalls = value("memory_stall_seconds", "kind=\"cgroup\"", SERIES_BUCKET) - stalls;
	ns = value("memory_stall_seconds", "kind=\"cgroup\"", SERIES_SUM) - ns;
	remove_cgroup();
	remove_disk(&d);
	remove_space();
	printf("%lu begun, %lu ended, %lu counted: %lu of %lu us\n", begins, ends, stalls,
		ns / 1000, wall / 1000);
	/* at least the disk less the limit had to go, at most 2 MiB at a time */
	cr_assert_geq(begins, (DISK - LIMIT) / (2 << 20));
	cr_assert_eq(begins, stalls);
	cr_assert_geq(ends, stalls);
	cr_assert_gt(ns, 0);
	cr_assert_lt(ns, wall);
	cr_assert_eq(value("memory_unknown_stalls", NULL, SERIES_VALUE), 0);
}
