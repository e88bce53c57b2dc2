/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of the kernel, after criterion: cgroups by their paths, of version 2 unless told otherwise, and one with a
 * limit of memory, of whichever version has that controller.
 */
#ifndef TALLY_TESTS_LIB_TESTCGROUP_H
#define TALLY_TESTS_LIB_TESTCGROUP_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CGROUP_MOUNT "/sys/fs/cgroup"

/* To a file that is there; whether it took all of it. */
static bool cgroup_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return good;
}

/* A process that has just ended may be in it for a moment. Whether it is gone. */
static bool cgroup_remove_dir(const char *dir)
{
	int rc, tries = 100;

	while ((rc = rmdir(dir)) && errno == EBUSY && tries--)
		usleep(10000);
	return !rc;
}

/* --- by path: "" is the root ------------------------------------------------------------ */

static const char *cgroup_hierarchy; /* where it is mounted; NULL: version 2 */

static const char *cgroup_root(void)
{
	if (cgroup_hierarchy)
		return cgroup_hierarchy;
	return access(CGROUP_MOUNT "/unified/cgroup.procs", F_OK) ? CGROUP_MOUNT
								  : CGROUP_MOUNT "/unified";
}

/* Moves this process. */
__attribute__((unused)) static void cgroup_enter(const char *path)
{
	char file[512];

	snprintf(file, sizeof(file), "%s%s/cgroup.procs", cgroup_root(), path);
	cr_assert(cgroup_write(file, "0"), "%s: %s", file, strerror(errno));
}

__attribute__((unused)) static void cgroup_make(const char *path)
{
	char dir[400];

	snprintf(dir, sizeof(dir), "%s%s", cgroup_root(), path);
	cr_assert_eq(mkdir(dir, 0755), 0, "%s: %s", dir, strerror(errno));
}

/* From here on: cgroups to which requests to disks belong, of version 1 where that has their controller. */
__attribute__((unused)) static void cgroup_use_io(void)
{
	char file[512];

	if (access(CGROUP_MOUNT "/blkio/cgroup.procs", F_OK) == 0) {
		cgroup_hierarchy = CGROUP_MOUNT "/blkio";
		return;
	}
	snprintf(file, sizeof(file), "%s/cgroup.subtree_control", cgroup_root());
	cr_assert(cgroup_write(file, "+io"), "%s: %s", file, strerror(errno));
}

__attribute__((unused)) static void cgroup_remove(const char *path)
{
	char dir[400];

	snprintf(dir, sizeof(dir), "%s%s", cgroup_root(), path);
	cr_assert(cgroup_remove_dir(dir), "%s: %s", dir, strerror(errno));
}

/* --- a limit of memory ----------------------------------------------------------------------------- */

static char memory_cgroup[128];

static bool memory_cgroup_write(const char *name, const char *text)
{
	char file[200];

	snprintf(file, sizeof(file), "%s/%s", memory_cgroup, name);
	return cgroup_write(file, text);
}

/* For processes that write their way into its cgroup.procs; the limit is in bytes. */
__attribute__((unused)) static void memory_cgroup_make(const char *name, long limit)
{
	bool v1 = access(CGROUP_MOUNT "/memory/memory.limit_in_bytes", F_OK) == 0;
	char text[32];

	if (!v1)
		cgroup_write(CGROUP_MOUNT "/cgroup.subtree_control", "+memory");
	snprintf(memory_cgroup, sizeof(memory_cgroup), CGROUP_MOUNT "/%s%s-%d", v1 ? "memory/" : "",
		name, (int)getpid());
	cr_assert_eq(mkdir(memory_cgroup, 0755), 0, "%s: %s", memory_cgroup, strerror(errno));
	snprintf(text, sizeof(text), "%ld", limit);
	cr_assert(memory_cgroup_write(v1 ? "memory.limit_in_bytes" : "memory.max", text));
}

__attribute__((unused)) static void memory_cgroup_remove(void)
{
	cgroup_remove_dir(memory_cgroup);
}

#endif
