/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clocks, and whole-file I/O that is safe against crashes. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "user/lib/util.h"

uint64_t clock_monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

int64_t clock_realtime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * (int64_t)NSEC_PER_SEC + ts.tv_nsec;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int boot_id_read(uint8_t ret[16])
{
	struct buf text = BUF_INIT;
	size_t digits = 0;
	int err;

	memset(ret, 0, 16);
	err = read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text);
	for (size_t i = 0; !err && i < text.len && digits < 32; i++) {
		int d = hex_digit((char)text.data[i]);

		if (d < 0)
			continue; /* the dashes */
		ret[digits / 2] = (uint8_t)(ret[digits / 2] << 4 | d);
		digits++;
	}
	if (!err && digits != 32) {
		memset(ret, 0, 16);
		err = -EBADMSG;
	}
	buf_release(&text);
	return err;
}

#define FNV_PRIME 0x100000001b3ull

uint64_t hash_bytes(uint64_t start, const void *p, size_t n)
{
	const uint8_t *bytes = p;
	uint64_t h = start;

	for (size_t i = 0; i < n; i++)
		h = (h ^ bytes[i]) * FNV_PRIME;
	return h ^ h >> 29;
}

static uint64_t hash_word(uint64_t h, uint64_t word)
{
	h = (h ^ word) * HASH_FACTOR;
	return h ^ h >> 32;
}

/* 1 to 7 bytes, and their number, as one word. */
static uint64_t last_word(const uint8_t *bytes, size_t n)
{
	uint32_t low, high;

	if (n < sizeof(low))
		return bytes[0] | (uint64_t)bytes[n / 2] << 8 | (uint64_t)bytes[n - 1] << 16 |
		       (uint64_t)n << 56;
	memcpy(&low, bytes, sizeof(low));
	memcpy(&high, bytes + n - sizeof(high), sizeof(high));
	return (low | (uint64_t)high << 32) ^ (uint64_t)n << 61;
}

uint64_t hash_index(uint64_t start, const void *p, size_t n)
{
	const uint8_t *bytes = p;
	uint64_t h = start, word;

	for (; n >= sizeof(word); bytes += sizeof(word), n -= sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		h = hash_word(h, word);
	}
	if (n)
		h = hash_word(h, last_word(bytes, n));
	return hash_word(h, 0); /* else the last bytes would not reach the low bits */
}

DIR *dir_open(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0) {
		err = errno;
		close(fd);
		errno = err;
	}
	return d;
}

void *array_grow(void *array, size_t n, size_t size)
{
	return n & (n - 1) ? array : reallocarray(array, n ? 2 * n : 1, size);
}

int random_bytes(void *out, size_t n)
{
	uint8_t *p = out;

	while (n > 0) {
		ssize_t got = getrandom(p, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -errno;
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

int write_all(int fd, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	while (n > 0) {
		ssize_t put = write(fd, p, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

static int read_fd(int fd, size_t max, struct buf *out)
{
	size_t start = out->len;

	for (;;) {
		size_t left = max - (out->len - start);
		uint8_t *p = buf_reserve(out, left < 4096 ? left + 1 : 4096);
		ssize_t got;

		if (!p)
			return -ENOMEM;
		got = read(fd, p, left < 4096 ? left + 1 : 4096);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : 0;
		if ((size_t)got > left)
			return -EFBIG;
		out->len += (size_t)got;
	}
}

int read_file_at(int dirfd, const char *name, size_t max, struct buf *out)
{
	size_t start = out->len;
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = read_fd(fd, max, out);
	if (err)
		out->len = start;
	close(fd);
	return err;
}

static int sync_directory_of(const char *path)
{
	char copy[PATH_MAX];
	int fd, err = 0;

	snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int write_new_file(const char *path, const void *p, size_t n, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	int err;

	if (fd < 0)
		return -errno;
	err = fchmod(fd, mode) < 0 ? -errno : write_all(fd, p, n); /* whatever the umask is */
	if (!err && fsync(fd) < 0)
		err = -errno;
	if (close(fd) < 0 && !err)
		err = -errno;
	if (err)
		unlink(path);
	return err;
}

int replace_file(const char *path, const void *p, size_t n, mode_t mode, struct errmsg *e)
{
	char temp[PATH_MAX];
	int err;

	if ((size_t)snprintf(temp, sizeof(temp), "%s.%d.tmp", path, (int)getpid()) >= sizeof(temp))
		return err_set(e, -ENAMETOOLONG, "%s: name too long", path);
	unlink(temp); /* of a process before us with the same pid */
	err = write_new_file(temp, p, n, mode);
	if (!err && rename(temp, path) < 0) {
		err = -errno;
		unlink(temp);
	}
	if (!err)
		err = sync_directory_of(path);
	return err ? err_set(e, err, "cannot write %s: %s", path, strerror(-err)) : 0;
}

/* A directory that is new is synced into its parent: what is acknowledged in it must not go with it. */
static int make_dir(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return sync_directory_of(path);
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int make_dirs(const char *path, mode_t mode, struct errmsg *e)
{
	char copy[PATH_MAX];
	int err = 0;

	if ((size_t)snprintf(copy, sizeof(copy), "%s", path) >= sizeof(copy))
		return err_set(e, -ENAMETOOLONG, "%s: name too long", path);
	for (char *p = copy + 1; copy[0] && *p && !err; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		err = make_dir(copy, mode);
		*p = '/';
	}
	if (!err)
		err = make_dir(copy, mode);
	return err ? err_set(e, err, "cannot make directory %s: %s", path, strerror(-err)) : 0;
}
