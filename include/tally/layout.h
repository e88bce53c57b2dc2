/* SPDX-License-Identifier: MIT */
/*
 * What a segment of this object looks like: the same for every run of the same build in the same
 * cgroup. From the descriptors that the linker has collected comes a plan (sizes, offsets, a hash), and
 * from the plan the constant part of the file.
 */
#ifndef TALLY_LAYOUT_H
#define TALLY_LAYOUT_H

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include <tally/histogram.h>
#include <tally/names.h>
#include <tally/segment.h>
#include <tally/system.h>

TALLY_BEGIN_

#ifndef TALLY_OBJECT
#define TALLY_OBJECT ""
#endif

enum tally_layout_limits_ {
	TALLY_ROWS_MAX_ = 1024, /* rows of an object; more threads share row 0 */
	TALLY_ROWS_BYTES_ = 32 << 20, /* ... or as many as fit into this */
	TALLY_ROW_BYTES_ = 1 << 20, /* readers take no longer row */
	TALLY_LABELS_MAX_ = 1023, /* bytes of a metric's label text */
	TALLY_TABLES_MAX_ = 65536, /* series of all tables, with their overflows */
};

/*
 * What a definition puts into the section tally2_desc of its object. Fields belong to the library.
 *
 * A plain counter also has a word in the section tally2_cells, its home, and the cells of a row begin as that
 * section does. So the way from home to cell is the same for all counters, a thread keeps it, and an
 * increment need not look into the descriptor:
 *
 *	tally2_cells:           | a | b | c |                     (counts here while there are no rows)
 *	row of a thread: header | a | b | c | histograms, tables, gauges
 *	                          ^---- home + tally_thread_.way
 */
struct tally_desc_ {
	/* this, unless the same definition stands in several files: of those the linker has taken another */
	struct tally_desc_ *self;
	uint64_t *home; /* NULL if it is no plain counter */
	const char *name, *help, *unit;
	const char *labels; /* pairs, as the segment has them */
	/* of a table: names of its labels; values that are known beforehand, or NULL */
	const char *const *names;
	const char *const *values;
	uint64_t *shared; /* its first cell in row 0; NULL before the object has its rows */
	uint64_t early, early_sum; /* counts here, atomically, while there are no rows to be had */
	uint64_t past, past_sum; /* its value when the object attached, from runs before this one */
	/* histogram: bucket 0 ends at low; that of value low + 1 + i is place(low + i) - bias, i < span */
	uint64_t low, span;
	uint32_t bias;
	uint32_t cell; /* byte offset of its first cell in a row */
	uint32_t cells; /* of one series */
	uint32_t slots; /* 0: no table; else how many series, with the overflow */
	uint32_t table; /* index of its first slot */
	uint8_t type; /* enum tally_type */
	int8_t scale;
	uint8_t flags; /* enum tally_desc_flags */
	uint8_t wrong; /* enum tally_wrong_: not in the segment */
	int8_t lo;
	uint8_t hi, bits;
	uint8_t nnames;
};

#ifdef __cplusplus
extern "C" {
#endif
/* The linker's bounds of the section of descriptors of this object. */
extern struct tally_desc_ __start_tally2_desc[] TALLY_ONE_;
extern struct tally_desc_ __stop_tally2_desc[] TALLY_ONE_;
extern uint64_t __start_tally2_cells[] TALLY_ONE_;
extern uint64_t __stop_tally2_cells[] TALLY_ONE_;
#ifdef __cplusplus
}
#endif

struct tally_plan_ {
	struct tally_desc_ *desc;
	uint32_t n;
	uint32_t shown; /* descriptors in the file: neither wrong nor there twice */
	const char *program;
	char cgroup[TALLY_SEGMENT_NAME_MAX + 1]; /* "" if unknown */
	uint32_t cgroup_ns, pid_ns;
	uint32_t strings_off, strings_len, tables_off, tables_len, rows_off, row_size;
	uint32_t rows, rows_max; /* at first, at most */
	uint64_t size, first_size; /* of the whole file, of the part that is allocated at first */
	uint64_t hash; /* of all that tells one segment from another, but the help texts */
};

/* The bucket of a value, from 0 on. */
TALLY_FN_ uint32_t tally_bucket_(const struct tally_desc_ *d, uint64_t v)
{
	uint64_t below = v - 1; /* so that an upper bound falls into the bucket it ends */

	if (__builtin_expect(below - d->low >= d->span, 0))
		return v > d->low ? d->cells - 2 : 0;
	return tally_histogram_place(below, d->bits) - d->bias;
}

