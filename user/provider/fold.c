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
 *   payload   u8 kind, then
 *     4 PROGRAM  string name, varint user id, string cgroup: it has the next number, from 0 on
 *     5 METRIC   varint program; strings name, labels, unit, help; u8 type (enum tally_type), scale, flags,
 *                lo, hi, bits; varint cells: its series have the next numbers of the program, from 0 on
 *     6 FOLD     u64 device, inode, birth time; 16 bytes id; varint program, varint n, n x (varint
 *                series, as the difference to the one before, varint value); what is not there is 0
 *     7 TOTAL    the same without the first 40 bytes
 *     8 BASE     the same as FOLD
 *
 * FOLD is appended when a segment is folded, behind the definitions that it needs. A compacted journal
 * begins with all definitions, a TOTAL per program and a BASE per segment whose file may still be there.
 *
 * Version 1, which is read, had no definitions: 1 FOLD, 2 TOTAL, 3 BASE gave program, user id and for
 * each metric strings name, unit, help; u8 type (1 counter, 2 gauge), u8 scale, varint value.
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
#include "user/lib/segfile.h"
#include "user/lib/util.h"

#define MAGIC         "TALLYFLD"
#define VERSION       2u
#define HEADER        44u
#define RECORD        12u
#define TEMP_NAME     FOLD_JOURNAL_NAME ".tmp"
#define ASIDE_NAME    FOLD_JOURNAL_NAME ".damaged"
#define COMPACT_BYTES (256u << 10)
#define JOURNAL_MAX   (256u << 20)

enum kind {
	OLD_FOLD = 1,
	OLD_TOTAL,
	OLD_BASE,
	KIND_PROGRAM,
	KIND_METRIC,
	KIND_FOLD,
	KIND_TOTAL,
	KIND_BASE,
};

struct base {
	struct fold_id id;
	struct program *program;
	struct fold_value *values;
	size_t n;
	uint32_t next; /* index + 1 of the next one with the same hash, 0: none */
};

struct fold {
	int dirfd, fd;
	uint8_t boot_id[16];
	uint64_t bytes, compacted; /* of the journal, now and after it was compacted */
	bool rewrite; /* it must not be appended to any more */
	size_t journal_programs; /* that it has defined */
	struct programs *programs;
	struct base *bases;
	size_t nbases;
	uint32_t *heads; /* hash table of ids: index + 1 of the first base; a power of two */
	size_t nheads;
	struct buf scratch;
};

/* --- totals and bases ------------------------------------------------------------------------ */

static bool same_id(const struct fold_id *a, const struct fold_id *b)
{
	return a->ino == b->ino && a->dev == b->dev && a->btime_ns == b->btime_ns &&
	       !memcmp(a->id, b->id, sizeof(a->id));
}

static uint32_t *base_head(const struct fold *f, const struct fold_id *id)
{
	uint64_t hash = hash_index(HASH_START, &id->ino, sizeof(id->ino));

	return &f->heads[hash_index(hash, id->id, sizeof(id->id)) & (f->nheads - 1)];
}

static struct base *find_base(const struct fold *f, const struct fold_id *id)
{
	if (!f->nheads)
		return NULL;
	for (uint32_t i = *base_head(f, id); i; i = f->bases[i - 1].next)
		if (same_id(&f->bases[i - 1].id, id))
			return &f->bases[i - 1];
	return NULL;
}

static void link_base(struct fold *f, size_t i)
{
	uint32_t *head = base_head(f, &f->bases[i].id);

	f->bases[i].next = *head;
	*head = (uint32_t)i + 1;
}

/* Its id is in the table no more; its place in the array is what it was. */
static void unlink_base(struct fold *f, size_t i)
{
	uint32_t *at = base_head(f, &f->bases[i].id);

	while (*at != i + 1)
		at = &f->bases[*at - 1].next;
	*at = f->bases[i].next;
}

/* Another base at the end of the array, without values. */
static struct base *add_base(struct fold *f, const struct fold_id *id)
{
	struct base *bases = reallocarray(f->bases, f->nbases + 1, sizeof(*bases));

	if (!bases)
		return NULL;
	f->bases = bases;
	if (f->nbases >= f->nheads) {
		size_t n = f->nheads ? 2 * f->nheads : 64;
		uint32_t *heads = calloc(n, sizeof(*heads));

		if (!heads)
			return NULL;
		free(f->heads);
		f->heads = heads;
		f->nheads = n;
		for (size_t i = 0; i < f->nbases; i++)
			link_base(f, i);
	}
	bases[f->nbases] = (struct base){.id = *id};
	link_base(f, f->nbases);
	return &bases[f->nbases++];
}

