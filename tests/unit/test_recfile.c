/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lib/testrand.h"
#include "user/lib/recfile.h"

#define NRECORDS 40u
#define SALT     0x5eed1234u

/* NRECORDS records; offsets[i] is where record i begins, offsets[NRECORDS] the end. */
static void make_file(struct buf *b, size_t *offsets)
{
	uint8_t payload[300];

	recfile_put_header(b, RECFILE_HEAD, 7, SALT);
	for (uint32_t i = 0; i < NRECORDS; i++) {
		size_t len = i * 7 % sizeof(payload);

		for (size_t k = 0; k < len; k++)
			payload[k] = (uint8_t)(i % 3 ? test_rand() : 0xa7); /* looks like marks */
		offsets[i] = b->len;
		record_put(b, SALT, RECORD_SNAPSHOT, i, payload, len);
	}
	offsets[NRECORDS] = b->len;
	cr_assert_eq(buf_error(b), 0);
}

Test(recfile, header_tells_file_kind_and_number)
{
	struct buf b = BUF_INIT;
	uint64_t number = 0;

	recfile_put_header(&b, RECFILE_RING, 1234567890123, SALT);
	cr_assert_eq(b.len, RECFILE_HEADER);
	cr_assert_eq(recfile_check_header(b.data, b.len, RECFILE_RING, &number), 0);
	cr_assert_eq(number, 1234567890123);
	cr_assert_eq(recfile_check_header(b.data, b.len, RECFILE_HEAD, &number), -EBADMSG);
	cr_assert_eq(recfile_check_header(b.data, b.len - 1, RECFILE_RING, &number), -EBADMSG);
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] ^= 0x10;
		cr_assert_eq(recfile_check_header(b.data, b.len, RECFILE_RING, &number), -EBADMSG);
		b.data[i] ^= 0x10;
	}
	buf_release(&b);
}

Test(recfile, scan_finds_every_record)
{
	struct buf b = BUF_INIT;
	size_t offsets[NRECORDS + 1];
	struct recscan s = {0};
	struct record r;

	test_rand_init();
	make_file(&b, offsets);
	s = (struct recscan){.data = b.data, .len = b.len, .pos = RECFILE_HEADER, .salt = SALT};
	for (uint32_t i = 0; i < NRECORDS; i++) {
		cr_assert_eq(recscan_next(&s, &r), 1);
		cr_assert(r.stream == i && r.offset == offsets[i]);
		cr_assert_eq(r.len, offsets[i + 1] - offsets[i] - RECORD_HEADER);
	}
	cr_assert_eq(recscan_next(&s, &r), 0);
	buf_release(&b);
}

Test(recfile, a_cut_costs_the_record_it_hits)
{
	struct buf b = BUF_INIT;
	size_t offsets[NRECORDS + 1];

	test_rand_init();
	make_file(&b, offsets);
	for (size_t cut = RECFILE_HEADER; cut < b.len; cut++) {
		struct recscan s = {
			.data = b.data, .len = cut, .pos = RECFILE_HEADER, .salt = SALT};
		struct record r;
		uint32_t found = 0;
		int got;

		while ((got = recscan_next(&s, &r)) == 1)
			cr_assert_eq(r.stream, found++);
		cr_assert(offsets[found] <= cut && offsets[found + 1] > cut);
		if (offsets[found] == cut) {
			cr_assert_eq(got, 0);
			continue;
		}
		cr_assert_eq(got, -EBADMSG);
		cr_assert(s.damage_from == offsets[found] && s.damage_to == cut);
	}
	buf_release(&b);
}

Test(recfile, a_flipped_bit_costs_one_record_and_is_reported)
{
	struct buf b = BUF_INIT;
	size_t offsets[NRECORDS + 1];
	uint32_t hit = 0;

	test_rand_init();
	make_file(&b, offsets);
	for (size_t at = RECFILE_HEADER; at < b.len; at++) {
		struct recscan s = {
			.data = b.data, .len = b.len, .pos = RECFILE_HEADER, .salt = SALT};
		struct record r;
		uint32_t found = 0, damages = 0;
		uint8_t mask;
		int got;

		if (at == offsets[hit + 1])
			hit++;
		mask = (uint8_t)(1u << at % 8);
		b.data[at] ^= mask;
		while ((got = recscan_next(&s, &r)) != 0) {
			if (got == 1) {
				cr_assert_neq(r.stream, hit);
				found++;
				continue;
			}
			damages++;
			cr_assert(s.damage_from == offsets[hit] && s.damage_to == offsets[hit + 1]);
		}
		cr_assert(found == NRECORDS - 1 && damages == 1);
		b.data[at] ^= mask;
	}
	buf_release(&b);
}

