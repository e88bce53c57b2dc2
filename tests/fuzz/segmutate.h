/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mutations of segment files, for the fuzz tests. A mutator knows the fields of the format from two
 * tables: a new field of include/tally/segment.h is one line there.
 */
#ifndef TALLY_TESTS_FUZZ_SEGMUTATE_H
#define TALLY_TESTS_FUZZ_SEGMUTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "include/tally/segment.h"
#include "tests/lib/testrand.h"

/* A file in memory. More than size bytes are allocated, so that it can grow a little. */
struct image {
	uint8_t *bytes;
	size_t size, room;
};

#define IMAGE_SLACK 4096u

static inline void image_copy(struct image *to, const struct image *from)
{
	*to = (struct image){
		malloc(from->size + IMAGE_SLACK), from->size, from->size + IMAGE_SLACK};
	if (!to->bytes)
		abort();
	memcpy(to->bytes, from->bytes, from->size);
	memset(to->bytes + to->size, 0, IMAGE_SLACK);
}

static inline void image_release(struct image *m)
{
	free(m->bytes);
	*m = (struct image){0};
}

/* --- fields ---------------------------------------------------------------------------------- */

struct field {
	const char *name;
	uint32_t offset, size;
};
#define FIELD(type, member)                                                                \
	{                                                                                  \
#member, offsetof(struct type, member), sizeof(((struct type *)0)->member) \
	}

static const struct field header_fields[] = {
	FIELD(tally_segment, magic),
	FIELD(tally_segment, version),
	FIELD(tally_segment, header_size),
	FIELD(tally_segment, id),
	FIELD(tally_segment, birth_ns),
	FIELD(tally_segment, desc_off),
	FIELD(tally_segment, ndesc),
	FIELD(tally_segment, strings_off),
	FIELD(tally_segment, strings_len),
	FIELD(tally_segment, rows_off),
	FIELD(tally_segment, row_size),
	FIELD(tally_segment, rows_max),
	FIELD(tally_segment, rows),
	FIELD(tally_segment, generation),
	FIELD(tally_segment, starts),
	FIELD(tally_segment, program),
	FIELD(tally_segment, object),
	FIELD(tally_segment, desc_size),
	FIELD(tally_segment, cgroup),
	FIELD(tally_segment, cgroup_ns),
	FIELD(tally_segment, inserts),
	FIELD(tally_segment, pid),
	FIELD(tally_segment, pid_ns),
	FIELD(tally_segment, start_ticks),
	FIELD(tally_segment, tables_off),
	FIELD(tally_segment, tables_len),
	FIELD(tally_segment, reserved),
};

static const struct field desc_fields[] = {
	FIELD(tally_segment_desc, name),
	FIELD(tally_segment_desc, unit),
	FIELD(tally_segment_desc, help),
	FIELD(tally_segment_desc, type),
	FIELD(tally_segment_desc, scale),
	FIELD(tally_segment_desc, flags),
	FIELD(tally_segment_desc, cell),
	FIELD(tally_segment_desc, cells),
	FIELD(tally_segment_desc, labels),
	FIELD(tally_segment_desc, lo),
	FIELD(tally_segment_desc, hi),
	FIELD(tally_segment_desc, bits),
	FIELD(tally_segment_desc, table),
	FIELD(tally_segment_desc, slots),
	FIELD(tally_segment_desc, reserved1),
};

