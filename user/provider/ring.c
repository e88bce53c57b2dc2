/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring's files: opening, appending, keeping the limit.
 *
 *   oldest                                              newest
 *   ring-00000007.rec  ring-00000008.rec  ...  ring-0000000c.rec
 *   +----------------+ +----------------+      +------------------------+
 *   | header         | | header         |      | header                 |
 *   | INCARNATION    | | INCARNATION    |      | INCARNATION            |
 *   | SCHEMA...      | | SCHEMA...      |      | SCHEMA...              |
 *   | BASE (7041)    | | BASE (7555)    |      | BASE (9012)            |
 *   | SNAPSHOT 7042  | | SNAPSHOT 7556  |      | SNAPSHOT 9013          |
 *   | ...            | | ...            |      | ...        <- append   |
 *   +----------------+ +----------------+      +------------------------+
 *
 * Only the newest file is ever written, and only at its end. After a failed append it is cut back to
 * the last whole snapshot and left alone: the next file begins with the state anew.
 */
#include "user/provider/ring_int.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/lib/diag.h"
#include "user/lib/util.h"

#define ASIDE_NAME "damaged.rec"

void ring_file_name(uint64_t number, char out[RING_NAME_SIZE])
{
	snprintf(out, RING_NAME_SIZE, "ring-%08llu.rec", (unsigned long long)number);
}

/* The number in a file's name; 0 if it is not one of ours. */
static uint64_t parse_name(const char *name)
{
	char expected[RING_NAME_SIZE];
	unsigned long long number;

	if (sscanf(name, "ring-%llu.rec", &number) != 1)
		return 0;
	ring_file_name(number, expected);
	return strcmp(name, expected) ? 0 : number;
}

/* A file is at least half snapshots, however small the limit and large the state. */
static uint64_t file_limit(const struct ring *r, uint64_t start_bytes)
{
	uint64_t eighth = r->limit / 8;

	return 2 * start_bytes > eighth ? 2 * start_bytes : eighth;
}

/* --- the oldest go --------------------------------------------------------------------------- */

static int newest_snapshot(void *arg, const struct record *rec, uint64_t offset)
{
	struct ring_fell *newest = arg;
	struct ring_snapshot s;

	if (ring_parse_snapshot(rec, &s))
		*newest = (struct ring_fell){.incarnation = s.incarnation, .seq = s.seq};
	return 0;
}

/* Remembers which snapshots went, so that a cursor that still wanted them can count its loss. */
static void note_fallen(struct ring *r, const struct ring_file *f)
{
	struct ring_fell newest = {0};

	ring_each_record(r, f, RECFILE_HEADER, newest_snapshot, &newest);
	if (!newest.incarnation)
		return;
	if (r->nfell && r->fell[r->nfell - 1].incarnation == newest.incarnation)
		r->nfell--;
	if (r->nfell == RING_FELL_MAX)
		memmove(r->fell, r->fell + 1, --r->nfell * sizeof(r->fell[0]));
	r->fell[r->nfell++] = newest;
}

static void drop_oldest(struct ring *r)
{
	struct ring_file *f = &r->files[0];
	char name[RING_NAME_SIZE];

	note_fallen(r, f);
	ring_file_name(f->number, name);
	unlinkat(r->dirfd, name, 0);
	r->bytes -= f->bytes;
	r->stats.removed_files++;
	memmove(f, f + 1, --r->nfiles * sizeof(*f));
}

/* --- opening --------------------------------------------------------------------------------- */

static int find_base(void *arg, const struct record *rec, uint64_t offset)
{
	struct ring_file *f = arg;
	struct ring_snapshot s;

	if (!ring_parse_snapshot(rec, &s))
		return 0;
	f->incarnation = s.incarnation;
	f->base_seq = s.base ? s.seq : s.seq - 1;
	return 1;
}

static int find_end(void *arg, const struct record *rec, uint64_t offset)
{
	*(uint64_t *)arg = offset + RECORD_HEADER + rec->len;
	return 0;
}

static int check_header(struct ring *r, struct ring_file *f)
{
	uint64_t number;
	int err = ring_read_bytes(r, f, 0, RECFILE_HEADER);

	if (!err)
		err = recfile_check_header(r->scratch.data, r->scratch.len, RECFILE_RING, &number);
	if (!err && number != f->number)
		err = -EBADMSG;
	if (!err)
		f->salt = recfile_salt(r->scratch.data, r->scratch.len);
	return err;
}

