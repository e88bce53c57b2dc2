/* SPDX-License-Identifier: MIT */
/*
 * Making a segment file, or adopting a dead one of the same object, user and cgroup.
 *
 * A file is made without a name (or, where that can't be, as NAME.SALT.new): locked, given memory,
 * mapped, filled, and only then given its name. So a file with a name is whole, one whose maker is killed
 * goes by itself, and a full file system is found here, not by a signal later. Names are
 * tried in order, so that the next run of a program finds the file of a dead one and counts on in it;
 * and so that an object that was unloaded and is loaded again finds its own, which is still mapped.
 *
 * The lock belongs to the open file description and lasts while any process has it mapped; the
 * descriptor itself is closed at once. Failures leave the caller with NULL, and of those that are not
 * for lack of a directory a count in PROGRAM.UID.refused.
 */
#ifndef TALLY_CREATE_H
#define TALLY_CREATE_H

#include <tally/layout.h>

TALLY_BEGIN_

#define TALLY_DIR_DEFAULT_ "/run/tally/seg"

enum tally_create_limits_ {
	TALLY_SLOTS_ = 64, /* names that are tried in order, so that a dead file is found */
	TALLY_DRAWS_ = 10, /* ... and then at random, each time among twice as many */
	TALLY_REFUSED_MAX_ = 1 << 30, /* starts without a segment that a file counts */
	TALLY_REFUSED_TRIES_ = 100,
};

#ifdef __cplusplus
extern "C" {
#endif
/* libc's, whatever header shows it. */
extern char **tally_libc_environ_ __asm__("environ");
#ifdef __cplusplus
}
#endif

/* Inodes of the machine's first namespaces, from linux/proc_ns.h. */
#define TALLY_FIRST_PID_NS_    0xeffffffcu
#define TALLY_FIRST_CGROUP_NS_ 0xeffffffbu

/* --- making a segment ----------------------------------------------------------------------- */

/* When this process began, in clock ticks since boot; 0 if unknown. */
TALLY_SLOW_ uint64_t tally_start_ticks_(void)
{
	char text[1024];
	size_t n = tally_sys_read_file_("/proc/self/stat", text, sizeof(text)), at = n;
	uint64_t ticks = 0;

	/* a program's name, field 2, is in brackets and may hold anything: the last one ends it */
	while (at > 0 && text[at - 1] != ')')
		at--;
	for (int field = 3; at > 0 && field <= 22; field++) {
		while (at < n && text[at] == ' ')
			at++;
		for (ticks = 0; at < n && text[at] != ' '; at++)
			ticks = ticks * 10 + (uint64_t)(text[at] - '0');
	}
	return ticks;
}

/* What differs from start to start on the same file. The caller is alone with it. */
TALLY_SLOW_ void tally_sign_(const struct tally_plan_ *p, struct tally_segment *seg)
{
	int contained = p->pid_ns != TALLY_FIRST_PID_NS_ || p->cgroup_ns != TALLY_FIRST_CGROUP_NS_;

	seg->unloaded = 0;
	seg->pid = tally_sys_getpid_();
	seg->pid_ns = p->pid_ns;
	seg->start_ticks = contained && p->pid_ns ? tally_start_ticks_() : 0;
	seg->starts++;
}

/* Fills a new segment: the image, and what differs from run to run. */
TALLY_SLOW_ void tally_fill_(const struct tally_plan_ *p, char *base)
{
	struct tally_segment *seg = (struct tally_segment *)(void *)base;
	struct tally_segment_slot *slots =
		(struct tally_segment_slot *)(void *)(base + p->tables_off);
	int64_t now[2] = {0, 0};

	tally_image_(p, base);
	for (uint32_t i = 0; i < p->n; i++)
		tally_fill_table_(&p->desc[i], slots + p->desc[i].table);
	tally_sys_(SYS_getrandom, (long)seg->id, sizeof(seg->id), 1, 0, 0, 0);
	tally_sys_(SYS_clock_gettime, 0, (long)now, 0, 0, 0, 0);
	seg->birth_ns = (uint64_t)now[0] * 1000000000u + (uint64_t)now[1];
	seg->rows = p->rows;
	seg->generation = 1;
	tally_sign_(p, seg);
}

