/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal of folds.
 *
 *   header, 44 bytes                        record, 12 + len bytes
 *    0  8  "TALLYFLD"                        0  4  len of the payload
 *    8  4  version (1)                       4  4  crc32 of the payload
 *   12  4  zero                              8  4  crc32 of bytes 0..7: len can be trusted, so that
 *   16 16  boot id                                 a torn end is not mistaken for damage
 *   32  8  since when these totals count, realtime ns
 *   40  4  crc32 of bytes 0..39                   12  n  payload
 *
 *   payload   u8 kind: 1 FOLD, 2 TOTAL, 3 BASE
 *             FOLD and BASE: u64 device, inode, birth time; 16 bytes id
 *             string program, varint user id, varint number of metrics
 *             per metric: strings name, unit, help; u8 type, u8 scale, varint value
 *
 * FOLD is appended when a segment is folded. A compacted journal begins with a TOTAL per program and a
 * BASE per segment whose file may still be there.
 */
#include "user/provider/fold.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "user/lib/diag.h"
#include "user/lib/util.h"

#define MAGIC         "TALLYFLD"
#define VERSION       1u
#define HEADER        44u
#define RECORD        12u
#define TEMP_NAME     FOLD_JOURNAL_NAME ".tmp"
#define ASIDE_NAME    FOLD_JOURNAL_NAME ".damaged"
#define COMPACT_BYTES (256u << 10)
#define JOURNAL_MAX   (256u << 20)

enum kind { KIND_FOLD = 1, KIND_TOTAL, KIND_BASE };

struct base {
	struct fold_id id;
	struct program *program;
	struct fold_value *values;
	size_t n;
};

struct fold {
	int dirfd, fd;
	uint8_t boot_id[16];
	uint64_t bytes, compacted; /* of the journal, now and after it was compacted */
	bool rewrite; /* it must not be appended to any more */
	struct programs *programs;
	struct base *bases;
	size_t nbases;
	struct buf scratch;
};

/* --- totals and bases ------------------------------------------------------------------------ */

static bool same_id(const struct fold_id *a, const struct fold_id *b)
{
	return a->ino == b->ino && a->dev == b->dev && a->btime_ns == b->btime_ns &&
	       !memcmp(a->id, b->id, sizeof(a->id));
}

static struct base *find_base(const struct fold *f, const struct fold_id *id)
{
	for (size_t i = f->nbases; i-- > 0;)
		if (same_id(&f->bases[i].id, id))
			return &f->bases[i];
	return NULL;
}

/* Values of one segment come in the same order each time: `at` is where to look first. */
static uint64_t base_value(const struct base *b, uint32_t metric, size_t at)
{
	if (at < b->n && b->values[at].metric == metric)
		return b->values[at].value;
	for (size_t i = 0; i < b->n; i++)
		if (b->values[i].metric == metric)
			return b->values[i].value;
	return 0;
}

/* The base of this segment, made if there is none, with room for n values. */
static struct base *reserve_base(struct fold *f, const struct fold_id *id, size_t n)
{
	struct base *b = find_base(f, id), *bases;
	struct fold_value *values;

	if (!b) {
		bases = reallocarray(f->bases, f->nbases + 1, sizeof(*bases));
		if (!bases)
			return NULL;
		f->bases = bases;
		b = &f->bases[f->nbases++];
		*b = (struct base){.id = *id};
	}
	values = reallocarray(b->values, n > b->n ? n : b->n + !b->n, sizeof(*values));
	if (!values)
		return NULL;
	b->values = values;
	return b;
}

static void set_base(struct base *b, struct program *p, const struct fold_value *values, size_t n)
{
	b->program = p;
	memcpy(b->values, values, n * sizeof(*values));
	b->n = n;
}

/* Room for the base is reserved, so this can't fail: totals and base move together. */
static void apply_fold(struct base *b, struct program *p, const struct fold_value *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t more = values[i].value - base_value(b, values[i].metric, i);

		p->folded[values[i].metric] += more;
		p->sums[values[i].metric] += more;
	}
	set_base(b, p, values, n);
}

const struct fold_value *fold_base(const struct fold *f, const struct fold_id *id, size_t *ret_n)
{
	const struct base *b = find_base(f, id);

	if (!b)
		return NULL;
	*ret_n = b->n;
	return b->values;
}

static void drop_base(struct fold *f, struct base *b)
{
	free(b->values);
	*b = f->bases[--f->nbases];
}

void fold_forget(struct fold *f, const struct fold_id *id)
{
	struct base *b = find_base(f, id);

	if (b)
		drop_base(f, b);
}

void fold_retain(struct fold *f, bool (*keep)(void *arg, const struct fold_id *id), void *arg)
{
	for (size_t i = f->nbases; i-- > 0;)
		if (!keep(arg, &f->bases[i].id))
			drop_base(f, &f->bases[i]);
}