/* --- the maker ------------------------------------------------------------------------------ */

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

/*
 * Where names change with every login or run, the cgroup above is meant: a user's slice for all in it,
 * and what holds a session- or run- scope for the scope.
 */
TALLY_SLOW_ size_t tally_steady_cgroup_(const char *path, size_t n)
{
	size_t at = 0, slash = 0;

	if (n > 17 && memcmp(path, "/user.slice/user-", 17) == 0) {
		for (at = 17; at < n && path[at] != '/'; at++)
			;
		return at;
	}
	for (at = 0; at < n; at++)
		if (path[at] == '/')
			slash = at;
	if ((n - slash > 5 && memcmp(path + slash, "/run-", 5) == 0) ||
		(n - slash > 9 && memcmp(path + slash, "/session-", 9) == 0))
		return slash;
	return n;
}

/* The path behind "0::" or ":name=systemd:" in a text of /proc/self/cgroup, if it is not the root. */
TALLY_SLOW_ int tally_find_cgroup_(const char *text, size_t n, const char *key, char *out)
{
	size_t k = strlen(key), end;

	for (size_t at = 0; at + k < n; at = end + 1) {
		const char *colon = (const char *)memchr(text + at, ':', n - at);

		for (end = at; end < n && text[end] != '\n'; end++)
			;
		if (end == n || !colon)
			return 0;
		at = (size_t)(colon - text);
		if (at + k >= end || memcmp(text + at, key, k) != 0)
			continue;
		at += k;
		end = at + tally_steady_cgroup_(text + at, end - at);
		if (end - at < 2 || end - at > TALLY_SEGMENT_NAME_MAX)
			return 0;
		memcpy(out, text + at, end - at);
		out[end - at] = '\0';
		return 1;
	}
	return 0;
}

/* The inode of a namespace of this process; 0 if unknown. */
TALLY_SLOW_ uint32_t tally_namespace_(const char *path)
{
	struct tally_statx_ st;

	return tally_sys_statx_(TALLY_AT_FDCWD_, path, &st) == 0 ? (uint32_t)st.ino : 0;
}

/* The cgroup by its own word; the provider, who sees from outside, may know it better. */
TALLY_SLOW_ void tally_read_cgroup_(struct tally_plan_ *p)
{
	char text[4096];
	size_t n = tally_sys_read_file_("/proc/self/cgroup", text, sizeof(text));

	if (!tally_find_cgroup_(text, n, "::", p->cgroup) &&
		!tally_find_cgroup_(text, n, ":name=systemd:", p->cgroup))
		p->cgroup[0] = '\0';
	p->cgroup_ns = tally_namespace_("/proc/self/ns/cgroup");
	p->pid_ns = tally_namespace_("/proc/self/ns/pid");
}

/* --- strings -------------------------------------------------------------------------------- */

/* Where strings are written, or only measured: to is NULL then. */
struct tally_strings_ {
	char *to;
	uint32_t at;
};

TALLY_FN_ void tally_put_bytes_(struct tally_strings_ *out, const char *s, size_t n)
{
	if (out->to)
		memcpy(out->to + out->at, s, n);
	out->at += (uint32_t)n;
}

/* The offset of the string. A long one is cut before a UTF-8 character. */
TALLY_FN_ uint32_t tally_put_string_(struct tally_strings_ *out, const char *s)
{
	uint32_t here = out->at;
	size_t n = strlen(s);

	if (n == 0)
		return 0;
	if (n > TALLY_SEGMENT_NAME_MAX)
		for (n = TALLY_SEGMENT_NAME_MAX; n > 0 && (s[n] & 0xc0) == 0x80; n--)
			;
	tally_put_bytes_(out, s, n);
	tally_put_bytes_(out, "", 1);
	return here;
}

TALLY_FN_ uint32_t tally_put_labels_(struct tally_strings_ *out, const struct tally_desc_ *d)
{
	uint32_t here = out->at;

	if (!*d->labels && !d->slots)
		return 0;
	tally_put_bytes_(out, d->labels, strlen(d->labels));
	for (uint32_t i = 0; d->slots && i < d->nnames; i++) {
		tally_put_bytes_(out, d->names[i], strlen(d->names[i]));
		tally_put_bytes_(out, TALLY_LABEL_END, 1);
	}
	tally_put_bytes_(out, "", 1);
	return here;
}

