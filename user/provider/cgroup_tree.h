/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which control groups there are: one tree for all controllers (version 2), or one for each (version 1, whose
 * trees have what they share at the same path). inotify tells when some came or went.
 */
#ifndef TALLY_USER_PROVIDER_CGROUP_TREE_H
#define TALLY_USER_PROVIDER_CGROUP_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "user/lib/err.h"
#include "user/provider/cgroup_files.h"

#define CGROUP_TREES_MAX 8u
#define CGROUP_PATH_SIZE 4096u
#define CGROUP_DIRS_MAX  65536u /* looked at in a tree; what lies beyond is not found */

struct cgroup_tree {
	const struct cgroup_file *files; /* what groups have here */
	size_t ntrees;
	struct {
		const char *dir; /* as in files */
		char *path; /* of the root */
		int fd; /* of the root */
	} trees[CGROUP_TREES_MAX];
	int inotify; /* -1: none, then changes are not told */
};

/* dir: "/sys/fs/cgroup". A negative code, with its message, if there are no control groups. */
int cgroup_tree_open(struct cgroup_tree *t, const char *dir, struct errmsg *e);
void cgroup_tree_close(struct cgroup_tree *t);

/* Whether any came or went since the last walk, as far as is known. */
bool cgroup_tree_changed(struct cgroup_tree *t);

/* path: "/a/b", valid for the call; tree: its index. */
typedef void (*cgroup_found_fn)(void *arg, const char *path, size_t tree);
/* Calls found for each group of each tree but the roots, parents first. -ENOMEM. */
int cgroup_tree_walk(struct cgroup_tree *t, cgroup_found_fn found, void *arg);

/* Opens a file of a group; -1 with errno. */
int cgroup_tree_open_file(
	const struct cgroup_tree *t, const char *path, const struct cgroup_file *file);
/*
 * Opens the root of the groups of version 2: dir itself, or where it has the trees of version 1, the one beside them;
 * -1 with errno.
 */
int cgroup_tree_open_v2(const char *dir);
/* Which of the trees has the file. */
size_t cgroup_tree_of(const struct cgroup_tree *t, const struct cgroup_file *file);

#endif
