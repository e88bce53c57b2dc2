/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading segment files. The layout is drawn in include/tally/segment.h; here every number of it is
 * an attacker's until it has been compared with the limits and with the file's size.
 *
 * Rows are read in chunks of about CHUNK bytes, so that a large segment costs time, not memory.
 */
#include "user/lib/segfile.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/lib/buf.h"
#include "user/lib/schema.h"
#include "user/lib/schema_int.h"

#define CHUNK (64u << 10)

/* pread(2) until n bytes are there; -EBADMSG if the file ends before. */
static int read_exactly(int fd, void *to, size_t n, uint64_t offset)
{
	uint8_t *p = to;

	while (n > 0) {
		ssize_t r = pread(fd, p, n, (off_t)offset);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			return -EBADMSG;
		p += r;
		n -= (size_t)r;
		offset += (uint64_t)r;
	}
	return 0;
}

/* --- checks --------------------------------------------------------------------------------- */

/* The string at this offset of the table, or NULL if it is not one that we show. */
static const char *string_at(const struct segfile *s, uint32_t offset)
{
	const char *text = s->strings + offset;
	size_t n;

	if (offset >= s->header.strings_len)
		return NULL;
	/* the table's last byte is a zero, so strnlen stays inside */
	n = strnlen(text, TALLY_SEGMENT_NAME_MAX + 1);
	return n <= TALLY_SEGMENT_NAME_MAX && text_valid(text, n) ? text : NULL;
}

static int check_header(const struct tally_segment *h, uint64_t size, struct errmsg *e)
{
	uint64_t desc_end = (uint64_t)h->desc_off + (uint64_t)h->ndesc * h->desc_size;
	uint64_t strings_end = (uint64_t)h->strings_off + h->strings_len;

	if (memcmp(h->magic, TALLY_SEGMENT_MAGIC, sizeof(h->magic)) != 0)
		return err_set(e, -EPROTO, "not a segment (wrong magic)");
	if (h->version != TALLY_SEGMENT_VERSION)
		return err_set(e, -EPROTO, "segment version %" PRIu32 ", this reads version %u",
			h->version, TALLY_SEGMENT_VERSION);
	if (h->header_size != sizeof(*h) || h->desc_size != sizeof(struct tally_segment_desc))
		return err_set(e, -EPROTO, "wrong structure sizes");
	if (h->ndesc > SEGFILE_DESC_MAX || h->strings_len > SEGFILE_STRINGS_MAX ||
		h->row_size > SEGFILE_ROW_MAX || h->rows_max > SEGFILE_ROWS_MAX ||
		(uint64_t)h->row_size * h->rows_max > SEGFILE_BYTES_MAX)
		return err_set(e, -E2BIG,
			"over a limit: %" PRIu32 " metrics, %" PRIu32
			" bytes of text, rows of %" PRIu32 " bytes, %" PRIu32 " rows",
			h->ndesc, h->strings_len, h->row_size, h->rows_max);
	if (h->ndesc == 0 || h->strings_len == 0 || h->desc_off < sizeof(*h) ||
		h->desc_off % 8 != 0 || h->strings_off < desc_end || h->rows_off < strings_end ||
		h->rows_off % TALLY_ROW_ALIGN != 0 || h->rows_off > size)
		return err_set(e, -EPROTO, "parts that overlap or lie outside of the file");
	if (h->row_size % TALLY_ROW_ALIGN != 0 || h->row_size < TALLY_ROW_HEADER + 8)
		return err_set(e, -EPROTO, "impossible row size %" PRIu32, h->row_size);
	return 0;
}

/* Checks a descriptor and its strings; a metric that is refused says which it was. */
static int check_metric(const struct segfile *s, const struct tally_segment_desc *d, uint32_t i,
	struct segfile_metric *ret, struct errmsg *e)
{
	struct segfile_metric m = {
		.name = string_at(s, d->name),
		.unit = string_at(s, d->unit),
		.help = string_at(s, d->help),
		.type = d->type,
		.scale = d->scale,
		.cell = d->cell,
	};

	if (!m.name || !metric_name_valid(m.name))
		return err_set(e, -EPROTO, "metric %" PRIu32 " has no valid name", i);
	if (!m.unit)
		return err_set(e, -EPROTO, "%s: its unit is no valid text", m.name);
	if (!m.help)
		m.help = "";
	if ((d->type != TALLY_TYPE_COUNTER && d->type != TALLY_TYPE_GAUGE) || d->cells != 1)
		return err_set(e, -EPROTO, "%s: unknown type %u", m.name, d->type);
	if (d->scale < -18 || d->scale > 18)
		return err_set(e, -EPROTO, "%s: impossible scale %d", m.name, d->scale);
	if (d->cell < TALLY_ROW_HEADER || d->cell % 8 != 0 || d->cell > s->header.row_size - 8)
		return err_set(e, -EPROTO, "%s: its cell is outside of the row", m.name);
	*ret = m;
	return 0;
}

/* --- opening -------------------------------------------------------------------------------- */

/* Birth time, where the file system keeps one. */
static uint64_t birth_time(int fd)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) < 0 || !(st.stx_mask & STATX_BTIME))
		return 0;
	return (uint64_t)st.stx_btime.tv_sec * 1000000000u + st.stx_btime.tv_nsec;
}

