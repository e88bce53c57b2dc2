/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store's operating system with faults. Calls are counted, and the chosen one fails, writes less,
 * or is the moment of a power loss: then it and all calls after it fail, and faultos_reboot() leaves
 * in the directory what a disk would hold: contents as they were at the last sync of the file, names
 * as they were at the last sync of the directory.
 */
#ifndef TALLY_TESTS_LIB_FAULTOS_H
#define TALLY_TESTS_LIB_FAULTOS_H

#include <fcntl.h>

#include "gatherer/store/os.h"
#include "tests/lib/teststore.h"

enum fault {
	FAULT_EIO,
	FAULT_ENOSPC,
	FAULT_SHORT, /* half of a write */
	FAULT_FULL, /* this call and some after it find the disk full */
	FAULT_POWER, /* nothing of what was not synced is there */
	FAULT_POWER_HALF, /* half of the unsynced bytes of each file */
	FAULT_POWER_ALL, /* all of them */
	FAULT_KINDS,
};

#define FAULT_FULL_CALLS 12u /* FAULT_FULL: how many */
#define FAULT_FILES      256u
#define FAULT_FDS        1024u

struct fault_file {
	char name[64]; /* "" when it has none any more */
	char durable_name[64];
	struct buf durable; /* contents at the last sync */
	struct buf contents; /* as written */
};

static struct {
	enum fault kind;
	uint64_t at, calls; /* at 0: no fault */
	bool happened;
	char dir[PATH_MAX];
	size_t nfiles;
	struct fault_file files[FAULT_FILES];
	int file_of[FAULT_FDS]; /* index + 1 */
} faultos;

static inline bool fault_is_power(void)
{
	return faultos.kind >= FAULT_POWER;
}

/* Counts a call; true if it is to fail. */
static inline bool fault_now(void)
{
	uint64_t more = faultos.kind == FAULT_FULL ? FAULT_FULL_CALLS : 1;
	bool now = ++faultos.calls >= faultos.at && faultos.calls < faultos.at + more;

	faultos.happened |= now;
	return now || (faultos.happened && fault_is_power());
}

static inline int fault_error(void)
{
	return faultos.kind == FAULT_ENOSPC || faultos.kind == FAULT_FULL ? -ENOSPC : -EIO;
}

static inline struct fault_file *fault_named(const char *name)
{
	for (size_t i = 0; i < faultos.nfiles; i++)
		if (strcmp(faultos.files[i].name, name) == 0)
			return &faultos.files[i];
	return NULL;
}

static inline struct fault_file *fault_of(int fd)
{
	int i = fd >= 0 && fd < (int)FAULT_FDS ? faultos.file_of[fd] : 0;

	return i ? &faultos.files[i - 1] : NULL;
}

static int fault_open(int dirfd, const char *name, int flags, mode_t mode)
{
	struct fault_file *f;
	int fd;

	if (fault_now())
		return fault_error();
	fd = os_real.open(dirfd, name, flags, mode);
	if (fd < 0 || (flags & O_DIRECTORY))
		return fd;
	f = fault_named(name);
	if (!f) {
		TEST_MUST(faultos.nfiles < FAULT_FILES);
		f = &faultos.files[faultos.nfiles++];
		snprintf(f->name, sizeof(f->name), "%s", name);
	}
	if (flags & O_TRUNC)
		buf_reset(&f->contents);
	TEST_MUST(fd < (int)FAULT_FDS);
	faultos.file_of[fd] = (int)(f - faultos.files) + 1;
	return fd;
}

static int fault_close(int fd)
{
	if (fd >= 0 && fd < (int)FAULT_FDS)
		faultos.file_of[fd] = 0;
	os_real.close(fd);
	return fault_now() ? fault_error() : 0;
}

static ssize_t fault_write(int fd, const void *p, size_t n)
{
	struct fault_file *f = fault_of(fd);

	if (fault_now()) {
		if (faultos.kind != FAULT_SHORT)
			return fault_error();
		n = (n + 1) / 2;
	}
	TEST_MUST(f && os_real.write(fd, p, n) == (ssize_t)n);
	buf_put(&f->contents, p, n);
	return (ssize_t)n;
}

static ssize_t fault_pread(int fd, void *p, size_t n, uint64_t offset)
{
	return fault_now() ? fault_error() : os_real.pread(fd, p, n, offset);
}

