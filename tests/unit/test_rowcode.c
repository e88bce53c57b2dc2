/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/lib/testrand.h"
#include "user/lib/rowcode.h"

#define N 120u /* rows longer than what is encoded at once */

static struct series cells[N];
static const struct schema schema = {.n = N, .series = cells};

static uint64_t any_value(void)
{
	return test_rand() >> test_rand_below(64) << test_rand_below(2);
}

static void random_kinds(void)
{
	for (size_t i = 0; i < N; i++)
		cells[i].kind = (uint8_t)(VALUE_U64 + test_rand_below(3));
}

Test(rowcode, rows_come_back)
{
	uint64_t prev[N], cur[N], row[N];
	struct buf b = BUF_INIT;

	test_rand_init();
	for (int round = 0; round < 4000; round++) {
		bool key = test_rand_below(4) == 0;
		uint64_t changes = test_rand_below(4);

		random_kinds();
		for (size_t i = 0; i < N; i++) {
			prev[i] = test_rand_below(3) ? any_value() : 0;
			cur[i] = test_rand_below(4) < changes ? any_value() : prev[i];
		}
		buf_reset(&b);
		row_encode(&schema, key ? NULL : prev, cur, &b);
		memcpy(row, prev, sizeof(row));
		cr_assert_eq(row_decode(&schema, key, b.data, b.len, row), 0);
		cr_assert_arr_eq(row, cur, sizeof(row));
	}
	buf_release(&b);
}

Test(rowcode, unchanged_rows_are_two_bytes)
{
	uint64_t row[N] = {1, 2, 3};
	struct buf b = BUF_INIT;

	random_kinds();
	row_encode(&schema, row, row, &b);
	cr_assert_eq(b.len, 2);
	buf_release(&b);
}

Test(rowcode, bytes_that_do_not_cover_the_row_exactly_are_refused)
{
	uint64_t prev[N] = {0}, cur[N], row[N];
	struct buf b = BUF_INIT;

	test_rand_init();
	random_kinds();
	for (size_t i = 0; i < N; i++)
		cur[i] = i % 5 ? any_value() | 1 : 0;
	row_encode(&schema, prev, cur, &b);
	for (size_t len = 0; len < b.len; len++) {
		memcpy(row, prev, sizeof(row));
		cr_assert_eq(row_decode(&schema, false, b.data, len, row), -EBADMSG);
	}
	buf_put_u8(&b, 2);
	cr_assert_eq(row_decode(&schema, true, b.data, b.len, row), -EBADMSG);
	buf_release(&b);
}

Test(rowcode, runs_can_not_leave_the_row)
{
	static const uint64_t runs[] = {N, N + 1, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX};
	uint64_t row[N] = {0};

	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		struct buf b = BUF_INIT;

		buf_put_u8(&b, 0);
		buf_put_varint(&b, runs[i]);
		cr_assert_eq(row_decode(&schema, false, b.data, b.len, row), -EBADMSG);
		buf_release(&b);
	}
}

Test(rowcode, random_bytes_do_no_harm)
{
	uint64_t row[N] = {0};
	uint8_t bytes[80];

	test_rand_init();
	random_kinds();
	for (int round = 0; round < 100000; round++) {
		size_t len = test_rand_below(sizeof(bytes));

		for (size_t i = 0; i < len; i++)
			bytes[i] = test_rand_below(3) ? (uint8_t)test_rand() : 0;
		row_decode(&schema, test_rand_below(2), bytes, len, row);
	}
}

/* By docs/FORMAT.md, reckoned elsewhere. */
Test(rowcode, hashes_are_those_of_the_format)
{
	const uint64_t some[] = {1, 2, 3}, many[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
	const uint64_t zeros[5] = {0}, ones[4] = {~0ull, ~0ull, ~0ull, ~0ull};

	cr_expect_eq(row_hash(NULL, 0), 0xfca1a52e);
	cr_expect_eq(row_hash(some, 3), 0xb1ffa5d2);
	cr_expect_eq(row_hash(zeros, 5), 0x3aeef992);
	cr_expect_eq(row_hash(many, 9), 0x5deccd3c);
	cr_expect_eq(row_hash(ones, 4), 0xd802ce59);
}
