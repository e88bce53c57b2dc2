/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "user/lib/buf.h"

static const uint64_t edges[] = {
	0, 1, 127, 128, 16383, 16384, UINT32_MAX, 1ull << 32, INT64_MAX, 1ull << 63, UINT64_MAX};
#define NEDGES (sizeof(edges) / sizeof(edges[0]))

Test(buf, what_is_put_is_read)
{
	struct buf b = BUF_INIT;
	struct rd r;
	size_t len;
	const char *s;

	buf_put_u8(&b, 7);
	buf_put_u32(&b, 0x01020304);
	buf_put_u64(&b, 0x0102030405060708);
	for (size_t i = 0; i < NEDGES; i++)
		buf_put_varint(&b, edges[i]);
	buf_put_str(&b, "name");
	buf_printf(&b, "%d-%s", 42, "x");
	cr_assert_eq(buf_error(&b), 0);
	cr_assert_eq(b.data[1], 4, "little-endian");
	r = rd_init(b.data, b.len);
	cr_assert_eq(rd_u8(&r), 7);
	cr_assert_eq(rd_u32(&r), 0x01020304);
	cr_assert_eq(rd_u64(&r), 0x0102030405060708);
	for (size_t i = 0; i < NEDGES; i++)
		cr_assert_eq(rd_varint(&r), edges[i]);
	s = rd_str(&r, &len);
	cr_assert(len == 4 && memcmp(s, "name", 4) == 0);
	cr_assert(rd_left(&r) == 4 && memcmp(rd_bytes(&r, 4), "42-x", 4) == 0);
	cr_assert(!r.failed);
	buf_release(&b);
}

Test(buf, reader_never_leaves_its_bytes)
{
	static const uint8_t bytes[] = {0x80, 0x80, 0x80};
	struct rd r = rd_init(bytes, sizeof(bytes));

	cr_assert_eq(rd_u64(&r), 0);
	cr_assert(r.failed);
	cr_assert_eq(rd_u8(&r), 0, "a failed reader stays failed");
	r = rd_init(bytes, sizeof(bytes));
	cr_assert_eq(rd_varint(&r), 0);
	cr_assert(r.failed, "unfinished varint");
}

Test(buf, varints_of_more_than_64_bits_are_refused)
{
	uint8_t bytes[11];
	struct rd r;

	memset(bytes, 0xff, sizeof(bytes));
	bytes[9] = 0x01;
	r = rd_init(bytes, 10);
	cr_assert_eq(rd_varint(&r), UINT64_MAX);
	cr_assert(!r.failed);
	bytes[9] = 0x02;
	r = rd_init(bytes, 10);
	rd_varint(&r);
	cr_assert(r.failed);
	bytes[9] = 0x81;
	bytes[10] = 0;
	r = rd_init(bytes, 11);
	rd_varint(&r);
	cr_assert(r.failed);
}

Test(buf, string_lengths_are_checked_before_they_are_used)
{
	struct buf b = BUF_INIT;
	struct rd r;
	size_t len = 99;

	buf_put_varint(&b, UINT64_MAX);
	buf_put(&b, "abc", 3);
	r = rd_init(b.data, b.len);
	cr_assert_null(rd_str(&r, &len));
	cr_assert(r.failed && len == 0);
	buf_release(&b);
}

Test(buf, impossible_room_fails_once_and_for_all)
{
	struct buf b = BUF_INIT;

	buf_put(&b, "x", 1);
	cr_assert_null(buf_reserve(&b, SIZE_MAX));
	buf_put(&b, "y", 1);
	cr_assert_eq(buf_error(&b), -ENOMEM);
	cr_assert_eq(b.len, 1);
	buf_reset(&b);
	cr_assert_eq(buf_error(&b), 0);
	buf_release(&b);
	cr_assert_null(b.data);
}

Test(buf, zigzag_is_a_bijection)
{
	cr_assert_eq(zigzag(0), 0);
	cr_assert_eq(zigzag(-1), 1);
	cr_assert_eq(zigzag(1), 2);
	cr_assert_eq(zigzag(INT64_MIN), UINT64_MAX);
	for (size_t i = 0; i < NEDGES; i++)
		cr_assert_eq(zigzag(unzigzag(edges[i])), edges[i]);
}

/* What was large once does not stay so; what is used again and again is not made anew each time. */
Test(buf, reset_gives_back_what_is_not_used)
{
	struct buf b = BUF_INIT;

	cr_assert_not_null(buf_reserve(&b, 4u << 20));
	b.len = 4u << 20;
	buf_reset(&b);
	cr_assert_geq(b.cap, 4u << 20, "it may be needed again at once");
	buf_put_u8(&b, 1);
	buf_reset(&b);
	cr_assert_eq(b.cap, 0);
	cr_assert_eq(b.len, 0);
	cr_assert_not_null(buf_reserve(&b, 30u << 10));
	buf_reset(&b);
	cr_assert_geq(b.cap, 30u << 10, "small ones are kept whatever is used of them");
	buf_put_u8(&b, 1);
	cr_assert_eq(buf_error(&b), 0);
	buf_release(&b);
}