static int read_identity(struct segfile *s, uint64_t *ret_size, struct errmsg *e)
{
	struct stat st;

	if (fstat(s->fd, &st) < 0)
		return err_set(e, -errno, "%s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EPROTO, "not a regular file");
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	s->uid = st.st_uid;
	s->btime_ns = birth_time(s->fd);
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

static int read_metrics(struct segfile *s, struct errmsg *e)
{
	size_t size = s->header.ndesc * sizeof(struct tally_segment_desc);
	struct tally_segment_desc *desc = malloc(size);
	int r = desc ? read_exactly(s->fd, desc, size, s->header.desc_off) : -ENOMEM;

	if (r < 0)
		err_set(e, r, "its descriptors can't be read");
	for (uint32_t i = 0; r == 0 && i < s->header.ndesc; i++) {
		struct errmsg *reason = s->refused ? NULL : &s->reason;

		if (check_metric(s, &desc[i], i, &s->metrics[s->n], reason) == 0)
			s->n++;
		else
			s->refused++;
	}
	free(desc);
	return r;
}

static int read_constants(struct segfile *s, struct errmsg *e)
{
	struct tally_segment *h = &s->header;
	uint64_t size;
	int r = read_identity(s, &size, e);

	if (r < 0)
		return r;
	r = read_exactly(s->fd, h, sizeof(*h), 0);
	if (r < 0)
		return err_set(e, r == -EBADMSG ? -EPROTO : r, "too short for a segment");
	r = check_header(h, size, e);
	if (r < 0)
		return r;
	s->strings = malloc(h->strings_len);
	s->metrics = calloc(h->ndesc, sizeof(*s->metrics));
	s->values = calloc(h->ndesc, sizeof(*s->values));
	s->sums = calloc(h->ndesc, sizeof(*s->sums));
	if (!s->strings || !s->metrics || !s->values || !s->sums)
		return -ENOMEM;
	r = read_exactly(s->fd, s->strings, h->strings_len, h->strings_off);
	if (r < 0)
		return err_set(e, r, "its text can't be read");
	if (s->strings[h->strings_len - 1] != '\0')
		return err_set(e, -EPROTO, "text without an end");
	memcpy(s->id, h->id, sizeof(s->id));
	s->birth_ns = h->birth_ns;
	s->program = string_at(s, h->program);
	s->object = string_at(s, h->object);
	if (!s->program || !*s->program || !s->object)
		return err_set(e, -EPROTO, "the program's or object's name is no valid text");
	return read_metrics(s, e);
}

int segfile_open(int dirfd, const char *name, struct segfile **ret, struct errmsg *e)
{
	struct segfile *s = calloc(1, sizeof(*s));
	size_t len = strlen(name);
	int r;

	if (!s)
		return -ENOMEM;
	s->fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (s->fd < 0)
		r = err_set(e, -errno, "%s", strerror(errno));
	else if (len > 4 && strcmp(name + len - 4, ".new") == 0)
		r = -EAGAIN;
	else
		r = read_constants(s, e);
	if (r < 0)
		segfile_close(s);
	else
		*ret = s;
	return r;
}

void segfile_close(struct segfile *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	free(s->strings);
	free(s->metrics);
	free(s->values);
	free(s->sums);
	free(s);
}

/* --- rows ----------------------------------------------------------------------------------- */

static void add_row(struct segfile *s, const uint8_t *row, bool first)
{
	for (size_t i = 0; i < s->n; i++) {
		uint64_t cell;

		if (!first && s->metrics[i].type == TALLY_TYPE_GAUGE)
			continue;
		memcpy(&cell, row + s->metrics[i].cell, sizeof(cell));
		s->sums[i] += cell;
	}
}

static int sum_rows(struct segfile *s, uint32_t rows, struct buf *scratch)
{
	uint32_t size = s->header.row_size, at_once = size > CHUNK ? 1 : CHUNK / size;
	uint8_t *chunk;

	buf_reset(scratch);
	chunk = buf_reserve(scratch, (size_t)size * (rows < at_once ? rows : at_once));
	if (!chunk)
		return -ENOMEM;
	memset(s->sums, 0, s->n * sizeof(*s->sums));
	for (uint32_t r = 0; r < rows; r += at_once) {
		uint32_t n = rows - r < at_once ? rows - r : at_once;
		int err = read_exactly(
			s->fd, chunk, (size_t)n * size, s->header.rows_off + (uint64_t)r * size);

		if (err < 0)
			return err;
		for (uint32_t i = 0; i < n; i++)
			add_row(s, chunk + (size_t)i * size, r + i == 0);
	}
	return 0;
}

int segfile_read(struct segfile *s, struct buf *scratch)
{
	struct tally_segment now;
	int r = read_exactly(s->fd, &now, sizeof(now), 0);

	if (r < 0)
		return r;
	if (now.rows == 0 || now.rows > s->header.rows_max)
		return -EBADMSG;
	r = sum_rows(s, now.rows, scratch);
	if (r < 0)
		return r;
	memcpy(s->values, s->sums, s->n * sizeof(*s->sums));
	s->rows = now.rows;
	s->starts = now.starts;
	return 0;
}

int segfile_test_dead(struct segfile *s)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

	if (!s->dead && fcntl(s->fd, F_OFD_SETLK, &lock) == 0)
		s->dead = true;
	return s->dead;
}

bool segfile_still_named(const struct segfile *s, int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == s->dev &&
	       st.st_ino == s->ino;
}
