/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Record files: headers, single records, and scanning over damage. Layout: see the header. */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "user/lib/recfile.h"
#include "user/lib/util.h"

#define RECORD_MARK    0xa7u
#define MAGIC          "TALLYREC"
#define CRC_POLYNOMIAL 0xedb88320u

static uint32_t get_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t get_u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static void set_u32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static uint16_t get_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t crc(uint32_t start, const void *p, size_t n)
{
	return n ? (uint32_t)crc32_z(start, p, n) : start;
}

/* --- file headers ------------------------------------------------------------------------------ */

int recfile_draw_salt(uint32_t *ret_salt)
{
	uint32_t salt = 0;

	while (salt == 0) {
		int err = random_bytes(&salt, sizeof(salt));

		if (err)
			return err;
	}
	*ret_salt = salt;
	return 0;
}

void recfile_put_header(struct buf *out, enum recfile_kind kind, uint64_t number, uint32_t salt)
{
	uint8_t h[RECFILE_HEADER] = {0};
	uint64_t le_number = htole64(number);

	memcpy(h, MAGIC, 8);
	set_u32(h + 8, RECFILE_VERSION);
	set_u32(h + 12, kind);
	memcpy(h + 16, &le_number, 8);
	set_u32(h + 24, salt);
	set_u32(h + 28, crc(0, h, 28));
	buf_put(out, h, sizeof(h));
}

int recfile_check_header(const uint8_t *p, size_t n, enum recfile_kind kind, uint64_t *ret_number)
{
	if (n < RECFILE_HEADER || memcmp(p, MAGIC, 8) != 0 || get_u32(p + 28) != crc(0, p, 28))
		return -EBADMSG;
	if (get_u32(p + 8) != RECFILE_VERSION)
		return -EPROTO;
	if (get_u32(p + 12) != kind || get_u32(p + 24) == 0)
		return -EBADMSG;
	*ret_number = get_u64(p + 16);
	return 0;
}

/* --- records ----------------------------------------------------------------------------------- */

static uint16_t header_check(const uint8_t *h, uint32_t salt)
{
	return (uint16_t)crc(crc(salt, h, 2), h + 4, 8);
}

void record_put(struct buf *out, uint32_t salt, uint8_t type, uint32_t stream, const void *payload,
	size_t len)
{
	uint8_t h[RECORD_HEADER] = {RECORD_MARK, type};
	uint16_t check;

	set_u32(h + 4, stream);
	set_u32(h + 8, (uint32_t)len);
	check = header_check(h, salt);
	h[2] = (uint8_t)check;
	h[3] = (uint8_t)(check >> 8);
	set_u32(h + 12, crc(crc(salt, h, 12), payload, len));
	buf_put(out, h, sizeof(h));
	buf_put(out, payload, len);
}

int records_salt(struct buf *out, uint32_t salt, const uint8_t *records, size_t n)
{
	struct recscan scan = {.data = records, .len = n};
	struct record rec;
	int got;

	while ((got = recscan_next(&scan, &rec)) == 1)
		record_put(out, salt, rec.type, rec.stream, rec.payload, rec.len);
	return got ? got : buf_error(out);
}

/* Of n bytes, which may be the beginning of a header only. */
static bool header_valid(const uint8_t *p, size_t n, uint32_t salt)
{
	return p[0] == RECORD_MARK && (n < 2 || p[1] != 0) &&
	       (n < 12 || (header_check(p, salt) == get_u16(p + 2) &&
				  get_u32(p + 8) <= RECORD_PAYLOAD_MAX));
}

uint32_t recfile_salt(const uint8_t *p, size_t n)
{
	uint32_t named, x, i;

	if (n < RECFILE_HEADER)
		return 0;
	named = get_u32(p + 24);
	if (get_u32(p + 28) == crc(0, p, 28) || n < RECFILE_SALT_BYTES ||
		header_valid(p + RECFILE_HEADER, RECORD_HEADER, named))
		return named;
	/* If it is the salt that is damaged, the checksum tells it: back over its 32 bits. */
	for (i = 0, x = ~get_u32(p + 28); i < 32; i++)
		x = x >> 31 ? (x ^ CRC_POLYNOMIAL) << 1 | 1 : x << 1;
	return x ^ ~crc(0, p, 24);
}

ssize_t record_parse(const uint8_t *p, size_t n, uint32_t salt, struct record *ret)
{
	size_t len;

	if (n == 0)
		return 0;
	if (!header_valid(p, n, salt))
		return -EBADMSG;
	if (n < RECORD_HEADER)
		return 0;
	len = get_u32(p + 8);
	if (n - RECORD_HEADER < len)
		return 0;
	if (crc(crc(salt, p, 12), p + RECORD_HEADER, len) != get_u32(p + 12))
		return -EBADMSG;
	*ret = (struct record){
		.type = p[1],
		.stream = get_u32(p + 4),
		.payload = p + RECORD_HEADER,
		.len = len,
	};
	return (ssize_t)(RECORD_HEADER + len);
}

/* --- scanning ---------------------------------------------------------------------------------- */

/* Offset of the next whole valid record at or behind from; s->len if there is none. */
static size_t find_record(const struct recscan *s, size_t from)
{
	struct record r;

	while (s->salt && from < s->len) {
		const uint8_t *p = memchr(s->data + from, RECORD_MARK, s->len - from);

		if (!p)
			break;
		from = (size_t)(p - s->data);
		if (record_parse(p, s->len - from, s->salt, &r) > 0)
			return from;
		from++;
	}
	return s->len;
}

int recscan_next(struct recscan *s, struct record *ret)
{
	struct record r;
	ssize_t size;

	if (s->pos >= s->len)
		return 0;
	size = record_parse(s->data + s->pos, s->len - s->pos, s->salt, &r);
	if (size > 0) {
		r.offset = s->pos;
		s->pos += (size_t)size;
		*ret = r;
		return 1;
	}
	s->damage_from = s->pos;
	s->damage_to = s->pos = find_record(s, s->pos + 1);
	return -EBADMSG;
}
