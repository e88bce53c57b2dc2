/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/lib/testrand.h"
#include "user/lib/recfile.h"

#define NRECORDS 40u

/* NRECORDS records; offsets[i] is where record i begins, offsets[NRECORDS] the end. */
static void make_file(struct buf *b, size_t *offsets)
{
	uint8_t payload[300];

	recfile_put_header(b, RECFILE_HEAD, 7);
	for (uint32_t i = 0; i < NRECORDS; i++) {
		size_t len = i * 7 % sizeof(payload);

		for (size_t k = 0; k < len; k++)
			payload[k] = (uint8_t)(i % 3 ? test_rand() : 0xa7); /* looks like marks */
		offsets[i] = b->len;
		record_put(b, RECORD_SNAPSHOT, i, payload, len);
	}
	offsets[NRECORDS] = b->len;
	cr_assert_eq(buf_error(b), 0);
}

Test(recfile, header_tells_file_kind_and_number)
{
	struct buf b = BUF_INIT;
	uint64_t number = 0;

	recfile_put_header(&b, RECFILE_RING, 1234567890123);
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
	s = (struct recscan){.data = b.data, .len = b.len, .pos = RECFILE_HEADER};
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
		struct recscan s = {.data = b.data, .len = cut, .pos = RECFILE_HEADER};
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
		struct recscan s = {.data = b.data, .len = b.len, .pos = RECFILE_HEADER};
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

	record_put(&b, RECORD_NODE, 1, "abc", 3);
	memset(b.data + 8, 0xff, 4);
	cr_assert_eq(record_parse(b.data, b.len, &r), -EBADMSG, "over the limit");
	memcpy(b.data + 8, "\x04\x00\x00\x00", 4);
	cr_assert_eq(record_parse(b.data, b.len, &r), 0, "more bytes than there are");
	memcpy(b.data + 8, "\x02\x00\x00\x00", 4);
	cr_assert_eq(record_parse(b.data, b.len, &r), -EBADMSG);
	cr_assert_eq(record_parse(b.data, 0, &r), 0);
	buf_release(&b);
}