static void drop_base(struct fold *f, struct base *b)
{
	size_t last = f->nbases - 1;

	free(b->values);
	unlink_base(f, (size_t)(b - f->bases));
	if (b != &f->bases[last]) {
		unlink_base(f, last);
		*b = f->bases[last];
		link_base(f, (size_t)(b - f->bases));
	}
	f->nbases = last;
}

/* Values of one segment come in the same order each time: `at` is where to look first. */
static uint64_t base_value(const struct base *b, uint32_t series, size_t at)
{
	if (at < b->n && b->values[at].series == series)
		return b->values[at].value;
	for (size_t i = 0; i < b->n; i++)
		if (b->values[i].series == series)
			return b->values[i].value;
	return 0;
}

/* The base of this segment, made if there is none, with room for n values. */
static struct base *reserve_base(struct fold *f, const struct fold_id *id, size_t n)
{
	struct base *b = find_base(f, id);
	bool is_new = !b;
	struct fold_value *values;

	if (is_new)
		b = add_base(f, id);
	if (!b)
		return NULL;
	values = reallocarray(b->values, n > b->n ? n : b->n + !b->n, sizeof(*values));
	if (!values) {
		if (is_new)
			drop_base(f, b);
		return NULL;
	}
	b->values = values;
	return b;
}

static void set_base(struct base *b, struct program *p, const struct fold_value *values, size_t n)
{
	b->program = p;
	memcpy(b->values, values, n * sizeof(*values));
	b->n = n;
}