/*
 * Writes descriptors and strings, or measures the strings if base is NULL; returns how long they are.
 */
TALLY_MANY_ uint32_t tally_put_all_(const struct tally_plan_ *p, char *base)
{
	struct tally_segment *seg = (struct tally_segment *)(void *)base;
	struct tally_segment_desc none, *to = &none;
	struct tally_strings_ out = {base ? base + p->strings_off : (char *)0, 1};
	uint32_t program = tally_put_string_(&out, p->program);
	uint32_t object = tally_put_string_(&out, TALLY_OBJECT);
	uint32_t cgroup = tally_put_string_(&out, p->cgroup);

	if (base) {
		to = (struct tally_segment_desc *)(void *)(seg + 1);
		seg->program = program;
		seg->object = object;
		seg->cgroup = cgroup;
	}
	for (uint32_t i = 0; i < p->n; i++) {
		const struct tally_desc_ *d = &p->desc[i];

		if (d->wrong || d->self != d)
			continue;
		memset(to, 0, sizeof(*to));
		to->name = tally_put_string_(&out, d->name);
		to->unit = tally_put_string_(&out, d->unit);
		to->help = tally_put_string_(&out, d->help);
		to->labels = tally_put_labels_(&out, d);
		to->type = d->type;
		to->scale = d->scale;
		to->flags = d->flags;
		to->cell = d->cell;
		to->cells = d->cells;
		to->lo = d->lo;
		to->hi = d->hi;
		to->bits = d->bits;
		to->table = d->table;
		to->slots = d->slots;
		if (base)
			to++;
	}
	return out.at;
}

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

TALLY_FN_ uint64_t tally_hash_number_(uint64_t h, uint64_t n)
{
	return (h ^ n) * 0x100000001b3u;
}

TALLY_MANY_ uint64_t tally_hash_desc_(uint64_t h, const struct tally_desc_ *d)
{
	h = tally_hash_(tally_hash_(tally_hash_(h, d->name), d->unit), d->labels);
	h = tally_hash_number_(h, d->type | (uint64_t)(unsigned char)d->scale << 8 |
					  (uint64_t)d->flags << 16 | (uint64_t)d->bits << 24 |
					  (uint64_t)d->hi << 32 |
					  (uint64_t)(unsigned char)d->lo << 40);
	h = tally_hash_number_(h, d->slots);
	for (uint32_t i = 0; d->slots && i < d->nnames; i++)
		h = tally_hash_(h, d->names[i]);
	for (uint32_t i = 0; d->values && i + 1 < d->slots; i++)
		h = tally_hash_(h, d->values[i]);
	return h;
}

/* Does a label's name stand in these pairs, or among the names of the table from the i-th on? */
TALLY_SLOW_ int tally_label_again_(
	const struct tally_desc_ *d, const char *pairs, uint32_t i, const char *name, size_t n)
{
	for (; *pairs; pairs += strcspn(pairs, TALLY_LABEL_END) + 1)
		if (strcspn(pairs, TALLY_LABEL_VALUE) == n && memcmp(pairs, name, n) == 0)
			return 1;
	for (; d->slots && i < d->nnames; i++)
		if (strlen(d->names[i]) == n && memcmp(d->names[i], name, n) == 0)
			return 1;
	return 0;
}

/* The labels of a metric; the compiler has not looked at them. */
TALLY_MANY_ int tally_labels_wrong_(const struct tally_desc_ *d)
{
	size_t all = strlen(d->labels), n;

	for (const char *s = d->labels; *s; s += n + 1) {
		n = strcspn(s, TALLY_LABEL_VALUE);
		if (!s[n] || !tally_label_name_good_(s, n))
			return TALLY_BAD_LABEL_;
		s += n + 1;
		for (n = 0; (unsigned char)s[n] >= 0x20 && s[n] != 0x7f; n++)
			;
		if (s[n] != TALLY_LABEL_END[0])
			return TALLY_BAD_LABEL_;
	}
	for (uint32_t i = 0; d->slots && i < d->nnames; i++) {
		n = strlen(d->names[i]);
		if (!tally_label_name_good_(d->names[i], n))
			return TALLY_BAD_LABEL_;
		all += n + 1;
		if (tally_label_again_(d, d->labels, i + 1, d->names[i], n))
			return TALLY_BAD_LABEL_;
	}
	/* all pairs are whole, as was seen above */
	for (const char *s = d->labels; *s;) {
		const char *next = s + strcspn(s, TALLY_LABEL_END) + 1;

		if (tally_label_again_(d, next, d->nnames, s, strcspn(s, TALLY_LABEL_VALUE)))
			return TALLY_BAD_LABEL_;
		s = next;
	}
	for (uint32_t i = 0; d->values && i + 1 < d->slots; i++)
		if (strlen(d->values[i]) >= TALLY_SLOT_TEXT)
			return TALLY_LONG_LABEL_;
	return all > TALLY_LABELS_MAX_ ? TALLY_LONG_LABEL_ : TALLY_GOOD_;
}

