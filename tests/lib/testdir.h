/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A private directory for a test's files, under $B/tmp (build/tmp if B is not set), and room for them. */
#ifndef TALLY_TESTS_LIB_TESTDIR_H
#define TALLY_TESTS_LIB_TESTDIR_H

#include <dirent.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static inline int test_dir_remove_one(
	const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void test_dir_remove(const char *path)
{
	nftw(path, test_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Makes an empty directory; path has room for PATH_MAX. */
static inline void test_dir_make(char *path, const char *name)
{
	const char *b = getenv("B");
	char base[PATH_MAX - 64];

	snprintf(base, sizeof(base), "%s", b ? b : "build");
	mkdir(base, 0755);
	snprintf(path, PATH_MAX, "%s/tmp", base);
	mkdir(path, 0755);
	snprintf(path, PATH_MAX, "%s/tmp/%.30s-%d", base, name, (int)getpid());
	test_dir_remove(path);
	if (mkdir(path, 0755) < 0) {
		perror(path);
		abort();
	}
}

/* The same in memory, where holes and the largest files cost nothing; on disk where there is no memory. */
static inline void test_dir_make_in_memory(char *path, const char *name)
{
	snprintf(path, PATH_MAX, "/dev/shm/tally-%.30s-XXXXXX", name);
	if (!mkdtemp(path))
		test_dir_make(path, name);
}

/* As many descriptors as the hard limit allows. */
static inline void test_raise_files(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
}

#endif