/* Real syncs would only cost time: what counts as durable is kept here. */
static int fault_sync(int fd)
{
	struct fault_file *f = fault_of(fd);

	if (fault_now())
		return fault_error();
	if (f) {
		buf_reset(&f->durable);
		buf_put(&f->durable, f->contents.data, f->contents.len);
		return 0;
	}
	for (size_t i = 0; i < faultos.nfiles; i++) /* the directory */
		memcpy(faultos.files[i].durable_name, faultos.files[i].name, 64);
	return 0;
}

static int fault_truncate(int fd, uint64_t size)
{
	struct fault_file *f = fault_of(fd);

	if (fault_now())
		return fault_error();
	if (f && f->contents.len > size)
		f->contents.len = size;
	return os_real.truncate(fd, size);
}

static int fault_rename(int dirfd, const char *from, const char *to)
{
	struct fault_file *f = fault_named(from), *old = fault_named(to);
	int err;

	if (fault_now())
		return fault_error();
	err = os_real.rename(dirfd, from, to);
	if (err)
		return err;
	if (old)
		old->name[0] = '\0';
	if (f)
		snprintf(f->name, sizeof(f->name), "%s", to);
	return 0;
}

static int fault_unlink(int dirfd, const char *name)
{
	struct fault_file *f = fault_named(name);

	if (fault_now())
		return fault_error();
	if (f)
		f->name[0] = '\0';
	return os_real.unlink(dirfd, name);
}

static int fault_mkdir(int dirfd, const char *name)
{
	return fault_now() ? fault_error() : os_real.mkdir(dirfd, name);
}

static int fault_lock(int fd)
{
	return fault_now() ? fault_error() : os_real.lock(fd);
}

static const struct os_ops faultos_ops = {
	.open = fault_open,
	.close = fault_close,
	.write = fault_write,
	.pread = fault_pread,
	.fdatasync = fault_sync,
	.fsync = fault_sync,
	.truncate = fault_truncate,
	.rename = fault_rename,
	.unlink = fault_unlink,
	.mkdir = fault_mkdir,
	.lock = fault_lock,
};

static inline void faultos_stop(void)
{
	os = &os_real;
	for (size_t i = 0; i < faultos.nfiles; i++) {
		buf_release(&faultos.files[i].durable);
		buf_release(&faultos.files[i].contents);
	}
	memset(&faultos, 0, sizeof(faultos));
}

/* From now on, on an empty directory; at is the number of the call, from 1. */
static inline void faultos_start(const char *dir, enum fault kind, uint64_t at)
{
	faultos_stop();
	snprintf(faultos.dir, sizeof(faultos.dir), "%s", dir);
	faultos.kind = kind;
	faultos.at = at;
	os = &faultos_ops;
}

/* Of bytes that were never synced, what the kind of power loss leaves. */
static inline size_t fault_kept(const struct fault_file *f)
{
	size_t unsynced = f->contents.len > f->durable.len ? f->contents.len - f->durable.len : 0;

	if (faultos.kind == FAULT_POWER_ALL)
		return unsynced;
	return faultos.kind == FAULT_POWER_HALF ? unsynced / 2 : 0;
}

static inline void fault_put_file(const struct fault_file *f)
{
	char path[PATH_MAX + 80];
	size_t kept = fault_kept(f);
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", faultos.dir, f->durable_name);
	out = fopen(path, "w");
	TEST_MUST(out);
	if (f->durable.len)
		fwrite(f->durable.data, 1, f->durable.len, out);
	if (kept)
		fwrite(f->contents.data + f->durable.len, 1, kept, out);
	TEST_MUST(fclose(out) == 0);
}

/* Power is back: the directory holds what was durable, and the real system is in use. */
static inline void faultos_reboot(void)
{
	char bad[PATH_MAX + 8];

	os = &os_real;
	test_dir_remove(faultos.dir);
	snprintf(bad, sizeof(bad), "%s/bad", faultos.dir);
	TEST_MUST(mkdir(faultos.dir, 0755) == 0 && mkdir(bad, 0755) == 0);
	for (size_t i = 0; i < faultos.nfiles; i++)
		if (faultos.files[i].durable_name[0])
			fault_put_file(&faultos.files[i]);
}

#endif
