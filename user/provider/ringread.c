/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading the ring: scanning files, and cursors.
 *
 * Files are read in chunks with pread (an I/O error is a code, never a signal). A chunk may end in
 * the middle of a record: that one is read again with the next chunk, or with a larger one.
 */
#include "user/provider/ring_int.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "user/lib/diag.h"

#define CHUNK (64u << 10)

bool ring_parse_snapshot(const struct record *rec, struct ring_snapshot *ret)
{
	struct rd r = rd_init(rec->payload, rec->len);
	struct ring_snapshot s;

	if (rec->type != RECORD_SNAPSHOT)
		return false;
	s.incarnation = rd_u64(&r);
	s.seq = rd_varint(&r);
	rd_varint(&r); /* realtime */
	rd_varint(&r); /* monotonic */
	s.base = rd_u8(&r) & SNAPSHOT_BASE;
	if (r.failed)
		return false;
	*ret = s;
	return true;
}

static int open_to_read(struct ring *r, const struct ring_file *f)
{
	char name[RING_NAME_SIZE];

	if (r->fd >= 0 && f == &r->files[r->nfiles - 1])
		return r->fd;
	ring_file_name(f->number, name);
	return openat(r->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

int ring_read_bytes(struct ring *r, const struct ring_file *f, uint64_t offset, size_t max)
{
	size_t n = offset + max < f->bytes ? max : (size_t)(f->bytes - offset);
	int fd, err = 0;

	buf_reset(&r->scratch);
	if (!buf_reserve(&r->scratch, n))
		return -ENOMEM;
	fd = open_to_read(r, f);
	if (fd < 0)
		return -errno;
	while (r->scratch.len < n && !err) {
		ssize_t got = pread(fd, r->scratch.data + r->scratch.len, n - r->scratch.len,
			(off_t)(offset + r->scratch.len));

		if (got < 0 && errno != EINTR)
			err = -errno;
		else if (got == 0)
			err = -EBADMSG;
		else if (got > 0)
			r->scratch.len += (size_t)got;
	}
	if (fd != r->fd)
		close(fd);
	return err;
}

/*
 * The records of one chunk. Returns how many bytes of it are dealt with: 0 if even the first record
 * needs a larger chunk. *ret_code is fn's if it ended the walk; that record counts as not dealt with.
 */
static size_t scan_chunk(struct ring *r, uint32_t salt, uint64_t offset, bool to_the_end,
	ring_record_fn fn, void *arg, int *ret_code)
{
	struct recscan s = {.data = r->scratch.data, .len = r->scratch.len, .salt = salt};
	struct record rec;
	size_t done = 0;

	for (*ret_code = 0; s.pos < s.len; done = s.pos) {
		if (!to_the_end && record_parse(s.data + s.pos, s.len - s.pos, salt, &rec) == 0)
			break;
		if (recscan_next(&s, &rec) != 1) {
			/* Damage at the end of a chunk may well be a record that goes on. */
			if (s.damage_to == s.len && !to_the_end)
				break;
			r->stats.damage_bytes += s.damage_to - s.damage_from;
			continue;
		}
		*ret_code = fn(arg, &rec, offset + done);
		if (*ret_code)
			break;
	}
	return done;
}

int ring_each_record(
	struct ring *r, const struct ring_file *f, uint64_t offset, ring_record_fn fn, void *arg)
{
	size_t max = CHUNK, done;
	int code;

	for (; offset < f->bytes; offset += done) {
		code = ring_read_bytes(r, f, offset, max);
		if (code)
			return code;
		done = scan_chunk(
			r, f->salt, offset, offset + r->scratch.len >= f->bytes, fn, arg, &code);
		if (code)
			return code;
		max = done ? CHUNK : 4 * max;
	}
	return 0;
}

/* --- cursors --------------------------------------------------------------------------------- */

struct seek {
	uint64_t seq;
	uint64_t behind; /* offset behind the record of that snapshot */
};

static int find_snapshot(void *arg, const struct record *rec, uint64_t offset)
{
	struct seek *s = arg;
	struct ring_snapshot snap;

	if (!ring_parse_snapshot(rec, &snap) || snap.base || snap.seq != s->seq)
		return 0;
	s->behind = offset + RECORD_HEADER + rec->len;
	return 1;
}

/* The newest file whose snapshots may be those of the incarnation behind seq; NULL: none. */
static struct ring_file *file_with(struct ring *r, uint64_t incarnation, uint64_t seq)
{
	for (size_t i = r->nfiles; i-- > 0;)
		if (r->files[i].incarnation == incarnation && r->files[i].base_seq <= seq)
			return &r->files[i];
	return NULL;
}

int ring_seek(struct ring *r, uint64_t incarnation, uint64_t seq, struct ring_cursor *ret)
{
	struct ring_cursor c = {.incarnation = incarnation, .seq = seq, .offset = RECFILE_HEADER};
	struct ring_file *f = incarnation ? file_with(r, incarnation, seq) : NULL;
	struct seek s = {.seq = seq};
	int found;

	if (f && f->base_seq != seq) {
		found = ring_each_record(r, f, RECFILE_HEADER, find_snapshot, &s);
		if (found < 0)
			return found;
		if (found)
			c.offset = s.behind;
	}
	if (f)
		c.file = f->number;
	else if (r->nfiles)
		c.file = r->files[0].number;
	*ret = c;
	return 0;
}

/* What fell off behind the cursor's last snapshot is lost to it; that is where it stands then. */
static void count_fallen(const struct ring *r, struct ring_cursor *c)
{
	size_t i = 0;

	if (!c->incarnation || !r->nfell)
		return;
	while (i < r->nfell && r->fell[i].incarnation != c->incarnation)
		i++;
	if (i < r->nfell) {
		c->lost += r->fell[i].seq > c->seq ? r->fell[i].seq - c->seq : 0;
		c->seq = r->fell[i].seq > c->seq ? r->fell[i].seq : c->seq;
		i++;
	} else {
		i = 0;
	}
	for (; i < r->nfell; i++) {
		c->lost += r->fell[i].seq;
		c->incarnation = r->fell[i].incarnation;
		c->seq = r->fell[i].seq;
	}
}

/* The file the cursor stands in; a cursor at the end of a file moves to the next one. */
static struct ring_file *cursor_file(struct ring *r, struct ring_cursor *c)
{
	for (size_t i = 0; i < r->nfiles; i++) {
		struct ring_file *f = &r->files[i];

		if (f->number < c->file || (f->number == c->file && c->offset >= f->bytes))
			continue;
		if (f->number != c->file) {
			if (i == 0 && c->file)
				count_fallen(r, c);
			c->file = f->number;
			c->offset = RECFILE_HEADER;
		}
		return f;
	}
	return NULL;
}

/* A file can be followed by a reader that has its incarnation already, or is told it first. */
static bool can_follow(struct ring *r, const struct ring_cursor *c, const struct ring_file *f)
{
	struct record rec;

	if (c->offset != RECFILE_HEADER || (f->incarnation && f->incarnation == c->incarnation))
		return true;
	if (ring_read_bytes(r, f, RECFILE_HEADER, RECORD_HEADER + STREAM_START_MAX))
		return true; /* reading on will tell */
	return record_parse(r->scratch.data, r->scratch.len, f->salt, &rec) > 0 &&
	       rec.type == RECORD_INCARNATION;
}

struct copy {
	struct ring_cursor *c;
	struct buf *out;
	size_t max, start; /* of out */
	int records;
};

/* Snapshots that are missing between the last one and this are lost; repeats count for nothing. */
static void note_snapshot(struct ring_cursor *c, const struct ring_snapshot *s)
{
	if (c->incarnation == s->incarnation && s->seq <= c->seq)
		return;
	if (c->incarnation == s->incarnation)
		c->lost += s->seq - c->seq - 1;
	else if (c->incarnation)
		c->lost += s->seq - 1;
	c->incarnation = s->incarnation;
	c->seq = s->seq;
}

static int copy_record(void *arg, const struct record *rec, uint64_t offset)
{
	struct copy *copy = arg;
	size_t size = RECORD_HEADER + rec->len;
	struct ring_snapshot s;

	if (copy->records && copy->out->len - copy->start + size > copy->max)
		return 1;
	record_put(copy->out, 0, rec->type, rec->stream, rec->payload, rec->len);
	if (buf_error(copy->out))
		return -ENOMEM;
	copy->records++;
	copy->c->offset = offset + size;
	if (ring_parse_snapshot(rec, &s) && !s.base)
		note_snapshot(copy->c, &s);
	return 0;
}

static int skip_record(void *arg, const struct record *rec, uint64_t offset)
{
	struct ring_cursor *c = arg;
	struct ring_snapshot s;

	if (!ring_parse_snapshot(rec, &s) || s.base)
		return 0;
	if (s.incarnation != c->incarnation || s.seq > c->seq) {
		note_snapshot(c, &s);
		c->lost++;
	}
	return 0;
}

/* Without its first record the file says nothing: the next one begins with a whole state again. */
static void skip_file(struct ring *r, struct ring_cursor *c, const struct ring_file *f)
{
	uint64_t lost = c->lost;

	ring_each_record(r, f, RECFILE_HEADER, skip_record, c);
	c->offset = f->bytes;
	diag_warning("%s: file %llu of the ring is damaged at its start: %llu snapshots are lost",
		r->dir, (unsigned long long)f->number, (unsigned long long)(c->lost - lost));
}

int ring_read(struct ring *r, struct ring_cursor *c, size_t max, struct buf *out)
{
	struct copy copy = {.c = c, .out = out, .max = max, .start = out->len};
	struct ring_file *f;
	int code = 0;

	while (!code && !copy.records && (f = cursor_file(r, c))) {
		uint64_t number = f->number;

		if (!can_follow(r, c, f)) {
			skip_file(r, c, f);
			continue;
		}
		code = ring_each_record(r, f, c->offset, copy_record, &copy);
		if (code < 0 && code != -ENOMEM && !copy.records) {
			diag_warning("%s: file %llu of the ring can't be read further: %s", r->dir,
				(unsigned long long)number, strerror(-code));
			code = 0;
		}
		/* The rest of the file, if nothing more came of it, is damage. */
		if (!code && !copy.records)
			c->offset = f->bytes;
	}
	return code < 0 && !copy.records ? code : copy.records;
}
