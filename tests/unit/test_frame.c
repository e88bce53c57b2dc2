/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames: what is put is parsed again, whatever way it is cut, and nothing else is taken for one. */
#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <string.h>

#include "user/lib/err.h"
#include "user/lib/frame.h"
#include "user/lib/frameio.h"

static struct buf sample(enum frame_type type, const char *body)
{
	struct buf out = BUF_INIT;

	frame_put(&out, type, body, strlen(body));
	cr_assert_eq(buf_error(&out), 0);
	return out;
}

Test(frame, header_is_as_documented)
{
	static const uint8_t want[] = {3, 0, 0, 0, 4, 0, 0, 0, 'a', 'b', 'c'};
	struct buf b = sample(FRAME_POLL, "abc");

	cr_assert_eq(b.len, sizeof(want));
	cr_assert_arr_eq(b.data, want, sizeof(want));
	buf_release(&b);
}

Test(frame, every_cut_asks_for_more)
{
	struct buf b = sample(FRAME_RECORDS, "some records");
	struct frame f = {0};
	size_t need;

	for (size_t n = 0; n < b.len; n++) {
		need = 0;
		cr_assert_eq(frame_parse(b.data, n, &f, &need), 0, "cut at %zu", n);
		cr_assert_eq(need, n < FRAME_HEADER ? FRAME_HEADER : b.len);
		cr_assert_eq(f.type, 0, "output touched at %zu", n);
	}
	cr_assert_eq(frame_parse(b.data, b.len, &f, NULL), (ssize_t)b.len);
	cr_assert_eq(f.type, FRAME_RECORDS);
	cr_assert_eq(f.len, 12);
	cr_assert_arr_eq(f.body, "some records", 12);
	buf_release(&b);
}

Test(frame, rules_are_checked_before_the_body_is_there)
{
	struct buf b = sample(FRAME_ACK, "");
	struct frame f;

	for (unsigned int type = 0; type < 256; type++) {
		b.data[4] = (uint8_t)type;
		cr_assert_eq(frame_parse(b.data, b.len, &f, NULL),
			type >= FRAME_HELLO && type <= FRAME_ACK ? (ssize_t)FRAME_HEADER : -EPROTO);
	}
	b.data[4] = FRAME_ACK;
	for (int i = 5; i < 8; i++) {
		b.data[i] = 1;
		cr_assert_eq(frame_parse(b.data, b.len, &f, NULL), -EPROTO);
		b.data[i] = 0;
	}
	memcpy(b.data, "\x01\x00\x00\x01", 4); /* one byte above 16 MiB */
	cr_assert_eq(frame_parse(b.data, b.len, &f, NULL), -EPROTO);
	memcpy(b.data, "\x00\x00\x00\x01", 4);
	cr_assert_eq(frame_parse(b.data, b.len, &f, NULL), 0);
	buf_release(&b);
}

Test(frame, text_protocols_are_no_frames)
{
	static const char *const texts[] = {"GET / HTTP/1.1\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "SSH-2.0-OpenSSH",
		"\x80\x2e\x01\x03\x01\x00\x15\x00"};
	struct frame f;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		cr_assert_eq(frame_parse((const uint8_t *)texts[i], 8, &f, NULL), -EPROTO);
}

Test(frame, peek_waits_for_the_whole_and_respects_the_limit)
{
	struct buf b = sample(FRAME_ANSWER, "0123456789");
	struct evbuffer *in = evbuffer_new();
	struct frame f;
	size_t size = 0;

	for (size_t i = 0; i < b.len; i++) {
		cr_assert_eq(frameio_peek(in, 10, &f, &size), 0);
		evbuffer_add(in, b.data + i, 1);
	}
	cr_assert_eq(frameio_peek(in, 10, &f, &size), 1);
	cr_assert_eq(size, b.len);
	cr_assert_eq(f.len, 10);
	cr_assert_arr_eq(f.body, "0123456789", 10);
	cr_assert_eq(frameio_peek(in, 9, &f, &size), -EPROTO);
	evbuffer_drain(in, size);
	cr_assert_eq(evbuffer_get_length(in), 0);
	evbuffer_free(in);
	buf_release(&b);
}
