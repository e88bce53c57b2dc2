/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Payloads of a stream's records: making them, and taking a snapshot apart. Layout: stream.h. */
#include <errno.h>
#include <stdlib.h>

#include "user/lib/rowcode.h"
#include "user/lib/stream_state.h"
#include "user/lib/wire.pb-c.h"

#define ROW_KEY 1u

void snapshot_put_head(struct buf *payload, uint64_t incarnation, const struct snapshot_clock *at,
	uint32_t flags, size_t ngroups)
{
	buf_put_u64(payload, incarnation);
	buf_put_varint(payload, at->seq);
	buf_put_varint(payload, zigzag(at->realtime_ns));
	buf_put_varint(payload, at->monotonic_ns);
	buf_put_u8(payload, (uint8_t)flags);
	buf_put_varint(payload, ngroups);
}

void snapshot_put_row(
	struct buf *payload, const struct state_row *row, const uint64_t *prev, struct buf *scratch)
{
	buf_reset(scratch);
	row_encode(row->schema, prev, row->values, scratch);
	buf_put_varint(payload, row->schema->id);
	buf_put_varint(payload, row->begin_ns);
	buf_put_varint(payload, row->window_ns);
	buf_put_u8(payload, prev ? 0 : ROW_KEY);
	if (prev)
		buf_put_u32(payload, row_hash(prev, row->schema->n));
	buf_put_varint(payload, scratch->len);
	buf_put(payload, scratch->data, scratch->len);
	payload->failed |= scratch->failed;
}

int snapshot_parse_head(struct rd *r, struct snapshot_head *ret)
{
	struct snapshot_head h;
	uint64_t ngroups;

	h.incarnation = rd_u64(r);
	h.seq = rd_varint(r);
	h.realtime_ns = unzigzag(rd_varint(r));
	h.monotonic_ns = rd_varint(r);
	h.flags = rd_u8(r);
	ngroups = rd_varint(r);
	if (r->failed)
		return -EBADMSG;
	if (h.incarnation == 0 || h.seq == 0 || (h.flags & ~SNAPSHOT_BASE))
		return -EPROTO;
	if (ngroups > STREAM_GROUPS_MAX)
		return -E2BIG;
	h.ngroups = (size_t)ngroups;
	*ret = h;
	return 0;
}

int snapshot_parse_row(struct rd *r, struct snapshot_row *ret)
{
	uint64_t id = rd_varint(r), begin_ns = rd_varint(r), window_ns = rd_varint(r);
	uint8_t flags = rd_u8(r);
	bool key = flags & ROW_KEY;
	uint32_t base = key ? 0 : rd_u32(r);
	size_t len;
	const char *bytes = rd_str(r, &len);

	if (r->failed)
		return -EBADMSG;
	if (id == 0 || id > UINT32_MAX || (flags & ~ROW_KEY))
		return -EPROTO;
	*ret = (struct snapshot_row){
		.schema_id = (uint32_t)id,
		.begin_ns = begin_ns,
		.window_ns = window_ns,
		.key = key,
		.base = base,
		.bytes = (const uint8_t *)bytes,
		.len = len,
	};
	return 0;
}

int incarnation_put(const struct incarnation *inc, uint32_t stream_id, struct buf *out)
{
	Tally__Incarnation m = TALLY__INCARNATION__INIT;
	uint8_t payload[64];

	m.id = inc->id;
	m.start_ns = inc->start_ns;
	m.boot_id.data = (uint8_t *)inc->boot_id;
	m.boot_id.len = sizeof(inc->boot_id);
	record_put(out, 0, RECORD_INCARNATION, stream_id, payload,
		tally__incarnation__pack(&m, payload));
	return buf_error(out);
}

int schema_put_record(
	const struct schema *s, uint64_t incarnation, uint32_t stream_id, struct buf *out)
{
	struct buf payload = BUF_INIT;
	int err;

	buf_put_u64(&payload, incarnation);
	err = schema_encode(s, &payload);
	if (!err)
		err = buf_error(&payload);
	if (!err && payload.len > RECORD_PAYLOAD_MAX)
		err = -E2BIG;
	if (!err) {
		record_put(out, 0, RECORD_SCHEMA, stream_id, payload.data, payload.len);
		err = buf_error(out);
	}
	buf_release(&payload);
	return err;
}

static int compare_rows(const void *pa, const void *pb)
{
	const struct state_row *a = pa, *b = pb;

	return (a->at.seq > b->at.seq) - (a->at.seq < b->at.seq);
}

/* The known rows among n of one snapshot, as one BASE record. */
static int base_put(const struct incarnation *inc, const struct state_row *rows, size_t n,
	const struct snapshot_clock *at, uint32_t stream_id, struct buf *out)
{
	struct buf payload = BUF_INIT, scratch = BUF_INIT;
	int err;

	snapshot_put_head(&payload, inc->id, at, SNAPSHOT_BASE, n);
	for (size_t i = 0; i < n; i++)
		snapshot_put_row(&payload, &rows[i], NULL, &scratch);
	err = buf_error(&payload);
	if (!err && payload.len > RECORD_PAYLOAD_MAX)
		err = -E2BIG;
	if (!err) {
		record_put(out, 0, RECORD_SNAPSHOT, stream_id, payload.data, payload.len);
		err = buf_error(out);
	}
	buf_release(&payload);
	buf_release(&scratch);
	return err;
}

static int bases_put(const struct incarnation *inc, struct state_row *rows, size_t n,
	const struct snapshot_clock *newest, uint32_t stream_id, struct buf *out)
{
	uint64_t done = 0;
	int err = 0;

	qsort(rows, n, sizeof(*rows), compare_rows);
	for (size_t i = 0, end; i < n && !err; i = end) {
		for (end = i; end < n && rows[end].at.seq == rows[i].at.seq;)
			end++;
		done = rows[i].at.seq;
		err = base_put(inc, rows + i, end - i, &rows[i].at, stream_id, out);
	}
	if (!err && done != newest->seq) /* the newest snapshot held no group that is still there */
		err = base_put(inc, NULL, 0, newest, stream_id, out);
	return err;
}

int state_put(const struct incarnation *inc, struct state_row *rows, size_t n,
	const struct snapshot_clock *at, uint32_t stream_id, struct buf *out)
{
	size_t start = out->len, known = 0;
	int err = incarnation_put(inc, stream_id, out);

	for (size_t i = 0; i < n && !err; i++)
		err = schema_put_record(rows[i].schema, inc->id, stream_id, out);
	for (size_t i = 0; i < n; i++)
		if (rows[i].values)
			rows[known++] = rows[i];
	if (!err)
		err = bases_put(inc, rows, known, at, stream_id, out);
	if (err)
		out->len = start;
	return err;
}