TALLY_FN_ int tally_lock_(int fd)
{
	struct tally_flock_ lock;

	memset(&lock, 0, sizeof(lock));
	lock.type = TALLY_F_WRLCK_;
	return (int)tally_sys_(SYS_fcntl, fd, TALLY_F_OFD_SETLK_, (long)&lock, 0, 0, 0);
}

/*
 * Gives a new file its size, and memory for its first rows, so that a full file system is found out
 * here and not by a signal later. A limit on file sizes would send one too: it is asked first.
 */
TALLY_SLOW_ int tally_allocate_(const struct tally_plan_ *p, int fd)
{
	uint64_t limit[2] = {0, 0};
	char zero[512];
	long r;

	if (tally_sys_(SYS_prlimit64, 0, TALLY_RLIMIT_FSIZE_, 0, (long)limit, 0, 0) < 0 ||
		limit[0] < p->size)
		return -1;
	r = tally_sys_(SYS_fallocate, fd, 0, 0, (long)p->first_size, 0, 0);
	if (r == -TALLY_EOPNOTSUPP_ || r == -TALLY_ENOSYS_) {
		memset(zero, 0, sizeof(zero));
		r = 0;
		for (uint64_t at = 0; at < p->first_size && r >= 0; at += sizeof(zero))
			r = tally_sys_(SYS_pwrite64, fd, (long)zero, sizeof(zero), (long)at, 0,
				    0) == sizeof(zero)
				    ? 0
				    : -1;
	}
	if (r < 0)
		return -1;
	return tally_sys_(SYS_ftruncate, fd, (long)p->size, 0, 0, 0, 0) < 0 ? -1 : 0;
}

/* Gives dir/tmp its final name, unless that exists: -TALLY_EEXIST_. */
TALLY_SLOW_ int tally_publish_(int dir, const char *tmp, const char *name)
{
	long r = tally_sys_(
		SYS_renameat2, dir, (long)tmp, dir, (long)name, TALLY_RENAME_NOREPLACE_, 0);

	if (r == -TALLY_EINVAL_ || r == -TALLY_ENOSYS_) {
		r = tally_sys_(SYS_linkat, dir, (long)tmp, dir, (long)name, 0, 0);
		if (r == 0)
			tally_sys_(SYS_unlinkat, dir, (long)tmp, 0, 0, 0, 0);
	}
	return (int)r;
}

/* Appends a dot and the number in this base. */
TALLY_SLOW_ uint32_t tally_put_number_(char *out, uint32_t n, uint64_t v, uint32_t base)
{
	char digits[20];
	uint32_t d = 0;

	do
		digits[d++] = "0123456789abcdef"[v % base];
	while ((v /= base) > 0);
	out[n++] = '.';
	while (d > 0)
		out[n++] = digits[--d];
	return n;
}

/* Makes the open file a whole segment: locked, allocated, mapped and filled. NULL if that fails. */
TALLY_SLOW_ char *tally_build_(const struct tally_plan_ *p, int fd)
{
	char *base = (char *)0;

	tally_sys_(SYS_fchmod, fd, 0640, 0, 0, 0, 0); /* whatever the umask: the group reads */
	if (tally_lock_(fd) == 0 && tally_allocate_(p, fd) == 0)
		base = tally_sys_mmap_(p->size, fd);
	if (!base)
		return base;
	/* all pages at once is half as long as one by one; before Linux 5.14 it is one by one */
	if (p->first_size > 16384)
		tally_sys_(SYS_madvise, (long)base, (long)p->first_size, TALLY_MADV_POPULATE_WRITE_,
			0, 0, 0);
	tally_fill_(p, base);
	return base;
}

/*
 * Makes dir/name from a file without a name, which goes by itself if this is killed. *ret_error is 0, or
 * -TALLY_EEXIST_ if somebody was faster; anything else: not on this file system, or there is no /proc.
 */
