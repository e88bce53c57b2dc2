/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The row encoding: one group's values at one poll, as differences to its row before.
 * It is the same in the provider's ring, on the wire and in the gatherer's head log.
 *
 *   row   = item*            until the n values of the schema are covered
 *   item  = 0x00 varint(r)   r + 1 values that did not change
 *         | varint(z)        one value, z != 0
 *   z     = zigzag(new - old, wrapping)           for VALUE_U64 and VALUE_I64
 *         | byteswap(new XOR old)                 for VALUE_F64
 *
 * A key row is the same with old = 0 for every value. Checksums belong to the record around it; with a
 * row that is no key row goes the hash of the row that it is a difference to. A provider that was set
 * back (a snapshot of its machine) makes other rows under the same numbers.
 */
#ifndef TALLY_USER_LIB_ROWCODE_H
#define TALLY_USER_LIB_ROWCODE_H

#include "user/lib/schema.h"

/* prev is NULL for a key row. */
void row_encode(const struct schema *s, const uint64_t *prev, const uint64_t *cur, struct buf *out);
/*
 * Decodes exactly len bytes; row holds the row before on entry (ignored if key) and the new one on
 * success. -EBADMSG if the bytes do not cover the row exactly: row is then undefined.
 */
int row_decode(const struct schema *s, bool key, const uint8_t *p, size_t len, uint64_t *row);

/*
 * 32 bits of a row: word i goes into lane i % 4, all lanes and n into the result (docs/FORMAT.md). Not
 * against somebody who tries, but any two rows that a provider makes will differ in it.
 */
uint32_t row_hash(const uint64_t *row, size_t n);

#endif