TALLY_MANY_ int tally_desc_wrong_(const struct tally_desc_ *d)
{
	int wrong = d->wrong;

	if (wrong == TALLY_UNCHECKED_)
		wrong = tally_name_wrong_(d->name, d->unit, d->type);
	return wrong ? wrong : tally_labels_wrong_(d);
}

/* The one message that tally ever writes: a mistake of who wrote the program. */
TALLY_SLOW_ void tally_complain_(
	const struct tally_plan_ *p, const struct tally_desc_ *d, uint32_t more)
{
	static const char *const reasons[] = {"",
		"that is not a name of OpenMetrics ([a-zA-Z_:][a-zA-Z0-9_:]*)",
		"names that begin with tally_ are tally's own",
		"_total, _info and _bucket are added where a metric is shown",
		"the unit must be the end of the name, after a _",
		"a label is not [a-zA-Z_][a-zA-Z0-9_]*, or twice, __..., le, program, user, cgroup",
		"its labels are too long",
		"too many series in tables, or over 1 MiB of counters for a thread: no segment"};
	const char *const parts[] = {"tally: ", p->program, ": metric \"", d->name,
		"\" is left out: ", reasons[d->wrong], more ? " (and there are more)\n" : "\n"};
	char text[640];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		size_t len = strlen(parts[i]), most = i == 1 || i == 3 ? 160 : 200;

		len = len < most ? len : most;
		memcpy(text + n, parts[i], len);
		n += len;
	}
	tally_sys_(SYS_write, 2, (long)text, (long)n, 0, 0, 0);
}

/*
 * Gives all descriptors their places; a wrong one counts for its process alone. -1 if a row would be
 * longer than readers take: then the object gets no segment.
 */
TALLY_MANY_ int tally_place_(struct tally_plan_ *p)
{
	const struct tally_desc_ *first = (const struct tally_desc_ *)0;
	uint64_t home = (uint64_t)((char *)__stop_tally2_cells - (char *)__start_tally2_cells);
	uint64_t cell = TALLY_ROW_HEADER + home, slots = 0;
	uint32_t wrong = 0;

	p->shown = 0;
	for (uint32_t i = 0; i < p->n; i++) {
		struct tally_desc_ *d = &p->desc[i];

		if (d->self != d)
			continue;
		p->shown++;
		d->wrong = (uint8_t)tally_desc_wrong_(d);
		d->cell = (uint32_t)cell;
		d->table = (uint32_t)slots;
		if (d->home)
			d->cell = (uint32_t)(TALLY_ROW_HEADER +
					     ((char *)d->home - (char *)__start_tally2_cells));
		else
			cell += 8 * (uint64_t)d->cells * (d->slots ? d->slots : 1);
		slots += d->slots;
		if (cell > TALLY_ROW_BYTES_ || slots > TALLY_TABLES_MAX_) {
			d->wrong = TALLY_TOO_MUCH_;
			tally_complain_(p, d, 0);
			return -1;
		}
		if (d->wrong) {
			first = first ? first : d;
			wrong++;
		}
		p->hash = tally_hash_desc_(p->hash, d);
	}
	if (first)
		tally_complain_(p, first, wrong - 1);
	p->shown -= wrong;
	p->row_size = (uint32_t)tally_round_(cell + (cell == TALLY_ROW_HEADER), TALLY_ROW_ALIGN);
	p->tables_len = (uint32_t)(slots * sizeof(struct tally_segment_slot));
	return 0;
}