/* --- encoding -------------------------------------------------------------------------------- */

static void put_id(struct buf *out, const struct fold_id *id)
{
	buf_put_u64(out, id->dev);
	buf_put_u64(out, id->ino);
	buf_put_u64(out, id->btime_ns);
	buf_put(out, id->id, sizeof(id->id));
}

static void put_record(struct buf *out, enum kind kind, const struct fold_id *id,
	const struct program *p, const struct fold_value *values, size_t n)
{
	size_t start = out->len;
	uint32_t head[3] = {0};

	buf_put(out, head, RECORD);
	buf_put_u8(out, (uint8_t)kind);
	if (id)
		put_id(out, id);
	buf_put_str(out, p->name);
	buf_put_varint(out, p->user->uid);
	buf_put_varint(out, n);
	for (size_t i = 0; i < n; i++) {
		const struct series *s = &p->group.schema.series[values[i].metric];

		buf_put_str(out, s->name);
		buf_put_str(out, s->unit);
		buf_put_str(out, s->help);
		buf_put_u8(out, s->type);
		buf_put_u8(out, (uint8_t)s->scale);
		buf_put_varint(out, values[i].value);
	}
	if (buf_error(out))
		return;
	head[0] = (uint32_t)(out->len - start - RECORD);
	head[1] = (uint32_t)crc32(0, out->data + start + RECORD, head[0]);
	head[2] = (uint32_t)crc32(0, (const Bytef *)head, 8);
	memcpy(out->data + start, head, RECORD);
}

static void put_header(struct buf *out, const struct fold *f)
{
	size_t start = out->len;

	buf_put(out, MAGIC, 8);
	buf_put_u32(out, VERSION);
	buf_put_u32(out, 0);
	buf_put(out, f->boot_id, sizeof(f->boot_id));
	buf_put_u64(out, f->programs->start_ns);
	if (!buf_error(out))
		buf_put_u32(out, (uint32_t)crc32(0, out->data + start, HEADER - 4));
}