TALLY_SLOW_ char *tally_create_unnamed_(
	const struct tally_plan_ *p, int dir, const char *name, int *ret_error)
{
	char path[64] = "/proc/self/fd", *base;
	int fd = tally_sys_open_(
		dir, ".", TALLY_O_RDWR_ | TALLY_O_TMPFILE_ | TALLY_O_CLOEXEC_, 0640);

	*ret_error = fd < 0 ? fd : -1;
	if (fd < 0)
		return (char *)0;
	base = tally_build_(p, fd);
	if (base) {
		uint32_t n = tally_put_number_(path, 13, (uint64_t)fd, 10);

		path[13] = '/';
		path[n] = '\0';
		/* with CAP_DAC_READ_SEARCH, and since Linux 6.10 for the file's maker; else by /proc */
		*ret_error = (int)tally_sys_(
			SYS_linkat, fd, (long)"", dir, (long)name, TALLY_AT_EMPTY_PATH_, 0);
		if (*ret_error < 0 && *ret_error != -TALLY_EEXIST_)
			*ret_error = (int)tally_sys_(SYS_linkat, TALLY_AT_FDCWD_, (long)path, dir,
				(long)name, TALLY_AT_SYMLINK_FOLLOW_, 0);
	}
	if (base && *ret_error < 0) {
		tally_sys_munmap_(base, p->size);
		base = (char *)0;
	}
	tally_sys_close_(fd); /* the mapping keeps the lock */
	return base;
}

/* The same by way of dir/name.SALT.new. */
TALLY_SLOW_ char *tally_create_named_(
	const struct tally_plan_ *p, int dir, const char *name, int *ret_error)
{
	char tmp[192], *base;
	size_t len = strlen(name);
	uint64_t salt = 0;
	int fd;

	/* the pid keeps those apart who make the same name at once, the salt those of other namespaces */
	tally_sys_(SYS_getrandom, (long)&salt, sizeof(salt), 1, 0, 0, 0);
	salt ^= (uint64_t)tally_sys_getpid_() << 40;
	memcpy(tmp, name, len);
	memcpy(tmp + tally_put_number_(tmp, (uint32_t)len, salt, 16), ".new", 5);

	fd = tally_sys_open_(dir, tmp,
		TALLY_O_RDWR_ | TALLY_O_CREAT_ | TALLY_O_EXCL_ | TALLY_O_CLOEXEC_ |
			TALLY_O_NOFOLLOW_,
		0640);
	*ret_error = fd < 0 ? fd : -1;
	if (fd < 0)
		return (char *)0;
	base = tally_build_(p, fd);
	if (base)
		*ret_error = tally_publish_(dir, tmp, name);
	if (*ret_error < 0) {
		tally_sys_(SYS_unlinkat, dir, (long)tmp, 0, 0, 0, 0);
		if (base)
			tally_sys_munmap_(base, p->size);
		base = (char *)0;
	}
	tally_sys_close_(fd);
	return base;
}

/* A new segment dir/name. *ret_error is -TALLY_EEXIST_ if somebody was faster. */
TALLY_SLOW_ char *tally_create_(
	const struct tally_plan_ *p, int dir, const char *name, int *ret_error)
{
	char *base = tally_create_unnamed_(p, dir, name, ret_error);

	if (!base && *ret_error != -TALLY_EEXIST_)
		base = tally_create_named_(p, dir, name, ret_error);
	return base;
}

/* The dead own no rows, their gauges are over, and they end no slot that they began. Counts stay. */
TALLY_SLOW_ void tally_inherit_(const struct tally_plan_ *p, char *base)
{
	struct tally_segment *seg = (struct tally_segment *)(void *)base;
	struct tally_segment_slot *slots =
		(struct tally_segment_slot *)(void *)(base + p->tables_off);
	uint64_t *shared = (uint64_t *)(void *)(base + p->rows_off);

	for (uint32_t r = 1; r < seg->rows; r++)
		shared[(uint64_t)r * p->row_size / 8] = 0;
	for (uint32_t i = 0; i < p->n; i++) {
		const struct tally_desc_ *d = &p->desc[i];

		if (d->type == TALLY_TYPE_GAUGE || d->type == TALLY_TYPE_GAUGE_DOUBLE)
			memset(shared + d->cell / 8, 0, 8 * (size_t)(d->slots ? d->slots : 1));
	}
	for (uint32_t i = 0; i < p->tables_len / sizeof(*slots); i++)
		if (slots[i].state == TALLY_SLOT_WRITING)
			memset(&slots[i], 0, sizeof(slots[i]));
	tally_sign_(p, seg);
}

