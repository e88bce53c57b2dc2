/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The operating system, as the store sees it: nothing else of the store calls it. Tests replace the
 * table to make the N-th call fail, write less, or lose what was not synced.
 *
 * All functions return a negative errno on failure. Names are relative to a directory descriptor.
 */
#ifndef TALLY_GATHERER_STORE_OS_H
#define TALLY_GATHERER_STORE_OS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/lib/buf.h"
#include "user/lib/err.h"

struct os_ops {
	int (*open)(int dirfd, const char *name, int flags, mode_t mode);
	int (*close)(int fd);
	ssize_t (*write)(int fd, const void *p, size_t n); /* at the end of the file */
	ssize_t (*pread)(int fd, void *p, size_t n, uint64_t offset);
	int (*fdatasync)(int fd);
	int (*fsync)(int fd);
	int (*truncate)(int fd, uint64_t size);
	int (*rename)(int dirfd, const char *from, const char *to);
	int (*unlink)(int dirfd, const char *name);
	int (*mkdir)(int dirfd, const char *name);
	int (*lock)(int fd); /* exclusive, not waiting: -EWOULDBLOCK */
};
extern const struct os_ops os_real;
extern const struct os_ops *os; /* set before threads start */

/* On top of these. */
int os_write_all(int fd, const void *p, size_t n);
/* Exactly n bytes, or -EBADMSG if the file ends before. */
int os_read_exact(int fd, void *p, size_t n, uint64_t offset);
/* Appends what stands from offset to the end of the file, at most max bytes. */
int os_read_rest(int fd, uint64_t offset, size_t max, struct buf *out);
int os_size(int fd, uint64_t *ret);
int os_size_at(int dirfd, const char *name, uint64_t *ret);
/* Opens or makes a directory; a path, not a name. */
int os_open_dir(const char *path, bool make, int *ret_fd, struct errmsg *e);
/* Calls fn for each name in the directory until it returns non-zero. */
int os_list(int dirfd, int (*fn)(void *arg, const char *name), void *arg);
/* Modification time of an open directory, and the coarse clock that such times are taken from. */
int os_changed_ns(int fd, int64_t *ret_changed, int64_t *ret_now);
void os_pause_ms(unsigned int ms);
/* A new file that gets its name only when it is durable: temp, write, sync, rename. */
int os_make_file(int dirfd, const char *name, const void *p, size_t n, int *ret_fd);

#endif