static void put_total(struct buf *out, const struct program *p)
{
	size_t n = p->group.schema.n;
	struct fold_value *values = calloc(n ? n : 1, sizeof(*values));

	if (!values) {
		out->failed = true;
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		values[i] = (struct fold_value){i, p->folded[i]};
	put_record(out, KIND_TOTAL, NULL, p, values, n);
	free(values);
}

/* --- replay ---------------------------------------------------------------------------------- */

static bool get_text(struct rd *r, char *out, size_t size)
{
	size_t len;
	const char *s = rd_str(r, &len);

	if (r->failed || len >= size)
		return false;
	memcpy(out, s, len);
	out[len] = '\0';
	return true;
}

/* One metric of a record. 1: it is one of the program's; 0: the program does not take it. */
static int get_value(const struct fold *f, struct rd *r, struct program *p, struct fold_value *ret)
{
	char name[256], unit[256], help[1025];
	struct program_metric m = {name, unit, help};
	struct fold_value v;

	if (!get_text(r, name, sizeof(name)) || !get_text(r, unit, sizeof(unit)) ||
		!get_text(r, help, sizeof(help)))
		return -EBADMSG;
	m.type = rd_u8(r);
	m.scale = (int8_t)rd_u8(r);
	v.value = rd_varint(r);
	if (r->failed || (m.type != METRIC_COUNTER && m.type != METRIC_GAUGE))
		return -EBADMSG;
	if (program_find_metric(f->programs, p, &m, &v.metric))
		return 0;
	*ret = v;
	return 1;
}

static void apply_record(struct fold *f, enum kind kind, const struct fold_id *id,
	struct program *p, const struct fold_value *values, size_t n)
{
	struct base *b;

	if (kind == KIND_TOTAL) {
		for (size_t i = 0; i < n; i++)
			p->folded[values[i].metric] += values[i].value;
		return;
	}
	b = reserve_base(f, id, n);
	if (b && kind == KIND_FOLD)
		apply_fold(b, p, values, n);
	else if (b)
		set_base(b, p, values, n);
}

static int get_record(struct fold *f, const uint8_t *payload, size_t len)
{
	struct rd r = rd_init(payload, len);
	uint8_t kind = rd_u8(&r);
	struct fold_id id = {0};
	struct fold_value *values = NULL;
	struct program *p;
	const uint8_t *bytes;
	char name[256];
	uint64_t uid, n;
	size_t used = 0;
	int err = -EBADMSG, got = 0;

	if (kind != KIND_TOTAL) {
		id.dev = rd_u64(&r);
		id.ino = rd_u64(&r);
		id.btime_ns = rd_u64(&r);
		bytes = rd_bytes(&r, sizeof(id.id));
		if (bytes)
			memcpy(id.id, bytes, sizeof(id.id));
	}
	if (!get_text(&r, name, sizeof(name)))
		return -EBADMSG;
	uid = rd_varint(&r);
	n = rd_varint(&r);
	if (r.failed || n > rd_left(&r) || uid > UINT32_MAX || !kind || kind > KIND_BASE)
		return -EBADMSG;
	err = programs_find(f->programs, name, (uid_t)uid, &p);
	if (err)
		return err;
	values = calloc(n ? n : 1, sizeof(*values));
	err = values ? 0 : -ENOMEM;
	for (uint64_t i = 0; i < n && !err; i++) {
		got = get_value(f, &r, p, &values[used]);
		used += got > 0;
		err = got < 0 ? got : 0;
	}
	if (!err && rd_left(&r))
		err = -EBADMSG;
	if (!err)
		apply_record(f, kind, &id, p, values, used);
	free(values);
	return err;
}

/* Size of the record at p; 0: it is not complete; -EBADMSG: it is damaged. */
static ssize_t check_record(const uint8_t *p, size_t n)
{
	uint32_t head[3];

	if (n < RECORD)
		return 0;
	memcpy(head, p, RECORD);
	if (head[2] != (uint32_t)crc32(0, p, 8))
		return -EBADMSG;
	if (head[0] > n - RECORD)
		return 0;
	return head[1] == (uint32_t)crc32(0, p + RECORD, head[0]) ? (ssize_t)(RECORD + head[0])
								  : -EBADMSG;
}

/* Returns 0, or -EBADMSG if records are lost. Either way f->bytes is where the good ones end. */
static int replay(struct fold *f, const uint8_t *p, size_t n)
{
	size_t at = HEADER;
	ssize_t size = 0;
	int err = 0;

	while (at < n && !err) {
		size = check_record(p + at, n - at);
		if (size <= 0)
			break;
		err = get_record(f, p + at + RECORD, (size_t)size - RECORD);
		at += err ? 0 : (size_t)size;
	}
	f->bytes = at;
	if (err)
		return err;
	return size < 0 ? -EBADMSG : 0;
}

static bool header_valid(const struct buf *text)
{
	uint32_t crc, version;

	if (text->len < HEADER || memcmp(text->data, MAGIC, 8))
		return false;
	memcpy(&version, text->data + 8, 4);
	memcpy(&crc, text->data + HEADER - 4, 4);
	return crc == (uint32_t)crc32(0, text->data, HEADER - 4) && version == VERSION;
}

/* --- file ------------------------------------------------------------------------------------ */

static int write_temp(struct fold *f, const struct buf *text)
{
	int fd, err;

	unlinkat(f->dirfd, TEMP_NAME, 0);
	fd = openat(f->dirfd, TEMP_NAME, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = write_all(fd, text->data, text->len);
	if (!err && fsync(fd) < 0)
		err = -errno;
	if (!err && renameat(f->dirfd, TEMP_NAME, f->dirfd, FOLD_JOURNAL_NAME) < 0)
		err = -errno;
	if (err) {
		close(fd);
		unlinkat(f->dirfd, TEMP_NAME, 0);
		return err;
	}
	/* From here on the new file is the journal, whatever this says. */
	if (fsync(f->dirfd) < 0)
		diag_warning("the directory of %s can't be synced: %s", FOLD_JOURNAL_NAME,
			strerror(errno));
	return fd;
}

/* Replaces the journal by one with totals and bases only. */
static int rewrite_journal(struct fold *f)
{
	struct buf text = BUF_INIT;
	int fd, err;

	put_header(&text, f);
	for (size_t i = 0; i < f->programs->n; i++)
		put_total(&text, f->programs->list[i]);
	for (size_t i = 0; i < f->nbases; i++)
		put_record(&text, KIND_BASE, &f->bases[i].id, f->bases[i].program,
			f->bases[i].values, f->bases[i].n);
	err = buf_error(&text);
	fd = err ? err : write_temp(f, &text);
	if (fd >= 0) {
		if (f->fd >= 0)
			close(f->fd);
		f->fd = fd;
		f->bytes = f->compacted = text.len;
		f->rewrite = false;
	}
	buf_release(&text);
	return fd < 0 ? fd : 0;
}

int fold_compact(struct fold *f)
{
	bool grown = f->bytes > COMPACT_BYTES && f->bytes / 4 > f->compacted;

	if (!f->rewrite && !grown)
		return 0;
	return rewrite_journal(f);
}

/* The old journal's totals, if it is of this boot and readable. */
static void read_journal(struct fold *f, bool read_only)
{
	struct buf text = BUF_INIT;
	int err = read_file_at(f->dirfd, FOLD_JOURNAL_NAME, JOURNAL_MAX, &text);
	uint64_t start_ns;

	f->rewrite = true;
	if (err == -ENOENT)
		goto out;
	if (err || !header_valid(&text)) {
		diag_warning("%s is not readable (%s): totals of ended processes %s",
			FOLD_JOURNAL_NAME, err ? strerror(-err) : "damaged header",
			read_only ? "are not known" : "begin anew");
		if (!read_only)
			renameat(f->dirfd, FOLD_JOURNAL_NAME, f->dirfd, ASIDE_NAME);
		goto out;
	}
	if (memcmp(text.data + 16, f->boot_id, sizeof(f->boot_id)))
		goto out;
	memcpy(&start_ns, text.data + 32, 8);
	f->compacted = HEADER;
	err = replay(f, text.data, text.len);
	if (err) {
		/* start_ns stays the new one: readers see a reset, not a counter that went down. */
		diag_warning("%s is damaged at byte %llu (%s): totals begin anew with what stands "
			     "before",
			FOLD_JOURNAL_NAME, (unsigned long long)f->bytes, strerror(-err));
		goto out;
	}
	f->programs->start_ns = start_ns;
	f->rewrite = f->bytes < text.len;
out:
	buf_release(&text);
}

/* A disk that is full now may have room later: until then nothing can be folded, all else works. */
static void open_to_append(struct fold *f, const char *state_dir)
{
	int err = 0;

	if (!f->rewrite)
		f->fd = openat(f->dirfd, FOLD_JOURNAL_NAME, O_RDWR | O_APPEND | O_CLOEXEC);
	if (f->rewrite || f->fd < 0)
		err = rewrite_journal(f);
	if (!err)
		return;
	f->rewrite = true;
	diag_error("%s/%s can't be written: %s; ended processes are not folded until it can",
		state_dir, FOLD_JOURNAL_NAME, strerror(-err));
}

int fold_open(const char *state_dir, const uint8_t boot_id[16], bool read_only,
	struct programs *programs, struct fold **ret, struct errmsg *e)
{
	struct fold *f = calloc(1, sizeof(*f));
	int err = 0;

	if (!f)
		return -ENOMEM;
	f->fd = -1;
	f->programs = programs;
	memcpy(f->boot_id, boot_id, sizeof(f->boot_id));
	programs->start_ns = (uint64_t)clock_realtime_ns();
	f->dirfd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->dirfd < 0 && !read_only)
		err = err_set(e, -errno, "%s: %s", state_dir, strerror(errno));
	if (f->dirfd >= 0)
		read_journal(f, read_only);
	for (size_t i = 0; i < programs->n; i++)
		programs->list[i]->group.schema.start_ns = programs->start_ns;
	if (!err && !read_only)
		open_to_append(f, state_dir);
	if (err)
		fold_close(f);
	else
		*ret = f;
	return err;
}

void fold_close(struct fold *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->nbases; i++)
		free(f->bases[i].values);
	free(f->bases);
	buf_release(&f->scratch);
	if (f->fd >= 0)
		close(f->fd);
	if (f->dirfd >= 0)
		close(f->dirfd);
	free(f);
}