/*
 * The mapping that an earlier load of this object left in this process, if the file at fd is it: the
 * lock on it is then our own. Nobody else writes there: the code that did is gone.
 */
TALLY_SLOW_ char *tally_reload_(const struct tally_plan_ *p, int fd)
{
	struct tally_segment have, *seg;
	uint64_t at;
	uint32_t id[4];

	memset(&have, 0, sizeof(have));
	if (tally_sys_(SYS_pread64, fd, (long)&have, sizeof(have), 0, 0, 0) != sizeof(have) ||
		!have.unloaded || have.unloaded_pid != tally_sys_getpid_())
		return (char *)0;
	at = have.unloaded;
	memcpy(id, have.id, sizeof(id));
	for (uint32_t i = 0; i < 4; i++)
		if (!tally_sys_word_is_(
			    (const char *)at + offsetof(struct tally_segment, id) + 4 * i, id[i]))
			return (char *)0;
	seg = (struct tally_segment *)at;
	if (!tally_same_(p, (const char *)seg) || !__atomic_compare_exchange_n(&seg->unloaded, &at,
							  0, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return (char *)0;
	for (uint32_t r = 1; r < seg->rows; r++) {
		uint64_t *row =
			(uint64_t *)(void *)((char *)seg + p->rows_off + (uint64_t)r * p->row_size);

		if (*row >> 32 == have.unloaded_generation)
			__atomic_store_n(row, 0, __ATOMIC_RELEASE);
	}
	return (char *)seg;
}

/*
 * Takes over dir/name if it is a dead segment of this very object and user; *ret_error is 0, or what
 * opening it said. Counting goes on from its values.
 */
TALLY_SLOW_ char *tally_adopt_(
	const struct tally_plan_ *p, int dir, const char *name, int *ret_error)
{
	struct tally_statx_ st;
	char *base = (char *)0, *ours = base;
	int fd = tally_sys_open_(dir, name,
		TALLY_O_RDWR_ | TALLY_O_NOFOLLOW_ | TALLY_O_NONBLOCK_ | TALLY_O_CLOEXEC_, 0);

	*ret_error = fd < 0 ? fd : 0;
	if (fd < 0)
		return base;
	/* locked first, asked then: who folds the file removes its name while he holds the lock */
	if (tally_sys_statx_(fd, "", &st) < 0 || (st.mode & TALLY_S_IFMT_) != TALLY_S_IFREG_ ||
		st.uid != (uint32_t)tally_sys_(SYS_geteuid, 0, 0, 0, 0, 0, 0) || st.size != p->size)
		;
	else if (tally_lock_(fd) < 0)
		ours = base = tally_reload_(p, fd);
	else if (tally_sys_statx_(fd, "", &st) == 0 && st.nlink == 1)
		base = tally_sys_mmap_(p->size, fd);
	if (base && !ours && !tally_same_(p, base)) {
		tally_sys_munmap_(base, p->size);
		base = (char *)0;
	}
	if (base && !ours)
		tally_inherit_(p, base);
	tally_sys_close_(fd);
	return base;
}

/* PROGRAM.UID into out, which has room for 128 bytes; returns the length. */
TALLY_SLOW_ uint32_t tally_owner_name_(const struct tally_plan_ *p, char *out)
{
	uint32_t n = 0;

	for (const char *s = p->program; *s && n < 60; s++) {
		int plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
			    (*s >= '0' && *s <= '9') || *s == '-';

		out[n++] = '_';
		if (plain)
			out[n - 1] = *s;
	}
	return tally_put_number_(out, n, (uint64_t)tally_sys_(SYS_geteuid, 0, 0, 0, 0, 0, 0), 10);
}

/* PROGRAM.UID.HASH.SLOT, likewise. */
TALLY_SLOW_ void tally_file_name_(const struct tally_plan_ *p, uint64_t slot, char *out)
{
	uint32_t n = tally_owner_name_(p, out);

	n = tally_put_number_(out, n, p->hash, 16);
	out[tally_put_number_(out, n, slot, 16)] = '\0';
}

/* One more start without a segment: the file PROGRAM.UID.refused gets a byte longer, which takes no block. */
TALLY_SLOW_ void tally_count_refused_(const struct tally_plan_ *p, int dir)
{
	struct tally_statx_ st;
	uint64_t limit[2] = {0, 0};
	char name[128];
	int fd;

	if (tally_sys_(SYS_prlimit64, 0, TALLY_RLIMIT_FSIZE_, 0, (long)limit, 0, 0) < 0 ||
		limit[0] == 0)
		return;
	memcpy(name + tally_owner_name_(p, name), ".refused", 9);
	fd = tally_sys_open_(dir, name,
		TALLY_O_RDWR_ | TALLY_O_CREAT_ | TALLY_O_CLOEXEC_ | TALLY_O_NOFOLLOW_ |
			TALLY_O_NONBLOCK_,
		0640);
	if (fd < 0)
		return;
	for (int i = 0; i < TALLY_REFUSED_TRIES_; i++) {
		if (tally_lock_(fd) < 0) {
			tally_sys_wait_((uint32_t)i);
			continue;
		}
		if (tally_sys_statx_(fd, "", &st) == 0 &&
			(st.mode & TALLY_S_IFMT_) == TALLY_S_IFREG_ &&
			st.size < TALLY_REFUSED_MAX_ && limit[0] > st.size) {
			tally_sys_(SYS_fchmod, fd, 0640, 0, 0, 0, 0);
			tally_sys_(SYS_ftruncate, fd, (long)st.size + 1, 0, 0, 0, 0);
		}
		break;
	}
	tally_sys_close_(fd);
}

/*
 * The directory of segments, open; negative if there is none. Before libc has its environment (functions
 * in .preinit_array count too) the kernel's copy of it is asked; text is room for that.
 */
TALLY_SLOW_ int tally_open_dir_(char *text, size_t size)
{
	const char *path = (const char *)0;
	size_t n, at;

	if (!getauxval(TALLY_AT_SECURE_)) {
		path = getenv("TALLY_DIR");
		n = tally_libc_environ_
			    ? 0
			    : tally_sys_read_file_("/proc/self/environ", text, size - 1);
		text[n] = '\0';
		for (at = 0; at < n; at += strlen(text + at) + 1)
			if (n - at > 10 && memcmp(text + at, "TALLY_DIR=", 10) == 0)
				path = text + at + 10;
	}
	return tally_sys_open_(TALLY_AT_FDCWD_, path && *path ? path : TALLY_DIR_DEFAULT_,
		TALLY_O_PATH_ | TALLY_O_DIRECTORY_ | TALLY_O_CLOEXEC_, 0);
}

/* A mapped segment of this object, adopted or new; NULL if there is to be none. */
TALLY_SLOW_ char *tally_segment_(const struct tally_plan_ *p)
{
	char text[8192], name[128], *base = (char *)0;
	int error = 0, dir;

	/* root for the time being a user: who could cut the file off under it for ever */
	if (tally_sys_(SYS_geteuid, 0, 0, 0, 0, 0, 0) != 0 &&
		tally_sys_(SYS_getuid, 0, 0, 0, 0, 0, 0) == 0)
		return base;
	dir = tally_open_dir_(text, sizeof(text));
	if (dir < 0)
		return base;
	for (uint64_t slot = 0; !base && slot <= TALLY_SLOTS_ + TALLY_DRAWS_; slot++) {
		uint64_t number = slot;

		if (slot >= TALLY_SLOTS_)
			tally_sys_(SYS_getrandom, (long)&number, sizeof(number), 1, 0, 0, 0);
		/* the last one is a name that nobody looks for again */
		if (slot >= TALLY_SLOTS_ && slot < TALLY_SLOTS_ + TALLY_DRAWS_)
			number = TALLY_SLOTS_ +
				 number % ((uint64_t)TALLY_SLOTS_ << (slot - TALLY_SLOTS_));
		tally_file_name_(p, number, name);
		base = tally_adopt_(p, dir, name, &error);
		if (base || error != -TALLY_ENOENT_)
			continue; /* ours, or somebody else's, who may have made it to be in our way */
		base = tally_create_(p, dir, name, &error);
		if (!base && error != -TALLY_EEXIST_)
			break;
	}
	if (!base)
		tally_count_refused_(p, dir);
	tally_sys_close_(dir);
	return base;
}

TALLY_END_

#endif