/* A file without a valid beginning: one that was just being made goes, another is set aside. */
static void set_aside(struct ring *r, const struct ring_file *f, int err)
{
	char name[RING_NAME_SIZE];

	ring_file_name(f->number, name);
	if (f->bytes <= RECFILE_HEADER) {
		unlinkat(r->dirfd, name, 0);
		return;
	}
	if (err == -EPROTO) {
		diag_warning("%s/%s was written by a newer version: left alone, and not read",
			r->dir, name);
		return;
	}
	diag_warning("%s/%s is no ring file (%s): renamed to %s", r->dir, name, strerror(-err),
		ASIDE_NAME);
	renameat(r->dirfd, name, r->dirfd, ASIDE_NAME);
	r->stats.damage_bytes += f->bytes;
}

/* Cuts what a crash left unfinished behind the last whole record of the newest file. */
static void cut_tail(struct ring *r, struct ring_file *f)
{
	uint64_t end = RECFILE_HEADER, damage = r->stats.damage_bytes;
	char name[RING_NAME_SIZE];
	int fd, err;

	err = ring_each_record(r, f, RECFILE_HEADER, find_end, &end);
	r->stats.damage_bytes = damage;
	if (err || end == f->bytes)
		return;
	ring_file_name(f->number, name);
	fd = openat(r->dirfd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || ftruncate(fd, (off_t)end) < 0) {
		diag_warning("%s/%s: its torn end can't be cut: %s", r->dir, name, strerror(errno));
	} else {
		diag_notice("%s/%s: torn end of %llu bytes cut", r->dir, name,
			(unsigned long long)(f->bytes - end));
		r->stats.damage_bytes += f->bytes - end;
		f->bytes = end;
	}
	if (fd >= 0)
		close(fd);
}

static int add_file(struct ring *r, const struct ring_file *f)
{
	struct ring_file *files = reallocarray(r->files, r->nfiles + 1, sizeof(*files));

	if (!files)
		return -ENOMEM;
	r->files = files;
	r->files[r->nfiles++] = *f;
	r->bytes += f->bytes;
	if (f->number >= r->next_number)
		r->next_number = f->number + 1;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const struct ring_file *fa = a, *fb = b;

	return fa->number < fb->number ? -1 : fa->number > fb->number;
}

static int list_files(struct ring *r)
{
	DIR *d = dir_open(r->dirfd, ".");
	struct dirent *entry;
	int err = 0;

	if (!d)
		return -errno;
	while (!err && (entry = readdir(d))) {
		struct ring_file f = {.number = parse_name(entry->d_name)};
		struct stat st;

		if (!f.number || fstatat(r->dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			!S_ISREG(st.st_mode))
			continue;
		f.bytes = (uint64_t)st.st_size;
		err = add_file(r, &f);
	}
	closedir(d);
	if (r->nfiles)
		qsort(r->files, r->nfiles, sizeof(r->files[0]), by_number);
	return err;
}

/* Keeps the files that are ours, each with the state at its start. */
static void check_files(struct ring *r)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->nfiles; i++) {
		struct ring_file f = r->files[i];
		uint64_t damage = r->stats.damage_bytes;
		int err = check_header(r, &f);

		if (err) {
			r->bytes -= f.bytes;
			set_aside(r, &f, err);
			continue;
		}
		ring_each_record(r, &f, RECFILE_HEADER, find_base, &f);
		r->stats.damage_bytes = damage;
		r->files[kept++] = f;
	}
	r->nfiles = kept;
	if (kept) {
		r->bytes -= r->files[kept - 1].bytes;
		cut_tail(r, &r->files[kept - 1]);
		r->bytes += r->files[kept - 1].bytes;
	}
}

static int open_directory(struct ring *r, struct errmsg *e)
{
	int err = make_dirs(r->dir, 0700, e);

	if (err)
		return err;
	r->dirfd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dirfd < 0)
		return err_set(e, -errno, "%s: %s", r->dir, strerror(errno));
	if (flock(r->dirfd, LOCK_EX | LOCK_NB) < 0)
		return err_set(e, errno == EWOULDBLOCK ? -EBUSY : -errno, "%s: %s", r->dir,
			errno == EWOULDBLOCK ? "another provider uses this directory"
					     : strerror(errno));
	err = list_files(r);
	return err ? err_set(e, err, "%s: %s", r->dir, strerror(-err)) : 0;
}

