/* SPDX-License-Identifier: GPL-2.0-or-later */
/* STATE records; see the header. */
#include <errno.h>

#include "gatherer/store/packed.h"
#include "gatherer/store/piece.h"

static int put_packed(struct packer *packer, uint32_t salt, uint32_t stream, const uint8_t *records,
	size_t n, struct buf *out)
{
	struct buf stored = BUF_INIT, payload = BUF_INIT;
	struct piece piece;
	int err = piece_pack(packer, records, n, &stored, &piece);

	if (!err) {
		piece_put(&payload, &piece);
		buf_put(&payload, stored.data, stored.len);
		err = buf_error(&payload);
	}
	if (!err && payload.len > RECORD_PAYLOAD_MAX)
		err = -E2BIG;
	if (!err) {
		record_put(out, salt, RECORD_STATE, stream, payload.data, payload.len);
		err = buf_error(out);
	}
	buf_release(&stored);
	buf_release(&payload);
	return err;
}

int packed_put_state(const struct buf *records, uint32_t salt, struct buf *out)
{
	struct recscan scan = {.data = records->data, .len = records->len};
	struct packer *packer = packer_new();
	struct record rec = {0};
	size_t from = 0;
	int more, err = packer ? 0 : -ENOMEM;

	do {
		uint32_t stream = rec.stream;
		size_t to = scan.pos;

		more = !err && recscan_next(&scan, &rec) == 1;
		if (more && rec.type != RECORD_NODE)
			continue;
		if (!err && to > from)
			err = put_packed(
				packer, salt, stream, records->data + from, to - from, out);
		if (more && !err)
			record_put(out, salt, rec.type, rec.stream, rec.payload, rec.len);
		from = scan.pos;
	} while (more);
	packer_free(packer);
	return err ? err : buf_error(out);
}

int packed_unpack(const struct record *state, struct buf *out)
{
	struct rd r = rd_init(state->payload, state->len);
	struct piece piece = piece_get(&r);
	struct unpacker *u;
	int err;

	if (r.failed || rd_left(&r) != piece.stored)
		return -EBADMSG;
	u = unpacker_new();
	if (!u)
		return -ENOMEM;
	err = piece_unpack(u, &piece, r.p, out);
	unpacker_free(u);
	return err;
}
