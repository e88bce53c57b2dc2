/* SPDX-License-Identifier: MIT */
/*
 * Making a segment file, or adopting a dead one of the same object and user.
 *
 * A file is made as NAME.new: locked, given memory, mapped, filled, and only then given its name. So a
 * file with a name is whole, and a full file system is found here, not by a signal later. Names are
 * tried in order, so that the next run of a program finds the file of a dead one and counts on in it.
 *
 * The lock belongs to the open file description and lasts while any process has it mapped; the
 * descriptor itself is closed at once. Failures leave nothing behind, and the caller with NULL.
 */
#ifndef TALLY_CREATE_H
#define TALLY_CREATE_H

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include <tally/segment.h>
#include <tally/system.h>

#ifndef TALLY_OBJECT
#define TALLY_OBJECT ""
#endif

#define TALLY_DIR_DEFAULT_ "/run/tally/seg"

enum tally_create_limits_ {
	TALLY_ROWS_MAX_ = 1024, /* rows of an object; more threads share row 0 */
	TALLY_ROWS_BYTES_ = 32 << 20, /* ... or as many as fit into this */
	TALLY_SLOTS_ = 64, /* names that are tried in order, so that a dead file is found */
};

#ifdef __cplusplus
extern "C" {
#endif
/* The linker's bounds of the section of descriptors of this object. */
extern struct tally_desc_ __start_tally_desc[] TALLY_ONE_;
extern struct tally_desc_ __stop_tally_desc[] TALLY_ONE_;
#ifdef __cplusplus
}
#endif

/* What a segment of this object looks like; the same for every run of the same build. */
struct tally_plan_ {
	struct tally_desc_ *desc;
	uint32_t n;
	const char *program;
	uint32_t strings_off, strings_len, rows_off, row_size;
	uint32_t rows, rows_max; /* at first, at most */
	uint64_t size, first_size; /* of the whole file, of the part that is allocated at first */
	uint64_t hash; /* of names, units and types */
};

/* --- the plan ------------------------------------------------------------------------------- */

