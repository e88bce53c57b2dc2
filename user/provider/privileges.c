/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dropping privileges, and handing over to the user what root has made before. */
#include "user/provider/privileges.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/lib/datadir.h"
#include "user/lib/diag.h"
#include "user/lib/util.h"

#define STATE_DIR_MODE 0750

int run_as_find(const char *user, struct run_as *ret, struct errmsg *e)
{
	struct run_as as = {.user = {.uid = geteuid(), .gid = getegid()}};
	int err;

	if (as.user.uid) {
		snprintf(as.user.name, sizeof(as.user.name), "uid %u", (unsigned)as.user.uid);
		*ret = as;
		return 0;
	}
	err = daemon_find_user_or_nobody(user, &as.user, e);
	if (err)
		return err;
	as.drop = as.user.uid != 0;
	if (!as.drop)
		diag_warning("running as root, as --user asks for");
	*ret = as;
	return 0;
}

/* --- directories ----------------------------------------------------------------------------- */

int run_as_open_state_dir(const struct run_as *as, const char *path, int *ret_fd, struct errmsg *e)
{
	static const char *const marks[] = {"key.pem", "ring", "fold.journal", NULL};
	const struct datadir dir = {
		.path = path, .program = "tallyd", .marks = marks, .mode = STATE_DIR_MODE};

	return datadir_open(&dir, as->drop ? &as->user : NULL, ret_fd, e);
}

int run_as_make_dir(const struct run_as *as, const char *path, mode_t mode, struct errmsg *e)
{
	bool made = access(path, F_OK) < 0;
	int fd, err = made ? make_dirs(path, 0755, e) : 0;
	struct stat st;

	if (err)
		return err;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		err = err_set(e, -errno, "%s: %s", path, strerror(errno));
		goto out;
	}
	if (!made && !(as->drop && !st.st_uid && datadir_is_empty(fd)))
		goto out;
	if ((as->drop && fchown(fd, as->user.uid, as->user.gid) < 0) || fchmod(fd, mode) < 0)
		err = err_set(e, -errno, "%s: can't be given to %s: %s", path, as->user.name,
			strerror(errno));
out:
	if (fd >= 0)
		close(fd);
	return err;
}

static int own_entries(const struct run_as *as, int fd)
{
	DIR *d = dir_open(fd, ".");
	struct dirent *entry;
	struct stat st;
	int err = 0;

	if (!d)
		return -errno;
	while (!err && (entry = readdir(d))) {
		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			!S_ISREG(st.st_mode) || st.st_uid || st.st_nlink != 1)
			continue;
		if (fchownat(fd, entry->d_name, as->user.uid, as->user.gid, AT_SYMLINK_NOFOLLOW) <
			0)
			err = -errno;
	}
	closedir(d);
	return err;
}

int run_as_own(const struct run_as *as, const char *path, const char *sub, struct errmsg *e)
{
	int fd, subfd = -1, err = 0;

	if (!as->drop)
		return 0;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		goto out;
	}
	err = own_entries(as, fd);
	subfd = openat(fd, sub, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (!err && subfd >= 0) {
		err = own_entries(as, subfd);
		if (!err && fchown(subfd, as->user.uid, as->user.gid) < 0)
			err = -errno;
	}
out:
	if (err)
		err_set(e, err, "%s: can't be given to %s: %s", path, as->user.name,
			strerror(-err));
	if (subfd >= 0)
		close(subfd);
	if (fd >= 0)
		close(fd);
	return err;
}

/* --- dropping -------------------------------------------------------------------------------- */

/* The kernel's interface itself: a library for one call would be one more to trust. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	if (syscall(SYS_capset, &header, none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

int privileges_drop(const struct run_as *as, struct errmsg *e)
{
	int err;

	if (as->drop)
		return daemon_become(&as->user, e);
	if (!as->user.uid)
		return 0;
	err = drop_capabilities();
	return err ? err_set(e, err, "can't drop capabilities: %s", strerror(-err)) : 0;
}
