/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small things every program needs: clocks, whole-file I/O that is safe against crashes. */
#ifndef TALLY_USER_LIB_UTIL_H
#define TALLY_USER_LIB_UTIL_H

#include <dirent.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/lib/buf.h"
#include "user/lib/err.h"

#define NSEC_PER_SEC  1000000000ull
#define NSEC_PER_MSEC 1000000ull

uint64_t clock_monotonic_ns(void); /* CLOCK_MONOTONIC */
int64_t clock_realtime_ns(void);
/* 16 bytes of /proc/sys/kernel/random/boot_id; all zero and a negative code if unreadable. */
int boot_id_read(uint8_t ret[16]);
/* 2^64 / golden ratio: spreads what is multiplied by it. */
#define HASH_FACTOR 0x9e3779b97f4a7c15ull
/*
 * FNV-1a, 64 bits, with its high bits folded down so that the low ones serve as a table's index. For
 * several texts, the result of one is the start of the next. No defence against chosen texts.
 */
#define HASH_START 0xcbf29ce484222325ull
uint64_t hash_bytes(uint64_t start, const void *p, size_t n);
/*
 * A faster one, eight bytes at a time, for tables that compare what they find: its results may change
 * with versions and byte orders, so they are neither kept nor sent.
 */
uint64_t hash_index(uint64_t start, const void *p, size_t n);

/* Fills from getrandom(2). */
int random_bytes(void *out, size_t n);
/* write(2) until all is written. -errno. */
int write_all(int fd, const void *p, size_t n);
/* A directory's own stream, from its start, for closedir(3); "." is dirfd's. NULL with errno. */
DIR *dir_open(int dirfd, const char *name);
/* An array of n members of this size with room for one more, in all for a power of two; NULL: it is as it was. */
void *array_grow(void *array, size_t n, size_t size);
/* Reads up to max bytes of a file from its start; -EFBIG if it is longer. Appends to out. */
int read_file_at(int dirfd, const char *name, size_t max, struct buf *out);
/* Temp file in the same directory, write, fsync, rename, fsync the directory. */
int replace_file(const char *path, const void *p, size_t n, mode_t mode, struct errmsg *e);
/* mkdir -p, with an fsync of each parent; an existing directory is fine. */
int make_dirs(const char *path, mode_t mode, struct errmsg *e);

#endif
