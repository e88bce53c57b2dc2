/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests of the kernel: cgroups of version 2 by their paths, after criterion. */
#ifndef TALLY_TESTS_LIB_TESTCGROUP_H
#define TALLY_TESTS_LIB_TESTCGROUP_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *cgroup_root(void)
{
	return access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) ? "/sys/fs/cgroup"
								   : "/sys/fs/cgroup/unified";
}

/* Moves this process; path "" is the root. */
static void cgroup_enter(const char *path)
{
	char file[512];
	int fd;

	snprintf(file, sizeof(file), "%s%s/cgroup.procs", cgroup_root(), path);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0, "%s", file);
	cr_assert_eq(write(fd, "0", 1), 1);
	close(fd);
}

static void cgroup_make(const char *path)
{
	char dir[400];

	snprintf(dir, sizeof(dir), "%s%s", cgroup_root(), path);
	cr_assert_eq(mkdir(dir, 0755), 0, "%s: %s", dir, strerror(errno));
}

/* A process that has just ended may be in it for a moment. */
static void cgroup_remove(const char *path)
{
	char dir[400];
	int rc, tries = 100;

	snprintf(dir, sizeof(dir), "%s%s", cgroup_root(), path);
	while ((rc = rmdir(dir)) && errno == EBUSY && tries--)
		usleep(10000);
	cr_assert_eq(rc, 0, "%s: %s", dir, strerror(errno));
}

#endif
