/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A daemon's own directory: looked at first, then locked, and only then changed. */
#include "user/lib/datadir.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/lib/util.h"

/* --- looking ------------------------------------------------------------------------------------- */

struct contents {
	bool any, ours;
};

static bool is_mark(const char *name, const char *const *marks)
{
	for (; *marks; marks++) {
		size_t n = strlen(*marks);

		if (!strncmp(name, *marks, n) && (!name[n] || name[n] == '.'))
			return true;
	}
	return false;
}

/* An empty file system has a directory already, which is nobody's. */
static bool is_always_there(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, "lost+found");
}

static int list_contents(int fd, const char *const *marks, struct contents *ret)
{
	DIR *d = dir_open(fd, ".");
	struct contents found = {false, false};
	const struct dirent *entry;
	int err;

	if (!d)
		return -errno;
	for (errno = 0; (entry = readdir(d)); errno = 0) {
		if (is_always_there(entry->d_name))
			continue;
		found.any = true;
		found.ours |= is_mark(entry->d_name, marks);
	}
	err = -errno;
	closedir(d);
	if (!err)
		*ret = found;
	return err;
}

bool datadir_is_empty(int fd)
{
	static const char *const none[] = {NULL};
	struct contents found;

	return !list_contents(fd, none, &found) && !found.any;
}

/* --- opening ------------------------------------------------------------------------------------- */

static int take_lock(const struct datadir *d, int fd, struct errmsg *e)
{
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return 0;
	if (errno == EWOULDBLOCK)
		return err_set(
			e, -EBUSY, "%s: another %s uses this directory", d->path, d->program);
	return err_set(e, -errno, "%s: can't be locked: %s", d->path, strerror(errno));
}

static int give(const struct datadir *d, const struct daemon_user *user, int fd, struct errmsg *e)
{
	if ((user && fchown(fd, user->uid, user->gid)) || fchmod(fd, d->mode))
		return err_set(e, -errno, "%s: can't be given to %s: %s", d->path,
			user ? user->name : "us", strerror(errno));
	return 0;
}

/* The directory is there, empty or ours: is it the right user's? */
static int check_owner(const struct datadir *d, const struct daemon_user *user, int fd,
	const struct contents *found, struct errmsg *e)
{
	struct stat st;

	if (!user)
		return 0;
	if (fstat(fd, &st))
		return err_set(e, -errno, "%s: %s", d->path, strerror(errno));
	if (st.st_uid == user->uid)
		return 0;
	if (!found->any && !st.st_uid)
		return give(d, user, fd, e);
	return err_set(e, -EACCES, "%s belongs to uid %u, and %s runs as %s: chown %s%s %s",
		d->path, (unsigned int)st.st_uid, d->program, user->name, found->any ? "-R " : "",
		user->name, d->path);
}

static int check_and_take(const struct datadir *d, const struct daemon_user *user, int fd,
	bool made, struct errmsg *e)
{
	struct contents found;
	int err = list_contents(fd, d->marks, &found);

	if (err)
		return err_set(e, err, "%s: %s", d->path, strerror(-err));
	if (found.any && !found.ours)
		return err_set(e, -ENOTEMPTY,
			"%s is not empty and not %s's own: name another directory", d->path,
			d->program);
	err = take_lock(d, fd, e);
	if (err)
		return err;
	return made ? give(d, user, fd, e) : check_owner(d, user, fd, &found, e);
}

int datadir_open(
	const struct datadir *d, const struct daemon_user *user, int *ret_fd, struct errmsg *e)
{
	bool made = access(d->path, F_OK) < 0;
	int fd, err = made ? make_dirs(d->path, 0755, e) : 0;

	if (err)
		return err;
	fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, -errno, "%s: %s", d->path, strerror(errno));
	err = check_and_take(d, user, fd, made, e);
	if (err)
		close(fd);
	else
		*ret_fd = fd;
	return err;
}
