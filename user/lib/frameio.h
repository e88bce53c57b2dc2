/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames through libevent's buffers. Needs libevent: tools that don't call it don't link it. */
#ifndef TALLY_USER_LIB_FRAMEIO_H
#define TALLY_USER_LIB_FRAMEIO_H

#include <protobuf-c/protobuf-c.h>

#include "user/lib/frame.h"

struct bufferevent;
struct evbuffer;

/* What either side may say besides RECORDS: bytes of a control message's body. */
#define FRAME_CONTROL_MAX 4096u

/*
 * The next whole frame of in, which the caller drains by *ret_size once it is done with it: until
 * then ret->body stays valid. 1: a frame, 0: more bytes are needed, -EPROTO: no frame (a body above
 * max_body is none), -ENOMEM.
 */
int frameio_peek(struct evbuffer *in, size_t max_body, struct frame *ret, size_t *ret_size);
/* Queues a message. -ENOMEM. */
int frameio_send(struct bufferevent *bev, enum frame_type type, const ProtobufCMessage *m);
/* Queues a frame with these bytes. -ENOMEM, -E2BIG. */
int frameio_send_bytes(struct bufferevent *bev, enum frame_type type, const void *body, size_t len);

#endif