Test(recfile, lengths_are_not_trusted)
{
	struct buf b = BUF_INIT;
	struct record r;

	record_put(&b, SALT, RECORD_NODE, 1, "abc", 3);
	for (uint32_t len = 0; len < 70000; len++) {
		uint32_t le = htole32(len);

		if (len == 3)
			continue;
		memcpy(b.data + 8, &le, 4);
		cr_assert_neq(record_parse(b.data, b.len, SALT, &r), 16 + len);
	}
	memset(b.data + 8, 0xff, 4);
	cr_assert_eq(record_parse(b.data, b.len, SALT, &r), -EBADMSG);
	memcpy(b.data + 8, "\x03\x00\x00\x00", 4);
	for (size_t n = 0; n < b.len; n++)
		cr_assert_eq(record_parse(b.data, n, SALT, &r), 0, "more bytes than there are");
	cr_assert_eq(record_parse(b.data, b.len, SALT, &r), (ssize_t)b.len);
	cr_assert_eq(record_parse(b.data, b.len, SALT + 1, &r), -EBADMSG);
	buf_release(&b);
}

/* A good first checksum is not enough. */
Test(recfile, payloads_are_not_trusted)
{
	struct buf b = BUF_INIT;
	struct record r;

	record_put(&b, SALT, RECORD_SNAPSHOT, 1, "abcdef", 6);
	for (size_t at = 12; at < b.len; at++) {
		b.data[at] ^= 4;
		cr_assert_eq(record_parse(b.data, b.len, SALT, &r), -EBADMSG);
		b.data[at] ^= 4;
	}
	buf_release(&b);
}

Test(recfile, the_salt_survives_damage_to_the_header)
{
	struct buf b = BUF_INIT;
	uint32_t a, c;

	cr_assert_eq(recfile_draw_salt(&a), 0);
	cr_assert_eq(recfile_draw_salt(&c), 0);
	cr_assert(a != 0 && c != 0 && a != c);
	recfile_put_header(&b, RECFILE_HEAD, 7, a);
	record_put(&b, a, RECORD_SNAPSHOT, 3, "abc", 3);
	cr_assert_eq(recfile_salt(b.data, RECFILE_HEADER - 1), 0);
	for (size_t at = 0; at < RECFILE_HEADER; at++) {
		b.data[at] ^= 0xff;
		cr_assert_eq(recfile_salt(b.data, b.len), a, "byte %zu", at);
		b.data[at] ^= 0xff;
	}
	memset(b.data + 24, 0, 4);
	cr_assert_eq(recfile_salt(b.data, b.len), a, "all of it is gone");
	buf_release(&b);
}

/* --- strangers' payloads ------------------------------------------------------------------------- */

static size_t scan_all(const struct buf *b, uint32_t stream)
{
	struct recscan s = {.data = b->data, .len = b->len, .pos = RECFILE_HEADER, .salt = SALT};
	struct record r;
	size_t found = 0;
	int got;

	while ((got = recscan_next(&s, &r)) != 0)
		found += got == 1 && r.stream == stream;
	return found;
}

/* A payload holds whole records of somebody else's stream; the record around it is torn or damaged. */
Test(recfile, a_forged_record_is_not_found)
{
	struct buf inner = BUF_INIT, b = BUF_INIT;

	record_put(&inner, 0, RECORD_SNAPSHOT, 66, "forged", 6);
	record_put(&inner, SALT + 1, RECORD_SNAPSHOT, 66, "forged", 6);
	recfile_put_header(&b, RECFILE_HEAD, 7, SALT);
	record_put(&b, SALT, RECORD_SNAPSHOT, 5, inner.data, inner.len);
	record_put(&b, SALT, RECORD_SNAPSHOT, 5, "next", 4);
	cr_assert(scan_all(&b, 5) == 2 && scan_all(&b, 66) == 0);
	for (size_t at = RECFILE_HEADER; at < RECFILE_HEADER + RECORD_HEADER; at++) {
		b.data[at] ^= 1;
		cr_assert(scan_all(&b, 5) == 1 && scan_all(&b, 66) == 0, "byte %zu", at);
		b.data[at] ^= 1;
	}
	for (; b.len > RECFILE_HEADER; b.len--)
		cr_assert_eq(scan_all(&b, 66), 0);
	buf_release(&inner);
	buf_release(&b);
}

/* A header that is good but for the salt, and no payload. */
static void put_lie(struct buf *b, uint32_t len)
{
	size_t start = b->len;
	uint8_t *payload = calloc(1, len);

	record_put(b, 0, RECORD_SNAPSHOT, 66, payload, len);
	b->len = start + RECORD_HEADER;
	free(payload);
}

/* Every 16 bytes a header that claims the rest of the file: 2 GiB to reckon, if one were believed. */
Test(recfile, crafted_headers_cost_nothing)
{
	const size_t room = 256u << 10;
	struct buf lies = BUF_INIT, b = BUF_INIT;
	struct timespec from, to;

	for (size_t at = 0; at < room; at += RECORD_HEADER) {
		put_lie(&lies, (uint32_t)(room - at) / 2);
	}
	recfile_put_header(&b, RECFILE_HEAD, 7, SALT);
	record_put(&b, SALT, RECORD_SNAPSHOT, 5, lies.data, lies.len);
	record_put(&b, SALT, RECORD_SNAPSHOT, 5, "next", 4);
	b.data[RECFILE_HEADER + 1] ^= 4;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	for (int i = 0; i < 20; i++)
		cr_assert(scan_all(&b, 5) == 1 && scan_all(&b, 66) == 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	cr_assert_lt(
		(to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000, 1000);
	buf_release(&lies);
	buf_release(&b);
}
