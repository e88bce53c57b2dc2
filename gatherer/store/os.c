/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The only file of the store that calls the operating system. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gatherer/store/os.h"
#include "user/lib/util.h"

#define READ_CHUNK (256u << 10)

static int real_open(int dirfd, const char *name, int flags, mode_t mode)
{
	int fd = openat(dirfd, name, flags | O_CLOEXEC | O_NOFOLLOW, mode);

	return fd < 0 ? -errno : fd;
}

static int real_close(int fd)
{
	return close(fd) < 0 ? -errno : 0;
}

static ssize_t real_write(int fd, const void *p, size_t n)
{
	ssize_t put = write(fd, p, n);

	return put < 0 ? -errno : put;
}

static ssize_t real_pread(int fd, void *p, size_t n, uint64_t offset)
{
	ssize_t got = pread(fd, p, n, (off_t)offset);

	return got < 0 ? -errno : got;
}

static int real_fdatasync(int fd)
{
	return fdatasync(fd) < 0 ? -errno : 0;
}

static int real_fsync(int fd)
{
	return fsync(fd) < 0 ? -errno : 0;
}

static int real_truncate(int fd, uint64_t size)
{
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

static int real_rename(int dirfd, const char *from, const char *to)
{
	return renameat(dirfd, from, dirfd, to) < 0 ? -errno : 0;
}

static int real_unlink(int dirfd, const char *name)
{
	return unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
}

static int real_mkdir(int dirfd, const char *name)
{
	return mkdirat(dirfd, name, 0750) < 0 ? -errno : 0;
}

static int real_lock(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

const struct os_ops os_real = {
	.open = real_open,
	.close = real_close,
	.write = real_write,
	.pread = real_pread,
	.fdatasync = real_fdatasync,
	.fsync = real_fsync,
	.truncate = real_truncate,
	.rename = real_rename,
	.unlink = real_unlink,
	.mkdir = real_mkdir,
	.lock = real_lock,
};
const struct os_ops *os = &os_real;

int os_write_all(int fd, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	while (n > 0) {
		ssize_t put = os->write(fd, p, n);

		if (put == -EINTR)
			continue;
		if (put < 0)
			return (int)put;
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

int os_read_exact(int fd, void *out, size_t n, uint64_t offset)
{
	uint8_t *p = out;

	while (n > 0) {
		ssize_t got = os->pread(fd, p, n, offset);

		if (got == -EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? (int)got : -EBADMSG;
		p += got;
		offset += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

int os_read_rest(int fd, uint64_t offset, size_t max, struct buf *out)
{
	while (max > 0) {
		size_t want = max < READ_CHUNK ? max : READ_CHUNK;
		uint8_t *p = buf_reserve(out, want);
		ssize_t got;

		if (!p)
			return -ENOMEM;
		got = os->pread(fd, p, want, offset);
		if (got == -EINTR)
			continue;
		if (got <= 0)
			return (int)got;
		out->len += (size_t)got;
		offset += (uint64_t)got;
		max -= (size_t)got;
	}
	return 0;
}

int os_size(int fd, uint64_t *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = (uint64_t)st.st_size;
	return 0;
}

int os_size_at(int dirfd, const char *name, uint64_t *ret)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	*ret = (uint64_t)st.st_size;
	return 0;
}

int os_open_dir(const char *path, bool make, int *ret_fd, struct errmsg *e)
{
	int fd, err = make ? make_dirs(path, 0750, e) : 0;

	if (err)
		return err;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, -errno, "cannot open directory %s: %s", path, strerror(errno));
	*ret_fd = fd;
	return 0;
}

int os_list(int dirfd, int (*fn)(void *arg, const char *name), void *arg)
{
	DIR *d = dir_open(dirfd, ".");
	struct dirent *entry;
	int err = 0;

	if (!d)
		return -errno;
	while (!err) {
		errno = 0;
		entry = readdir(d);
		if (!entry) {
			err = -errno;
			break;
		}
		if (entry->d_name[0] != '.')
			err = fn(arg, entry->d_name);
	}
	closedir(d);
	return err;
}

int os_changed_ns(int fd, int64_t *ret_changed, int64_t *ret_now)
{
	struct timespec now;
	struct stat st;

	if (fstat(fd, &st) < 0 || clock_gettime(CLOCK_REALTIME_COARSE, &now) < 0)
		return -errno;
	*ret_changed = st.st_mtim.tv_sec * (int64_t)NSEC_PER_SEC + st.st_mtim.tv_nsec;
	*ret_now = now.tv_sec * (int64_t)NSEC_PER_SEC + now.tv_nsec;
	return 0;
}

void os_pause_ms(unsigned int ms)
{
	usleep(ms * 1000);
}

int os_make_file(int dirfd, const char *name, const void *p, size_t n, int *ret_fd)
{
	char temp[64];
	int fd, err;

	snprintf(temp, sizeof(temp), "%s.tmp", name);
	fd = os->open(dirfd, temp, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0640);
	if (fd < 0)
		return fd;
	err = os_write_all(fd, p, n);
	if (!err)
		err = os->fsync(fd);
	if (!err)
		err = os->rename(dirfd, temp, name);
	if (err) {
		os->unlink(dirfd, temp);
	} else {
		err = os->fsync(dirfd);
		if (err) /* nobody will write to it: it must not be found later */
			os->unlink(dirfd, name);
	}
	if (err) {
		os->close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}