int ring_open(const char *dir, uint64_t limit_bytes, struct ring **ret, struct errmsg *e)
{
	struct ring *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return err_set(e, -ENOMEM, "out of memory");
	r->dirfd = r->fd = -1;
	r->next_number = 1;
	r->limit = limit_bytes < RING_LIMIT_MIN ? RING_LIMIT_MIN : limit_bytes;
	r->dir = strdup(dir);
	err = r->dir ? open_directory(r, e) : err_set(e, -ENOMEM, "out of memory");
	if (!err && (err = recfile_draw_salt(&r->salt)))
		err_set(e, err, "no random numbers: %s", strerror(-err));
	if (err) {
		ring_close(r);
		return err;
	}
	check_files(r);
	*ret = r;
	return 0;
}

void ring_close(struct ring *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	if (r->dirfd >= 0)
		close(r->dirfd);
	buf_release(&r->scratch);
	free(r->files);
	free(r->dir);
	free(r);
}

/* --- appending ------------------------------------------------------------------------------- */

/* Header and state of a new file, in out. */
static int encode_start(struct ring *r, struct stream_writer *w, struct buf *out)
{
	struct buf state = BUF_INIT;
	int err = stream_writer_put_state(w, &state);

	recfile_put_header(out, RECFILE_RING, r->next_number, r->salt);
	if (!err)
		err = records_salt(out, r->salt, state.data, state.len);
	buf_release(&state);
	return err;
}

static int create_file(struct ring *r, const struct buf *start)
{
	char name[RING_NAME_SIZE];
	int fd, err;

	ring_file_name(r->next_number, name);
	fd = openat(r->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = write_all(fd, start->data, start->len);
	if (err) {
		close(fd);
		unlinkat(r->dirfd, name, 0);
		return err;
	}
	return fd;
}

static void keep_limit(struct ring *r, uint64_t more)
{
	while (r->nfiles && (r->bytes + more > r->limit || r->nfiles >= RING_FILES_MAX))
		drop_oldest(r);
}

static int begin_file(struct ring *r, struct stream_writer *w)
{
	struct ring_file f = {.number = r->next_number, .salt = r->salt};
	struct buf start = BUF_INIT;
	int fd, err = encode_start(r, w, &start);

	if (err)
		goto out;
	fd = create_file(r, &start);
	if (fd == -ENOSPC && r->nfiles > 1) { /* the new is worth more than the oldest */
		drop_oldest(r);
		fd = create_file(r, &start);
	}
	if (fd < 0) {
		err = fd;
		goto out;
	}
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	keep_limit(r, file_limit(r, start.len));
	r->start_bytes = start.len;
	f.bytes = start.len;
	f.incarnation = stream_writer_incarnation(w)->id;
	err = add_file(r, &f);
	if (err) {
		close(fd);
		goto out;
	}
	r->fd = fd;
	ring_each_record(
		r, &r->files[r->nfiles - 1], RECFILE_HEADER, find_base, &r->files[r->nfiles - 1]);
out:
	buf_release(&start);
	return err;
}

int ring_prepare(struct ring *r, struct stream_writer *w)
{
	int err;

	if (r->fd >= 0 && r->files[r->nfiles - 1].bytes < file_limit(r, r->start_bytes))
		return 0;
	err = begin_file(r, w);
	r->stats.append_errors += err != 0;
	return err;
}

/* The file is left as it was before the append, and not written to any more. */
static void abandon_file(struct ring *r, struct ring_file *f)
{
	if (ftruncate(r->fd, (off_t)f->bytes) < 0)
		diag_debug("%s: cut back: %s", r->dir, strerror(errno));
	close(r->fd);
	r->fd = -1;
}

int ring_append(struct ring *r, const struct buf *records)
{
	struct ring_file *f;
	int err;

	if (r->fd < 0)
		return -EBADF;
	f = &r->files[r->nfiles - 1];
	buf_reset(&r->scratch);
	err = records_salt(&r->scratch, r->salt, records->data, records->len);
	if (!err)
		err = write_all(r->fd, r->scratch.data, r->scratch.len);
	if (err) {
		r->stats.append_errors++;
		abandon_file(r, f);
		return err;
	}
	f->bytes += records->len;
	r->bytes += records->len;
	r->stats.appended++;
	while (r->bytes > r->limit && r->nfiles > 1)
		drop_oldest(r);
	return 0;
}

void ring_stats(const struct ring *r, struct ring_stats *ret)
{
	*ret = r->stats;
	ret->bytes = r->bytes;
	ret->files = r->nfiles;
	ret->limit_bytes = r->limit;
}
