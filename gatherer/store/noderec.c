/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NODE records; see the header. */
#include <errno.h>
#include <string.h>

#include "gatherer/store/noderec.h"

int noderec_put(const uint8_t id[32], const char *name, const struct stream *stream,
	uint32_t stream_id, uint32_t salt, struct buf *out)
{
	struct buf payload = BUF_INIT;
	const struct stream_past *past;
	size_t npast = stream_past(stream, &past);
	int err;

	buf_put(&payload, id, 32);
	buf_put_str(&payload, name);
	buf_put_varint(&payload, npast);
	for (size_t i = 0; i < npast; i++) {
		buf_put_u64(&payload, past[i].incarnation);
		buf_put_varint(&payload, past[i].seq);
	}
	err = buf_error(&payload);
	if (!err) {
		record_put(out, salt, RECORD_NODE, stream_id, payload.data, payload.len);
		err = buf_error(out);
	}
	buf_release(&payload);
	return err;
}

int noderec_parse(const uint8_t *p, size_t n, struct noderec *ret)
{
	struct rd r = rd_init(p, n);
	const uint8_t *id = rd_bytes(&r, 32);
	size_t len;
	const char *name = rd_str(&r, &len);
	uint64_t npast = rd_varint(&r);

	if (r.failed)
		return -EBADMSG;
	if (len > NODE_NAME_MAX || npast > STREAM_PAST_MAX)
		return -EPROTO;
	memcpy(ret->id, id, 32);
	memcpy(ret->name, name, len);
	ret->name[len] = '\0';
	ret->npast = (size_t)npast;
	for (size_t i = 0; i < npast; i++) {
		ret->past[i].incarnation = rd_u64(&r);
		ret->past[i].seq = rd_varint(&r);
	}
	return r.failed || rd_left(&r) > 0 ? -EBADMSG : 0;
}
