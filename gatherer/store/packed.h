/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * STATE records. A head begins with the whole state of every node, mostly names and labels; so the
 * state records of a node (INCARNATION, SCHEMA..., BASE...) stand there as one record:
 *
 *   STATE   description of a piece (gatherer/store/piece.h), then its stored bytes;
 *           its raw bytes are whole records of the same stream, of salt 0
 */
#ifndef TALLY_GATHERER_STORE_PACKED_H
#define TALLY_GATHERER_STORE_PACKED_H

#include "user/lib/recfile.h"

/*
 * Copies records of salt 0 to out, under another salt; what stands between two NODE records becomes
 * one STATE record.
 */
int packed_put_state(const struct buf *records, uint32_t salt, struct buf *out);
/* The records inside, to out. -EBADMSG. */
int packed_unpack(const struct record *state, struct buf *out);

#endif
