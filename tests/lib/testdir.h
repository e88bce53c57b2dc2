/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A private directory for a test's files, under $B/tmp (build/tmp if B is not set). */
#ifndef TALLY_TESTS_LIB_TESTDIR_H
#define TALLY_TESTS_LIB_TESTDIR_H

#include <dirent.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
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

#endif
