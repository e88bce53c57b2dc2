/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A column: n 64-bit words of one series, polls in order, as few bytes that zlib can still squeeze.
 * All arithmetic wraps at 2^64, so every word comes back.
 *
 *   tag                     then
 *    0  constant             z(v)
 *    1  offset               z(base), n varints v - base
 *    2  delta                z(v0), n - 1 times z(v[i] - v[i-1])
 *    3  delta of delta       z(v0), z(v1 - v0), n - 2 times z(second difference)
 *    4  sparse               z(v0), varint m, m gaps, m times z(v[i] - v[i-1]); a gap counts the
 *                            unchanged polls before the next change
 *    5  copy                 varint column, varint g, z(h), z(v0): v[i] - v[i-1] is h times the
 *                            g-th part of the difference in that column of the block
 *    6  words                n times 8 bytes, little-endian
 *    7  decimal              u8 e, varint m, m times (gap, 8 bytes), then the integers k as a column
 *                            of tags 0 to 4; a word is the double k / 10^e, except m of them
 *
 * z() is a varint of the zigzag form. Gaps count the polls since the exception (change) before.
 */
#ifndef TALLY_GATHERER_STORE_COLUMN_H
#define TALLY_GATHERER_STORE_COLUMN_H

#include "user/lib/buf.h"

enum column_tag {
	COLUMN_CONSTANT = 0,
	COLUMN_OFFSET = 1,
	COLUMN_DELTA = 2,
	COLUMN_DELTA2 = 3,
	COLUMN_SPARSE = 4,
	COLUMN_COPY = 5,
	COLUMN_WORDS = 6,
	COLUMN_DECIMAL = 7,
};

/* A column whose differences are h/g times those of another one. */
struct column_copy {
	uint64_t of, g;
	int64_t h;
	uint64_t first;
};

void column_encode(const uint64_t *v, size_t n, struct buf *out);
/* For doubles. scratch: room for n words. */
void column_encode_f64(const uint64_t *v, size_t n, uint64_t *scratch, struct buf *out);
void column_encode_copy(const struct column_copy *c, struct buf *out);
/*
 * Decodes n words to v. 0; 1 if it is a copy: *ret_copy is set, v untouched; -EBADMSG.
 * n is at least 1.
 */
int column_decode(struct rd *r, size_t n, uint64_t *v, struct column_copy *ret_copy);
/* v becomes the copy of base. */
void column_apply_copy(const struct column_copy *c, const uint64_t *base, size_t n, uint64_t *v);

/*
 * The shape of a column: equal for two columns whose differences are proportional. unit is the
 * greatest common divisor of the differences, signed like the first one that is not zero; 0 if
 * the column is constant or has differences of 2^63.
 */
struct column_shape {
	uint64_t hash;
	int64_t unit;
};
struct column_shape column_shape(const uint64_t *v, size_t n);
/* Are the differences of a, divided by its unit, those of b by its? */
bool column_same_shape(
	const uint64_t *a, int64_t unit_a, const uint64_t *b, int64_t unit_b, size_t n);

#endif