/* Room for both is there, so this can't fail: totals and base move together. */
static void apply_fold(struct base *b, struct program *p, const struct fold_value *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p->folded[values[i].series] += values[i].value - base_value(b, values[i].series, i);
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

/* A record is begun, filled, and ended: then its lengths and checksums are known. */
static size_t begin_record(struct buf *out, enum kind kind)
{
	static const uint8_t head[RECORD];
	size_t start = out->len;

	buf_put(out, head, RECORD);
	buf_put_u8(out, (uint8_t)kind);
	return start;
}

static void end_record(struct buf *out, size_t start)
{
	uint32_t head[3];

	if (buf_error(out))
		return;
	head[0] = (uint32_t)(out->len - start - RECORD);
	head[1] = (uint32_t)crc32(0, out->data + start + RECORD, head[0]);
	head[2] = (uint32_t)crc32(0, (const Bytef *)head, 8);
	memcpy(out->data + start, head, RECORD);
}

static void put_metric(struct buf *out, uint32_t program, const struct program_metric *m)
{
	size_t start = begin_record(out, KIND_METRIC);

	buf_put_varint(out, program);
	buf_put_str(out, m->name);
	buf_put_str(out, m->labels);
	buf_put_str(out, m->unit);
	buf_put_str(out, m->help);
	buf_put_u8(out, m->type);
	buf_put_u8(out, (uint8_t)m->scale);
	buf_put_u8(out, m->flags);
	buf_put_u8(out, (uint8_t)m->lo);
	buf_put_u8(out, m->hi);
	buf_put_u8(out, m->bits);
	buf_put_varint(out, m->cells);
	end_record(out, start);
}

static void put_program(struct buf *out, const struct program *p)
{
	size_t start = begin_record(out, KIND_PROGRAM);

	buf_put_str(out, p->name);
	buf_put_varint(out, p->user->uid);
	buf_put_str(out, p->cgroup);
	end_record(out, start);
}

/* Programs have the numbers of our list: those before this one are defined too, if they are not yet. */
static void put_definitions(const struct fold *f, struct buf *out, const struct program *p,
	size_t programs, size_t metrics)
{
	for (size_t i = programs; i <= p->index; i++)
		put_program(out, f->programs->list[i]);
	for (size_t i = metrics; i < p->nmetrics; i++) {
		const struct program_metric m = program_metric(p, i);

		put_metric(out, p->index, &m);
	}
}

/* Values in the order of their series. */
static void put_values(struct buf *out, enum kind kind, const struct fold_id *id, uint32_t program,
	const struct fold_value *values, size_t n)
{
	size_t start = begin_record(out, kind);
	uint32_t last = 0;

	if (id)
		put_id(out, id);
	buf_put_varint(out, program);
	buf_put_varint(out, n);
	for (size_t i = 0; i < n; i++) {
		buf_put_varint(out, values[i].series - last);
		buf_put_varint(out, values[i].value);
		last = values[i].series;
	}
	end_record(out, start);
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
	size_t n = 0;
	struct fold_value *values = calloc(p->group.schema.n, sizeof(*values));

	if (!values) {
		out->failed = true;
		return;
	}
	for (uint32_t i = 0; i < p->group.schema.n; i++)
		if (p->folded && p->folded[i])
			values[n++] = (struct fold_value){i, p->folded[i]};
	put_values(out, KIND_TOTAL, NULL, p->index, values, n);
	free(values);
}

/* --- replay ---------------------------------------------------------------------------------- */

/*
 * A program as the journal numbers it. Its series are numbered as ours are, unless one was refused
 * that was not when the journal was written: then it is written anew.
 */
struct known_program {
	struct program *program;
	uint32_t *series; /* ours, or UINT32_MAX */
	size_t n;
};

struct replay {
	struct fold *f;
	struct known_program *programs;
	size_t n;
};

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

static bool get_id(struct rd *r, struct fold_id *ret)
{
	const uint8_t *bytes;

	ret->dev = rd_u64(r);
	ret->ino = rd_u64(r);
	ret->btime_ns = rd_u64(r);
	bytes = rd_bytes(r, sizeof(ret->id));
	if (bytes)
		memcpy(ret->id, bytes, sizeof(ret->id));
	return !r->failed;
}

static int apply_record(struct fold *f, enum kind kind, const struct fold_id *id, struct program *p,
	const struct fold_value *values, size_t n)
{
	struct base *b;

	if (program_make_folded(p))
		return -ENOMEM;
	if (kind == KIND_TOTAL) {
		for (size_t i = 0; i < n; i++)
			p->folded[values[i].series] += values[i].value;
		return 0;
	}
	b = reserve_base(f, id, n);
	if (!b)
		return -ENOMEM;
	if (kind == KIND_FOLD)
		apply_fold(b, p, values, n);
	else
		set_base(b, p, values, n);
	return 0;
}

static int get_program(struct replay *re, struct rd *r)
{
	struct fold *f = re->f;
	char name[256], cgroup[TALLY_SEGMENT_NAME_MAX + 1];
	struct known_program *grown;
	struct program *p;
	uint64_t uid;
	int err;

	if (!get_text(r, name, sizeof(name)))
		return -EBADMSG;
	uid = rd_varint(r);
	if (!get_text(r, cgroup, sizeof(cgroup)) || uid > UINT32_MAX)
		return -EBADMSG;
	err = programs_find(f->programs, name, (uid_t)uid, cgroup, &p);
	if (err)
		return err;
	grown = reallocarray(re->programs, re->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	re->programs = grown;
	grown[re->n++] = (struct known_program){.program = p};
	f->journal_programs = re->n;
	f->rewrite |= p->index + 1 != re->n; /* another one's limits have made it another program */
	return 0;
}

static struct known_program *get_number(struct replay *re, struct rd *r)
{
	uint64_t number = rd_varint(r);

	return r->failed || number >= re->n ? NULL : &re->programs[number];
}

static int get_metric(struct replay *re, struct rd *r)
{
	struct known_program *k = get_number(re, r);
	char name[256], labels[SCHEMA_LABELS_MAX + 1], unit[256], help[1025];
	struct program_metric m = {name, labels, unit, help};
	uint32_t first = UINT32_MAX, count, *grown;
	uint64_t cells;
	int err;

	if (!k || !get_text(r, name, sizeof(name)) || !get_text(r, labels, sizeof(labels)) ||
		!get_text(r, unit, sizeof(unit)) || !get_text(r, help, sizeof(help)))
		return -EBADMSG;
	m.type = rd_u8(r);
	m.scale = (int8_t)rd_u8(r);
	m.flags = rd_u8(r);
	m.lo = (int8_t)rd_u8(r);
	m.hi = rd_u8(r);
	m.bits = rd_u8(r);
	cells = rd_varint(r);
	m.cells = (uint32_t)cells;
	if (r->failed || m.type < TALLY_TYPE_COUNTER || m.type > TALLY_TYPE_INFO ||
		segfile_cells(m.type, m.lo, m.hi, m.bits) != (int64_t)cells)
		return -EBADMSG;
	err = program_find_metric(re->f->programs, k->program, &m, &first);
	if (err == -ENOMEM)
		return err;
	count = program_metric_series(&m);
	grown = reallocarray(k->series, k->n + count, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	k->series = grown;
	re->f->rewrite |= err || first != k->n;
	for (uint32_t i = 0; i < count; i++)
		k->series[k->n++] = err ? UINT32_MAX : first + i;
	k->program->journaled++;
	return 0;
}

static int by_series(const void *a, const void *b)
{
	const struct fold_value *x = a, *y = b;

	return (x->series > y->series) - (x->series < y->series);
}

/*
 * Values in ascending order of their series, each once, as they are written: in a journal they may stand
 * in another order, that of a segment of version 1 or of definitions that were not all taken. How many.
 */
static size_t sort_values(struct fold_value *values, size_t n)
{
	size_t used = 0;

	qsort(values, n, sizeof(*values), by_series);
	for (size_t i = 0; i < n; i++)
		if (!used || values[used - 1].series != values[i].series)
			values[used++] = values[i];
	return used;
}

/* Values of one segment or program, those of series that the program does not take left out. */
static int get_values(struct replay *re, enum kind kind, struct rd *r)
{
	struct fold_id id = {0};
	struct fold_value *values;
	struct known_program *k;
	uint64_t n, at = 0;
	size_t used = 0;
	int err = 0;

	if (kind != KIND_TOTAL && !get_id(r, &id))
		return -EBADMSG;
	k = get_number(re, r);
	n = rd_varint(r);
	if (!k || r->failed || n > rd_left(r))
		return -EBADMSG;
	values = calloc(n + 1, sizeof(*values));
	if (!values)
		return -ENOMEM;
	for (uint64_t i = 0; i < n && !err; i++) {
		uint64_t step = rd_varint(r), value = rd_varint(r);

		if (r->failed || step >= k->n || (i > 0 && !step) || (at += step) >= k->n)
			err = -EBADMSG;
		else if (k->series[at] != UINT32_MAX)
			values[used++] = (struct fold_value){k->series[at], value};
	}
	if (!err)
		err = apply_record(re->f, kind, &id, k->program, values, sort_values(values, used));
	free(values);
	return err;
}

/* --- replay of version 1 --- */

/* One metric of a record. 1: it is one of the program's; 0: the program does not take it. */
static int get_old_value(
	const struct fold *f, struct rd *r, struct program *p, struct fold_value *ret)
{
	char name[256], unit[256], help[1025];
	struct program_metric m = {name, "", unit, help};
	struct fold_value v;

	if (!get_text(r, name, sizeof(name)) || !get_text(r, unit, sizeof(unit)) ||
		!get_text(r, help, sizeof(help)))
		return -EBADMSG;
	m.type = rd_u8(r);
	m.scale = (int8_t)rd_u8(r);
	m.cells = 1;
	v.value = rd_varint(r);
	if (r->failed || (m.type != TALLY_TYPE_COUNTER && m.type != TALLY_TYPE_GAUGE))
		return -EBADMSG;
	if (program_find_metric(f->programs, p, &m, &v.series))
		return 0;
	*ret = v;
	return 1;
}

static int get_old_record(struct fold *f, enum kind kind, struct rd *r)
{
	struct fold_id id = {0};
	struct fold_value *values;
	struct program *p;
	char name[256];
	uint64_t uid, n;
	size_t used = 0;
	int err, got;

	if (kind != OLD_TOTAL && !get_id(r, &id))
		return -EBADMSG;
	if (!get_text(r, name, sizeof(name)))
		return -EBADMSG;
	uid = rd_varint(r);
	n = rd_varint(r);
	if (r->failed || n > rd_left(r) || uid > UINT32_MAX)
		return -EBADMSG;
	err = programs_find(f->programs, name, (uid_t)uid, "", &p);
	values = err ? NULL : calloc(n + 1, sizeof(*values));
	if (!err && !values)
		err = -ENOMEM;
	for (uint64_t i = 0; i < n && !err; i++) {
		got = get_old_value(f, r, p, &values[used]);
		used += got > 0;
		err = got < 0 ? got : 0;
	}
	if (!err)
		err = apply_record(f,
			kind == OLD_FOLD    ? KIND_FOLD
			: kind == OLD_TOTAL ? KIND_TOTAL
					    : KIND_BASE,
			&id, p, values, sort_values(values, used));
	free(values);
	return err;
}

static int get_record(struct replay *re, uint32_t version, const uint8_t *payload, size_t len)
{
	struct rd r = rd_init(payload, len);
	uint8_t kind = rd_u8(&r);
	int err = -EBADMSG;

	if (version == 1 && kind >= OLD_FOLD && kind <= OLD_BASE)
		err = get_old_record(re->f, kind, &r);
	else if (version != 1 && kind == KIND_PROGRAM)
		err = get_program(re, &r);
	else if (version != 1 && kind == KIND_METRIC)
		err = get_metric(re, &r);
	else if (version != 1 && kind >= KIND_FOLD && kind <= KIND_BASE)
		err = get_values(re, kind, &r);
	return !err && rd_left(&r) ? -EBADMSG : err;
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
static int replay(struct fold *f, uint32_t version, const uint8_t *p, size_t n)
{
	struct replay re = {.f = f};
	size_t at = HEADER;
	ssize_t size = 0;
	int err = 0;

	while (at < n && !err) {
		size = check_record(p + at, n - at);
		if (size <= 0)
			break;
		err = get_record(&re, version, p + at + RECORD, (size_t)size - RECORD);
		at += err ? 0 : (size_t)size;
	}
	f->bytes = at;
	for (size_t i = 0; i < re.n; i++)
		free(re.programs[i].series);
	free(re.programs);
	if (err)
		return err;
	return size < 0 ? -EBADMSG : 0;
}

static bool header_valid(const struct buf *text, uint32_t *ret_version)
{
	uint32_t crc, version;

	if (text->len < HEADER || memcmp(text->data, MAGIC, 8))
		return false;
	memcpy(&version, text->data + 8, 4);
	memcpy(&crc, text->data + HEADER - 4, 4);
	*ret_version = version;
	return crc == (uint32_t)crc32(0, text->data, HEADER - 4) && version >= 1 &&
	       version <= VERSION;
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
	for (size_t i = 0; i < f->programs->n; i++) {
		put_definitions(f, &text, f->programs->list[i], i, 0);
		put_total(&text, f->programs->list[i]);
	}
	for (size_t i = 0; i < f->nbases; i++)
		put_values(&text, KIND_BASE, &f->bases[i].id, f->bases[i].program->index,
			f->bases[i].values, f->bases[i].n);
	err = buf_error(&text);
	fd = err ? err : write_temp(f, &text);
	if (fd >= 0) {
		if (f->fd >= 0)
			close(f->fd);
		f->fd = fd;
		f->bytes = f->compacted = text.len;
		f->rewrite = false;
		f->journal_programs = f->programs->n;
		for (size_t i = 0; i < f->programs->n; i++)
			f->programs->list[i]->journaled = f->programs->list[i]->nmetrics;
	}
	buf_release(&text);
	return fd < 0 ? fd : 0;
}

int fold_compact(struct fold *f)
{
	bool grown = f->bytes > COMPACT_BYTES &&
		     (f->bytes / 4 > f->compacted ||
			     (f->bytes > JOURNAL_MAX / 4 * 3 && f->compacted <= JOURNAL_MAX / 2));

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
	uint32_t version;

	f->rewrite = true;
	if (err == -ENOENT)
		goto out;
	if (err || !header_valid(&text, &version)) {
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
	f->rewrite = version != VERSION;
	err = replay(f, version, text.data, text.len);
	if (err) {
		/* start_ns stays the new one: readers see a reset, not a counter that went down. */
		diag_warning("%s is damaged at byte %llu (%s): totals begin anew with what stands "
			     "before",
			FOLD_JOURNAL_NAME, (unsigned long long)f->bytes, strerror(-err));
		f->rewrite = true;
		goto out;
	}
	f->programs->start_ns = start_ns;
	f->rewrite |= f->bytes < text.len;
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
	free(f->heads);
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
		if (b->values[i].series != values[i].series ||
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
	b = program_make_folded(p) ? NULL : reserve_base(f, id, n);
	if (!b)
		return -ENOMEM;
	buf_reset(&f->scratch);
	put_definitions(f, &f->scratch, p, f->journal_programs, p->journaled);
	put_values(&f->scratch, KIND_FOLD, id, p->index, values, n);
	err = buf_error(&f->scratch);
	if (!err)
		err = append(f, &f->scratch);
	if (err) {
		if (is_new)
			drop_base(f, b);
		return err;
	}
	if (f->journal_programs <= p->index)
		f->journal_programs = p->index + 1;
	p->journaled = p->nmetrics;
	apply_fold(b, p, values, n);
	return 0;
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
