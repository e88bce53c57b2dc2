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
 * A key row is the same with old = 0 for every value. Checksums belong to the record around it.
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

#endif