/* --- folding --------------------------------------------------------------------------------- */

static int append(struct fold *f, const struct buf *record)
{
	int err;

	if (f->rewrite || f->fd < 0)
		return -EBADF;
	err = write_all(f->fd, record->data, record->len);
	if (!err) {
		f->bytes += record->len;
		return 0;
	}
	/* Half a record must not stand before a whole one. */
	if (ftruncate(f->fd, (off_t)f->bytes) < 0)
		f->rewrite = true;
	return err;
}

static bool is_base(const struct base *b, const struct fold_value *values, size_t n)
{
	if (!b || b->n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (b->values[i].metric != values[i].metric ||
			b->values[i].value != values[i].value)
			return false;
	return true;
}

int fold_write(struct fold *f, const struct fold_id *id, struct program *p,
	const struct fold_value *values, size_t n)
{
	struct base *b = find_base(f, id);
	bool is_new = !b;
	int err;

	if (is_base(b, values, n))
		return 0;
	b = reserve_base(f, id, n);
	if (!b)
		return -ENOMEM;
	buf_reset(&f->scratch);
	put_record(&f->scratch, KIND_FOLD, id, p, values, n);
	err = buf_error(&f->scratch);
	if (!err)
		err = append(f, &f->scratch);
	if (!err)
		apply_fold(b, p, values, n);
	else if (is_new)
		drop_base(f, b);
	return err;
}

int fold_sync(struct fold *f)
{
	if (f->rewrite)
		return -EIO;
	if (fdatasync(f->fd) == 0)
		return 0;
	/* What the kernel could not write it forgets: only a new file can be trusted. */
	f->rewrite = true;
	return -errno;
}