/* 0, or -1 if there can be no segment. */
TALLY_SLOW_ int tally_make_plan_(struct tally_plan_ *p)
{
	uint32_t most;

	p->desc = __start_tally2_desc;
	p->n = (uint32_t)(__stop_tally2_desc - __start_tally2_desc);
	p->program = tally_program_();
	tally_read_cgroup_(p);
	p->hash = tally_hash_(tally_hash_(0xcbf29ce484222325u, TALLY_OBJECT), p->cgroup);
	p->hash = tally_hash_number_(p->hash, p->cgroup_ns);
	if (tally_place_(p) < 0)
		return -1;
	p->strings_off = (uint32_t)(sizeof(struct tally_segment) +
				    p->shown * sizeof(struct tally_segment_desc));
	p->strings_len = tally_put_all_(p, (char *)0);
	p->tables_off = (uint32_t)tally_round_(p->strings_off + p->strings_len, TALLY_ROW_ALIGN);
	p->rows_off = (uint32_t)tally_round_(p->tables_off + p->tables_len, TALLY_ROW_ALIGN);
	most = TALLY_ROWS_BYTES_ / p->row_size;
	p->rows_max = most > TALLY_ROWS_MAX_ ? (uint32_t)TALLY_ROWS_MAX_ : most < 16 ? 16 : most;
	p->first_size = tally_round_(p->rows_off + 2 * (uint64_t)p->row_size, 4096);
	p->rows = (uint32_t)((p->first_size - p->rows_off) / p->row_size);
	if (p->rows > p->rows_max)
		p->rows = p->rows_max;
	p->size = tally_round_(p->rows_off + (uint64_t)p->rows_max * p->row_size, 4096);
	return 0;
}

/* --- the file's constant part --------------------------------------------------------------- */

/* The values that are known beforehand: their series, and the overflow's, are there from the start. */
TALLY_SLOW_ void tally_fill_table_(const struct tally_desc_ *d, struct tally_segment_slot *slot)
{
	if (d->wrong || !d->values)
		return;
	for (uint32_t i = 0; i + 1 < d->slots; i++, slot++) {
		memcpy(slot->text, d->values[i], strlen(d->values[i]) + 1);
		slot->state = TALLY_SLOT_READY;
	}
	slot->state = TALLY_SLOT_READY;
}

/* Writes all that is constant into zeroed memory of at least rows_off bytes; not the tables. */
TALLY_SLOW_ void tally_image_(const struct tally_plan_ *p, char *base)
{
	struct tally_segment *seg = (struct tally_segment *)(void *)base;

	memcpy(seg->magic, TALLY_SEGMENT_MAGIC, sizeof(seg->magic));
	seg->version = TALLY_SEGMENT_VERSION;
	seg->header_size = (uint32_t)sizeof(*seg);
	seg->desc_off = (uint32_t)sizeof(*seg);
	seg->desc_size = (uint32_t)sizeof(struct tally_segment_desc);
	seg->ndesc = p->shown;
	seg->strings_off = p->strings_off;
	seg->strings_len = p->strings_len;
	seg->tables_off = p->tables_off;
	seg->tables_len = p->tables_len;
	seg->rows_off = p->rows_off;
	seg->row_size = p->row_size;
	seg->rows_max = p->rows_max;
	seg->cgroup_ns = p->cgroup_ns;
	tally_put_all_(p, base);
}

/* Is the file that is mapped at base what this object would make? */
TALLY_SLOW_ int tally_same_(const struct tally_plan_ *p, const char *base)
{
	const struct tally_segment *have = (const struct tally_segment *)(const void *)base, *want;
	char *image = tally_sys_mmap_(p->tables_off, -1);
	int same;

	if (!image)
		return 0;
	tally_image_(p, image);
	want = (const struct tally_segment *)(const void *)image;
	same = memcmp(have, want, offsetof(struct tally_segment, id)) == 0 &&
	       memcmp(&have->desc_off, &want->desc_off,
		       offsetof(struct tally_segment, rows) -
			       offsetof(struct tally_segment, desc_off)) == 0 &&
	       memcmp(&have->program, &want->program,
		       offsetof(struct tally_segment, inserts) -
			       offsetof(struct tally_segment, program)) == 0 &&
	       have->tables_off == want->tables_off && have->tables_len == want->tables_len &&
	       memcmp(have + 1, want + 1, p->tables_off - sizeof(*want)) == 0 &&
	       have->rows >= p->rows && have->rows <= p->rows_max;
	tally_sys_munmap_(image, p->tables_off);
	return same;
}

TALLY_END_

#endif
