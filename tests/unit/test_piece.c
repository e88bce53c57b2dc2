/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>

#include "gatherer/store/piece.h"
#include "tests/lib/testrand.h"

static void fill(uint8_t *p, size_t n, bool random)
{
	for (size_t i = 0; i < n; i++)
		p[i] = random ? (uint8_t)test_rand() : (uint8_t)(i / 7 % 5);
}

Test(piece, bytes_come_back_and_damage_does_not)
{
	static const size_t sizes[] = {0, 1, 2, 100, 5000, 300000};
	struct packer *packer = packer_new();
	struct unpacker *unpacker = unpacker_new();
	uint8_t *raw = malloc(300000);
	struct buf stored = BUF_INIT, back = BUF_INIT;

	test_rand_init();
	for (size_t i = 0; i < 12; i++) {
		size_t n = sizes[i / 2];
		struct piece piece;

		fill(raw, n, i % 2);
		buf_reset(&stored);
		cr_assert_eq(piece_pack(packer, raw, n, &stored, &piece), 0);
		cr_assert(piece.stored == stored.len && piece.raw == n);
		cr_assert_leq(piece.stored, n, "never longer");
		cr_assert(i % 2 || n < 100 || piece.stored < n / 4);
		cr_assert_eq(piece_unpack(unpacker, &piece, stored.data, &back), 0);
		cr_assert(back.len == n && (n == 0 || memcmp(back.data, raw, n) == 0));
		for (size_t k = 0; k < 50 && n > 0; k++) {
			size_t at = test_rand_below(stored.len);

			stored.data[at] ^= 0x20;
			cr_assert_eq(piece_unpack(unpacker, &piece, stored.data, &back), -EBADMSG);
			stored.data[at] ^= 0x20;
		}
	}
	packer_free(packer);
	unpacker_free(unpacker);
	buf_release(&stored);
	buf_release(&back);
	free(raw);
}

Test(piece, lengths_that_lie_are_refused)
{
	struct packer *packer = packer_new();
	struct unpacker *unpacker = unpacker_new();
	struct buf stored = BUF_INIT, back = BUF_INIT;
	uint8_t raw[1000];
	struct piece piece, lie;

	fill(raw, sizeof(raw), false);
	cr_assert_eq(piece_pack(packer, raw, sizeof(raw), &stored, &piece), 0);
	lie = piece;
	lie.raw = 999;
	cr_assert_eq(piece_unpack(unpacker, &lie, stored.data, &back), -EBADMSG);
	lie.raw = 1001;
	cr_assert_eq(piece_unpack(unpacker, &lie, stored.data, &back), -EBADMSG);
	cr_assert_eq(piece_unpack(unpacker, &piece, stored.data, &back), 0);
	packer_free(packer);
	unpacker_free(unpacker);
	buf_release(&stored);
	buf_release(&back);
}

Test(piece, descriptions_come_back_or_are_refused)
{
	struct piece piece = {.stored = 12, .raw = 4000, .crc = 0xdeadbeef}, got;
	struct buf b = BUF_INIT;
	struct rd r;

	piece_put(&b, &piece);
	r = rd_init(b.data, b.len);
	got = piece_get(&r);
	cr_assert(!r.failed && got.stored == 12 && got.raw == 4000 && got.crc == 0xdeadbeef);
	buf_reset(&b);
	piece_put(&b, &(struct piece){.stored = 13, .raw = 12});
	r = rd_init(b.data, b.len);
	piece_get(&r);
	cr_assert(r.failed, "stored longer than raw");
	buf_reset(&b);
	piece_put(&b, &(struct piece){.stored = 13, .raw = PIECE_MAX + 1});
	r = rd_init(b.data, b.len);
	piece_get(&r);
	cr_assert(r.failed, "too long");
	buf_release(&b);
}
