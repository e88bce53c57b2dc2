/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames on the TLS channel between provider and gatherer: the header and its checks.
 *
 *   0        4    5       8             8 + length
 *   | length | ty | 0 0 0 | body ...    |
 */
#include "user/lib/frame.h"

#include "user/lib/err.h"

void frame_put(struct buf *out, enum frame_type type, const void *body, size_t len)
{
	buf_put_u32(out, (uint32_t)len);
	buf_put_u32(out, (uint32_t)type);
	buf_put(out, body, len);
}

ssize_t frame_parse(const uint8_t *p, size_t n, struct frame *ret, size_t *ret_need)
{
	struct rd r = rd_init(p, n);
	uint32_t len, type;

	if (n < FRAME_HEADER) {
		if (ret_need)
			*ret_need = FRAME_HEADER;
		return 0;
	}
	len = rd_u32(&r);
	type = rd_u32(&r); /* the type and three bytes of zero, read as one number */
	if (len > FRAME_BODY_MAX || type < FRAME_HELLO || type > FRAME_ACK)
		return -EPROTO;
	if (n - FRAME_HEADER < len) {
		if (ret_need)
			*ret_need = FRAME_HEADER + len;
		return 0;
	}
	*ret = (struct frame){.type = (uint8_t)type, .body = p + FRAME_HEADER, .len = len};
	return (ssize_t)(FRAME_HEADER + len);
}
