/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which control groups there are. */
#include "user/provider/cgroup_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define WATCHED (IN_CREATE | IN_DELETE | IN_ONLYDIR | IN_EXCL_UNLINK)

/* --- opening ----------------------------------------------------------------------------------------- */

static void open_trees(struct cgroup_tree *t, const char *dir)
{
	for (const struct cgroup_file *f = t->files; f->name; f++) {
		char *path;
		int fd;

		if (cgroup_tree_of(t, f) < t->ntrees || t->ntrees == CGROUP_TREES_MAX)
			continue;
		if (asprintf(&path, "%s%s%s", dir, *f->dir ? "/" : "", f->dir) < 0)
			continue;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0) {
			free(path);
			continue;
		}
		t->trees[t->ntrees].dir = f->dir;
		t->trees[t->ntrees].path = path;
		t->trees[t->ntrees++].fd = fd;
	}
}

int cgroup_tree_open(struct cgroup_tree *t, const char *dir, struct errmsg *e)
{
	char path[CGROUP_PATH_SIZE];

	snprintf(path, sizeof(path), "%s/cgroup.controllers", dir);
	*t = (struct cgroup_tree){
		.files = access(path, F_OK) ? cgroup_files_v1 : cgroup_files_v2, .inotify = -1};
	open_trees(t, dir);
	if (!t->ntrees)
		return err_set(e, -ENOENT, "%s: no control groups are there", dir);
	t->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	return 0;
}

void cgroup_tree_close(struct cgroup_tree *t)
{
	for (size_t i = 0; i < t->ntrees; i++) {
		close(t->trees[i].fd);
		free(t->trees[i].path);
	}
	if (t->inotify >= 0)
		close(t->inotify);
	*t = (struct cgroup_tree){.inotify = -1};
}

size_t cgroup_tree_of(const struct cgroup_tree *t, const struct cgroup_file *file)
{
	size_t i = 0;

	while (i < t->ntrees && strcmp(t->trees[i].dir, file->dir) != 0)
		i++;
	return i;
}

int cgroup_tree_open_file(
	const struct cgroup_tree *t, const char *path, const struct cgroup_file *file)
{
	char name[CGROUP_PATH_SIZE];
	size_t i = cgroup_tree_of(t, file);

	if (i == t->ntrees ||
		snprintf(name, sizeof(name), "%s/%s", path + 1, file->name) >= (int)sizeof(name)) {
		errno = ENOENT;
		return -1;
	}
	return openat(t->trees[i].fd, name, O_RDONLY | O_CLOEXEC);
}

int cgroup_tree_open_v2(const char *dir)
{
	static const char *const trees[] = {"", "/unified"};

	for (size_t i = 0; i < sizeof(trees) / sizeof(trees[0]); i++) {
		char path[CGROUP_PATH_SIZE];

		snprintf(path, sizeof(path), "%s%s/cgroup.controllers", dir, trees[i]);
		if (access(path, F_OK))
			continue;
		*strrchr(path, '/') = '\0';
		return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return -1;
}

/* --- walking ------------------------------------------------------------------------------------------ */

bool cgroup_tree_changed(struct cgroup_tree *t)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool any = false;
	ssize_t n;

	/* what they say does not matter: after a walk all of it is known */
	while (t->inotify >= 0 && (n = read(t->inotify, events, sizeof(events))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		any = true;
	}
	return any;
}

/* Paths of directories that are still to be read, and those that were. */
struct queue {
	char **paths;
	size_t n, capacity;
};

static int queue_add(struct queue *q, const char *parent, const char *name)
{
	if (q->n == q->capacity) {
		size_t capacity = q->capacity ? 2 * q->capacity : 64;
		char **grown = reallocarray(q->paths, capacity, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		q->paths = grown;
		q->capacity = capacity;
	}
	if (asprintf(&q->paths[q->n], "%s%s%s", parent, *name ? "/" : "", name) < 0)
		return -ENOMEM;
	q->n++;
	return 0;
}

/* Adds the directories in one; it is watched before, so that none is missed. It may be gone: then it has none. */
static int read_dir(struct cgroup_tree *t, size_t tree, const char *path, struct queue *q)
{
	char full[CGROUP_PATH_SIZE];
	struct dirent *entry;
	DIR *dir;
	int err = 0;

	if (snprintf(full, sizeof(full), "%s%s", t->trees[tree].path, path) >= (int)sizeof(full))
		return 0;
	if (t->inotify >= 0)
		inotify_add_watch(t->inotify, full, WATCHED);
	dir = opendir(full);
	while (!err && dir && (entry = readdir(dir)))
		if (entry->d_type == DT_DIR && strcmp(entry->d_name, ".") != 0 &&
			strcmp(entry->d_name, "..") != 0 && q->n < CGROUP_DIRS_MAX)
			err = queue_add(q, path, entry->d_name);
	if (dir)
		closedir(dir);
	return err;
}

int cgroup_tree_walk(struct cgroup_tree *t, cgroup_found_fn found, void *arg)
{
	struct queue q = {0};
	int err = 0;

	for (size_t tree = 0; tree < t->ntrees && !err; tree++) {
		err = queue_add(&q, "", "");
		for (size_t i = 0; i < q.n && !err; i++) {
			if (i)
				found(arg, q.paths[i], tree);
			err = read_dir(t, tree, q.paths[i], &q);
		}
		while (q.n)
			free(q.paths[--q.n]);
	}
	free(q.paths);
	return err;
}
