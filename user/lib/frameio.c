/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames through libevent's buffers. */
#include "user/lib/frameio.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "user/lib/err.h"

int frameio_peek(struct evbuffer *in, size_t max_body, struct frame *ret, size_t *ret_size)
{
	size_t have = evbuffer_get_length(in), need = 0;
	uint8_t header[FRAME_HEADER];
	struct frame frame;
	unsigned char *p;

	if (have < FRAME_HEADER)
		return 0;
	evbuffer_copyout(in, header, sizeof(header));
	/* A whole frame without body is parsed at once, of any other the header tells the size. */
	if (frame_parse(header, sizeof(header), &frame, &need) < 0)
		return -EPROTO;
	if (need < FRAME_HEADER)
		need = FRAME_HEADER;
	if (need - FRAME_HEADER > max_body)
		return -EPROTO;
	if (have < need)
		return 0;
	p = evbuffer_pullup(in, (ev_ssize_t)need);
	if (!p)
		return -ENOMEM;
	if (frame_parse(p, need, ret, NULL) != (ssize_t)need)
		return -EPROTO;
	*ret_size = need;
	return 1;
}

static int frameio_queue(struct bufferevent *bev, struct buf *frame)
{
	int rc = buf_error(frame);

	if (!rc && bufferevent_write(bev, frame->data, frame->len))
		rc = -ENOMEM;
	buf_release(frame);
	return rc;
}

int frameio_send(struct bufferevent *bev, enum frame_type type, const ProtobufCMessage *m)
{
	size_t len = protobuf_c_message_get_packed_size(m);
	struct buf body = BUF_INIT;
	uint8_t *p = buf_reserve(&body, len + 1);
	int rc = -ENOMEM;

	if (p) {
		protobuf_c_message_pack(m, p);
		rc = frameio_send_bytes(bev, type, p, len);
	}
	buf_release(&body);
	return rc;
}

int frameio_send_bytes(struct bufferevent *bev, enum frame_type type, const void *body, size_t len)
{
	struct buf frame = BUF_INIT;

	if (len > FRAME_BODY_MAX)
		return -E2BIG;
	frame_put(&frame, type, body, len);
	return frameio_queue(bev, &frame);
}