TALLY_FN_ uint64_t tally_round_(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* FNV-1a over a string and its zero. */
TALLY_FN_ uint64_t tally_hash_(uint64_t h, const char *s)
{
	do
		h = (h ^ (unsigned char)*s) * 0x100000001b3u;
	while (*s++);
	return h;
}

TALLY_FN_ const char *tally_program_(void)
{
	const char *path = (const char *)(uintptr_t)getauxval(TALLY_AT_EXECFN_);
	const char *base = path;

	if (!path)
		return "unknown";
	for (; *path; path++)
		if (*path == '/' && path[1])
			base = path + 1;
	return base;
}

/* Bytes that a string takes in the file, with its zero. A long one is cut before a UTF-8 character. */
TALLY_FN_ uint32_t tally_string_size_(const char *s)
{
	size_t n = strlen(s);

	if (n > TALLY_SEGMENT_NAME_MAX)
		for (n = TALLY_SEGMENT_NAME_MAX; n > 0 && (s[n] & 0xc0) == 0x80; n--)
			;
	return (uint32_t)n + 1;
}

TALLY_SLOW_ void tally_make_plan_(struct tally_plan_ *p)
{
	uint32_t most, limit = TALLY_ROWS_MAX_;

	p->desc = __start_tally_desc;
	p->n = (uint32_t)(__stop_tally_desc - __start_tally_desc);
	p->program = tally_program_();
	p->strings_off =
		(uint32_t)(sizeof(struct tally_segment) + p->n * sizeof(struct tally_segment_desc));
	p->strings_len = 1 + tally_string_size_(p->program) + tally_string_size_(TALLY_OBJECT);
	p->hash = tally_hash_(0xcbf29ce484222325u, TALLY_OBJECT);
	for (uint32_t i = 0; i < p->n; i++) {
		const struct tally_desc_ *d = &p->desc[i];

		p->strings_len += tally_string_size_(d->name) + tally_string_size_(d->unit) +
				  tally_string_size_(d->help);
		p->hash = tally_hash_(tally_hash_(p->hash, d->name), d->unit);
		p->hash = (p->hash ^ d->type ^ ((uint64_t)(unsigned char)d->scale << 8)) *
			  0x100000001b3u;
	}
	p->rows_off = (uint32_t)tally_round_(p->strings_off + p->strings_len, TALLY_ROW_ALIGN);
	p->row_size =
		(uint32_t)tally_round_(TALLY_ROW_HEADER + 8 * (uint64_t)p->n, TALLY_ROW_ALIGN);
	most = TALLY_ROWS_BYTES_ / p->row_size;
	p->rows_max = most > limit ? limit : most < 16 ? 16 : most;
	p->first_size = tally_round_(p->rows_off + 5 * (uint64_t)p->row_size, 4096);
	p->rows = (uint32_t)((p->first_size - p->rows_off) / p->row_size);
	if (p->rows > p->rows_max)
		p->rows = p->rows_max;
	p->size = tally_round_(p->rows_off + (uint64_t)p->rows_max * p->row_size, 4096);
}

/* --- making a segment ----------------------------------------------------------------------- */

TALLY_FN_ uint32_t tally_put_string_(char *strings, uint32_t *at, const char *s)
{
	uint32_t here = *at, n = tally_string_size_(s);

	if (n == 1)
		return 0;
	memcpy(strings + here, s, n - 1);
	*at += n;
	return here;
}

/* Writes all that is constant into zeroed memory of at least rows_off bytes. */
TALLY_SLOW_ void tally_image_(const struct tally_plan_ *p, char *base)
{
	struct tally_segment *seg = (struct tally_segment *)(void *)base;
	struct tally_segment_desc *to = (struct tally_segment_desc *)(void *)(seg + 1);
	char *strings = base + p->strings_off;
	uint32_t at = 1;

	memcpy(seg->magic, TALLY_SEGMENT_MAGIC, sizeof(seg->magic));
	seg->version = TALLY_SEGMENT_VERSION;
	seg->header_size = (uint32_t)sizeof(*seg);
	seg->desc_off = (uint32_t)sizeof(*seg);
	seg->desc_size = (uint32_t)sizeof(*to);
	seg->ndesc = p->n;
	seg->strings_off = p->strings_off;
	seg->strings_len = p->strings_len;
	seg->rows_off = p->rows_off;
	seg->row_size = p->row_size;
	seg->rows_max = p->rows_max;
	seg->program = tally_put_string_(strings, &at, p->program);
	seg->object = tally_put_string_(strings, &at, TALLY_OBJECT);
	for (uint32_t i = 0; i < p->n; i++) {
		to[i].name = tally_put_string_(strings, &at, p->desc[i].name);
		to[i].unit = tally_put_string_(strings, &at, p->desc[i].unit);
		to[i].help = tally_put_string_(strings, &at, p->desc[i].help);
		to[i].type = p->desc[i].type;
		to[i].scale = p->desc[i].scale;
		to[i].cell = TALLY_ROW_HEADER + 8 * i;
		to[i].cells = 1;
	}
}

/* Fills a new segment: the image, and what differs from run to run. */
TALLY_SLOW_ void tally_fill_(const struct tally_plan_ *p, char *base)
{
	struct tally_segment *seg = (struct tally_segment *)(void *)base;
	int64_t now[2] = {0, 0};

	tally_image_(p, base);
	tally_sys_(SYS_getrandom, (long)seg->id, sizeof(seg->id), 1, 0, 0, 0);
	tally_sys_(SYS_clock_gettime, 0, (long)now, 0, 0, 0, 0);
	seg->birth_ns = (uint64_t)now[0] * 1000000000u + (uint64_t)now[1];
	seg->rows = p->rows;
	seg->generation = 1;
	seg->starts = 1;
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
	uint64_t limit[2];
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

/* Makes dir/name by way of dir/name.new. *ret_error is -TALLY_EEXIST_ if somebody was faster. */
TALLY_SLOW_ char *tally_create_(
	const struct tally_plan_ *p, int dir, const char *name, int *ret_error)
{
	char tmp[192], *base = (char *)0;
	size_t len = strlen(name);
	uint64_t salt = 0;
	int fd;

	/* the pid keeps those apart who make the same name at once, the salt those of other namespaces */
	tally_sys_(SYS_getrandom, (long)&salt, sizeof(salt), 1, 0, 0, 0);
	salt ^= (uint64_t)tally_sys_getpid_() << 40;
	memcpy(tmp, name, len);
	tmp[len++] = '.';
	for (int i = 60; i >= 0; i -= 4)
		tmp[len++] = "0123456789abcdef"[salt >> i & 15];
	memcpy(tmp + len, ".new", 5);

	fd = tally_sys_open_(dir, tmp,
		TALLY_O_RDWR_ | TALLY_O_CREAT_ | TALLY_O_EXCL_ | TALLY_O_CLOEXEC_ |
			TALLY_O_NOFOLLOW_,
		0640);
	*ret_error = fd < 0 ? fd : -1;
	if (fd < 0)
		return (char *)0;
	tally_sys_(SYS_fchmod, fd, 0640, 0, 0, 0, 0); /* whatever the umask: the group reads */
	if (tally_lock_(fd) == 0 && tally_allocate_(p, fd) == 0)
		base = tally_sys_mmap_(p->size, fd);
	if (base) {
		tally_fill_(p, base);
		*ret_error = tally_publish_(dir, tmp, name);
	}
	if (*ret_error < 0) {
		tally_sys_(SYS_unlinkat, dir, (long)tmp, 0, 0, 0, 0);
		if (base)
			tally_sys_munmap_(base, p->size);
		base = (char *)0;
	}
	tally_sys_close_(fd); /* the mapping keeps the lock */
	return base;
}

/* Is the file that is mapped at base what this object would make? */
TALLY_SLOW_ int tally_same_(const struct tally_plan_ *p, const char *base)
{
	const struct tally_segment *have = (const struct tally_segment *)(const void *)base, *want;
	char *image = tally_sys_mmap_(p->rows_off, -1);
	int same;

	if (!image)
		return 0;
	tally_image_(p, image);
	want = (const struct tally_segment *)(const void *)image;
	same = memcmp(have, want, offsetof(struct tally_segment, id)) == 0 &&
	       memcmp(&have->desc_off, &want->desc_off,
		       offsetof(struct tally_segment, rows) -
			       offsetof(struct tally_segment, desc_off)) == 0 &&
	       have->program == want->program && have->object == want->object &&
	       memcmp(have + 1, want + 1, p->rows_off - sizeof(*want)) == 0 &&
	       have->rows >= p->rows && have->rows <= p->rows_max;
	tally_sys_munmap_(image, p->rows_off);
	return same;
}

/* The dead own no rows, and their gauges are over. Their counts stay. */
TALLY_SLOW_ void tally_inherit_(const struct tally_plan_ *p, char *base)
{
	struct tally_segment *seg = (struct tally_segment *)(void *)base;
	uint64_t *shared = (uint64_t *)(void *)(base + p->rows_off);

	for (uint32_t r = 1; r < seg->rows; r++)
		shared[(uint64_t)r * p->row_size / 8] = 0;
	for (uint32_t i = 0; i < p->n; i++)
		if (p->desc[i].type == TALLY_TYPE_GAUGE)
			shared[TALLY_ROW_HEADER / 8 + i] = 0;
	seg->starts++;
}

/*
 * Takes over dir/name if it is a dead segment of this very object and user; *ret_error is 0, or what
 * opening it said. Counting goes on from its values.
 */
TALLY_SLOW_ char *tally_adopt_(
	const struct tally_plan_ *p, int dir, const char *name, int *ret_error)
{
	struct tally_statx_ st;
	char *base = (char *)0;
	int fd = tally_sys_open_(dir, name,
		TALLY_O_RDWR_ | TALLY_O_NOFOLLOW_ | TALLY_O_NONBLOCK_ | TALLY_O_CLOEXEC_, 0);

	*ret_error = fd < 0 ? fd : 0;
	if (fd < 0)
		return base;
	/* locked first, asked then: who folds the file removes its name while he holds the lock */
	if (tally_lock_(fd) == 0 && tally_sys_statx_(fd, "", &st) == 0 &&
		(st.mode & TALLY_S_IFMT_) == TALLY_S_IFREG_ && st.nlink == 1 &&
		st.uid == (uint32_t)tally_sys_(SYS_geteuid, 0, 0, 0, 0, 0, 0) && st.size == p->size)
		base = tally_sys_mmap_(p->size, fd);
	if (base && !tally_same_(p, base)) {
		tally_sys_munmap_(base, p->size);
		base = (char *)0;
	}
	if (base)
		tally_inherit_(p, base);
	tally_sys_close_(fd);
	return base;
}

/* PROGRAM.UID.HASH.SLOT into out, which has room for 128 bytes. */
TALLY_SLOW_ void tally_file_name_(const struct tally_plan_ *p, uint64_t slot, char *out)
{
	uint64_t parts[3];
	uint32_t n = 0;

	parts[0] = (uint64_t)tally_sys_(SYS_geteuid, 0, 0, 0, 0, 0, 0);
	parts[1] = p->hash;
	parts[2] = slot;
	for (const char *s = p->program; *s && n < 60; s++) {
		int plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
			    (*s >= '0' && *s <= '9') || *s == '-';

		out[n++] = '_';
		if (plain)
			out[n - 1] = *s;
	}
	for (int i = 0; i < 3; i++) {
		char digits[20];
		uint32_t d = 0;
		uint64_t v = parts[i];
		uint64_t base = i == 0 ? 10 : 16;

		do
			digits[d++] = "0123456789abcdef"[v % base];
		while ((v /= base) > 0);
		out[n++] = '.';
		while (d > 0)
			out[n++] = digits[--d];
	}
	out[n] = '\0';
}

/* A mapped segment of this object, adopted or new; NULL if there is to be none. */
TALLY_SLOW_ char *tally_segment_(const struct tally_plan_ *p)
{
	const char *path = getauxval(TALLY_AT_SECURE_) ? (const char *)0 : getenv("TALLY_DIR");
	char name[128], *base = (char *)0;
	int error = 0, dir;

	dir = tally_sys_open_(TALLY_AT_FDCWD_, path && *path ? path : TALLY_DIR_DEFAULT_,
		TALLY_O_PATH_ | TALLY_O_DIRECTORY_ | TALLY_O_CLOEXEC_, 0);
	if (dir < 0)
		return base;
	for (uint64_t slot = 0; !base && slot <= TALLY_SLOTS_; slot++) {
		uint64_t number = slot;

		if (slot == TALLY_SLOTS_) /* all in use: a name that nobody looks for again */
			tally_sys_(SYS_getrandom, (long)&number, sizeof(number), 1, 0, 0, 0);
		tally_file_name_(p, number, name);
		base = tally_adopt_(p, dir, name, &error);
		if (base || error != -TALLY_ENOENT_)
			continue; /* ours, or somebody else's, who may have made it to be in our way */
		base = tally_create_(p, dir, name, &error);
		if (!base && error != -TALLY_EEXIST_)
			break;
	}
	tally_sys_close_(dir);
	return base;
}

#endif