static const struct field slot_fields[] = {
	FIELD(tally_segment_slot, state),
	FIELD(tally_segment_slot, hash),
	FIELD(tally_segment_slot, text),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Numbers at which checks turn: limits of segfile.h, sizes of the format, ends of integer types. */
static const uint64_t edges[] = {0, 1, 2, 3, 4, 7, 8, 9, 24, 31, 32, 33, 40, 56, 63, 64, 65, 96,
	127, 128, 129, 192, 255, 256, 257, 511, 512, 1000, 1023, 1024, 1025, 2047, 2048, 4095, 4096,
	4097, 32767, 32768, 65535, 65536, 65537, 1u << 20, (1u << 20) + 64, 8u << 20,
	(8u << 20) + 1, 16u << 20, 64u << 20, (64u << 20) + 64, 0x7fffffff, 0x80000000,
	UINT32_MAX / 64 * 64, UINT32_MAX - 7, UINT32_MAX - 1, UINT32_MAX, 1ull << 32, INT64_MAX,
	1ull << 63, UINT64_MAX};

/* Strings that say more than they should. */
static const char *const words[] = {"", "\n", "a\tb", "\x1b[2J", "\xff", "\xc0\x80", "\xed\xa0\x80",
	"\xf4\x90\x80\x80", "\xc2\x9b", "\xe2\x82", "\"", "\\", "{}", "a,b", "le", "..",
	"../../etc", "tallyd_polls", "tally_segments", "%s%n", "_total", "requests_total",
	TALLY_LABEL_VALUE, TALLY_LABEL_END, "user" TALLY_LABEL_VALUE "root" TALLY_LABEL_END,
	"x" TALLY_LABEL_END, "0", "-1"};

static inline uint64_t field_get(const uint8_t *at, uint32_t size)
{
	uint64_t v = 0;

	memcpy(&v, at, size < 8 ? size : 8);
	return v;
}

static inline void field_set(uint8_t *at, uint32_t size, uint64_t value)
{
	/* arrays: one of their elements, wherever it starts */
	uint32_t n = size > 8 ? 8 : size,
		 shift = size > n ? (uint32_t)test_rand_below(size - n) : 0;

	memcpy(at + shift, &value, n);
}

/* --- where things are, as far as the file's own numbers can be trusted --------------------------- */

static inline struct tally_segment image_header(const struct image *m)
{
	struct tally_segment h = {0};

	memcpy(&h, m->bytes, m->size < sizeof(h) ? m->size : sizeof(h));
	return h;
}

#define DESC_V1 32u /* bytes of a descriptor of version 1 */

/* Offset of a descriptor that lies in the file, or 0. */
static inline size_t image_desc(const struct image *m, uint32_t i)
{
	struct tally_segment h = image_header(m);
	uint32_t size = h.version == 1 ? DESC_V1 : (uint32_t)sizeof(struct tally_segment_desc);
	uint64_t at = h.desc_off + (uint64_t)i * size;

	return i < h.ndesc && at + sizeof(struct tally_segment_desc) <= m->size ? at : 0;
}

/* Any descriptor of the first 64, more often an early one; 0 if there is none. */
static inline size_t image_any_desc(const struct image *m)
{
	uint32_t n = image_header(m).ndesc;

	if (n > 64)
		n = 64;
	return n ? image_desc(m, (uint32_t)test_rand_below(1 + test_rand_below(n))) : 0;
}

/* --- mutations: each changes the image a little --------------------------------------------------- */

static inline uint64_t any_value(const struct image *m)
{
	struct tally_segment h = image_header(m);
	const struct field *f = &header_fields[test_rand_below(COUNT(header_fields))];

	switch (test_rand_below(5)) {
	case 0: /* another field's, or next to it */
		return field_get((const uint8_t *)&h + f->offset, f->size) + test_rand_below(3) - 1;
	case 1: /* the file's size, or near it */
		return m->size + 8 * test_rand_below(5) - 16;
	case 2:
		return test_rand() >> test_rand_below(64);
	default:
		return edges[test_rand_below(COUNT(edges))];
	}
}

static inline void mutate_header_field(struct image *m)
{
	const struct field *f = &header_fields[test_rand_below(COUNT(header_fields))];

	if (m->size >= f->offset + f->size)
		field_set(m->bytes + f->offset, f->size, any_value(m));
}

static inline void mutate_desc_field(struct image *m)
{
	const struct field *f = &desc_fields[test_rand_below(COUNT(desc_fields))];
	size_t at = image_any_desc(m);

	if (at)
		field_set(m->bytes + at + f->offset, f->size, any_value(m));
}

/* A slot of the tables: another state, or a word in its text. */
static inline void mutate_slot(struct image *m)
{
	struct tally_segment h = image_header(m);
	const struct field *f = &slot_fields[test_rand_below(COUNT(slot_fields))];
	const char *word = words[test_rand_below(COUNT(words))];
	uint64_t n = h.tables_len / sizeof(struct tally_segment_slot), at;

	if (!n)
		return;
	at = h.tables_off + test_rand_below(n) * sizeof(struct tally_segment_slot);
	if (at + sizeof(struct tally_segment_slot) > m->size)
		return;
	if (f->size == sizeof(uint32_t))
		field_set(m->bytes + at + f->offset, f->size, test_rand_below(4));
	else
		memcpy(m->bytes + at + f->offset, word, strlen(word) + test_rand_below(2));
}

/* One field of all descriptors becomes the same: offsets that overlap. */
static inline void mutate_desc_column(struct image *m)
{
	const struct field *f = &desc_fields[test_rand_below(COUNT(desc_fields))];
	uint64_t value = any_value(m);
	size_t first = image_desc(m, 0);

	if (first && test_rand_below(2))
		value = field_get(m->bytes + first + f->offset, f->size);
	for (uint32_t i = 0; i < image_header(m).ndesc; i++) {
		size_t at = image_desc(m, i);

		if (!at)
			break;
		memcpy(m->bytes + at + f->offset, &value, f->size < 8 ? f->size : 8);
	}
}

static inline void mutate_swap_fields(struct image *m)
{
	const struct field *a = &header_fields[test_rand_below(COUNT(header_fields))];
	const struct field *b = &header_fields[test_rand_below(COUNT(header_fields))];
	uint8_t swap[sizeof(uint32_t)];

	if (a->size != sizeof(swap) || b->size != sizeof(swap) ||
		m->size < sizeof(struct tally_segment))
		return;
	memcpy(swap, m->bytes + a->offset, sizeof(swap));
	memmove(m->bytes + a->offset, m->bytes + b->offset, sizeof(swap));
	memcpy(m->bytes + b->offset, swap, sizeof(swap));
}

static inline void mutate_bits(struct image *m)
{
	struct tally_segment h = image_header(m);
	size_t end = h.rows_off && h.rows_off < m->size ? h.rows_off : m->size;

	for (uint64_t i = test_rand_below(6); end && i-- > 0;)
		m->bytes[test_rand_below(end)] ^= (uint8_t)(1u << test_rand_below(8));
}

static inline void mutate_bytes(struct image *m)
{
	size_t at, n;

	if (!m->size)
		return;
	at = test_rand_below(m->size);
	n = test_rand_below(64);
	for (size_t i = at; i < m->size && i < at + n; i++)
		m->bytes[i] = (uint8_t)test_rand();
}

/* A word over some place of the strings, or all of their ends gone. */
static inline void mutate_strings(struct image *m)
{
	struct tally_segment h = image_header(m);
	const char *word = words[test_rand_below(COUNT(words))];
	uint64_t end = (uint64_t)h.strings_off + h.strings_len, at;

	if (!h.strings_len || end > m->size)
		return;
	at = h.strings_off + test_rand_below(h.strings_len);
	if (test_rand_below(4) == 0) {
		for (; at < end; at++)
			m->bytes[at] = m->bytes[at] ? m->bytes[at] : 'x';
		return;
	}
	for (size_t i = 0; word[i] && at + i < end; i++)
		m->bytes[at + i] = (uint8_t)word[i];
}

static inline void mutate_size(struct image *m)
{
	switch (test_rand_below(4)) {
	case 0:
		m->size = test_rand_below(m->size + 1);
		break;
	case 1: /* the last bytes */
		m->size -= m->size ? test_rand_below(m->size < 64 ? m->size : 64) : 0;
		break;
	default:
		m->size += test_rand_below(m->room - m->size + 1);
	}
}

/* As large as the limits allow, or a little more; the file may be made so large by a hole. */
static inline void mutate_rows(struct image *m)
{
	static const uint32_t sizes[] = {64, 128, 4096, 65536, 1u << 20, (1u << 20) + 64};
	struct tally_segment h = image_header(m);

	if (m->size < sizeof(h))
		return;
	if (test_rand_below(2))
		h.row_size = sizes[test_rand_below(COUNT(sizes))];
	h.rows_max = (uint32_t)edges[test_rand_below(COUNT(edges))];
	if (test_rand_below(2) && h.row_size)
		h.rows_max = (64u << 20) / h.row_size;
	h.rows = h.rows_max;
	memcpy(m->bytes, &h, sizeof(h));
}

/* Bytes move: a part is left out, or stands twice. */
static inline void mutate_move(struct image *m)
{
	size_t from, to, n;

	if (m->size < 16)
		return;
	from = test_rand_below(m->size);
	to = test_rand_below(m->size);
	n = test_rand_below(m->size - (from > to ? from : to));
	memmove(m->bytes + to, m->bytes + from, n < 512 ? n : 512);
}

static inline void image_mutate(struct image *m)
{
	static void (*const mutations[])(struct image * m) = {mutate_header_field,
		mutate_header_field, mutate_desc_field, mutate_desc_field, mutate_desc_column,
		mutate_swap_fields, mutate_rows, mutate_bits, mutate_bytes, mutate_strings,
		mutate_size, mutate_move};

	for (uint64_t i = 1 + test_rand_below(3); i-- > 0;)
		mutations[test_rand_below(COUNT(mutations))](m);
}

#endif
