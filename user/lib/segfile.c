/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading segment files. The layout is drawn in include/tally/segment.h; here every number of it is
 * an attacker's until it has been compared with the limits and with the file's size.
 *
 * Whole rows are summed, word by word, whatever stands in them; what is metrics is taken from the sum
 * once, a span of cells at a time. So a read costs its bytes and its metrics, never their product.
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

#define CHUNK \
	(64u << 10) /* bytes of a pread after the first: it is still in L2 when it is summed */

typedef uint64_t pair __attribute__((vector_size(16), aligned(8), may_alias));

/* Cells that lie side by side in a row, as their values do in segfile.values. */
struct segfile_span {
	uint32_t word, words; /* from the start of a row */
	bool gauge; /* row 0 alone counts */
};

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

/* They lie side by side from m->cell on, inside of the row. */
static uint32_t metric_cells(const struct segfile_metric *m)
{
	(void)m;
	return 1;
}

static bool is_gauge(const struct segfile_metric *m)
{
	return m->type == TALLY_TYPE_GAUGE;
}

/* Of the metrics, once. Honest writers lay out cells in order: few spans; hostile ones: s->n. */
static int find_spans(struct segfile *s)
{
	struct segfile_span *at = NULL, *fit;

	s->spans = calloc(s->n ? s->n : 1, sizeof(*s->spans));
	if (!s->spans)
		return -ENOMEM;
	s->nspans = 0;
	for (size_t i = 0; i < s->n; i++) {
		const struct segfile_metric *m = &s->metrics[i];
		uint32_t word = m->cell / 8, words = metric_cells(m);

		if (words == 0)
			continue;
		if (at && at->gauge == is_gauge(m) && at->word + at->words == word) {
			at->words += words;
			continue;
		}
		at = &s->spans[s->nspans++];
		*at = (struct segfile_span){word, words, is_gauge(m)};
	}
	fit = realloc(s->spans, (s->nspans ? s->nspans : 1) * sizeof(*fit));
	if (fit)
		s->spans = fit;
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
	if (!s->strings || !s->metrics || !s->values)
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
	r = read_metrics(s, e);
	return r < 0 ? r : find_spans(s);
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
	free(s->spans);
	free(s);
}

/* --- rows ----------------------------------------------------------------------------------- */

/* to[i] = a[i] + b[i]; to may be a. In pairs by hand: at -O2 gcc 12 makes no vectors of a plain loop. */
static void add_words(uint64_t *to, const uint64_t *a, const uint64_t *b, size_t n)
{
	size_t i = 0;

	for (; i + 2 <= n; i += 2)
		*(pair *)(to + i) = *(const pair *)(a + i) + *(const pair *)(b + i);
	if (i < n)
		to[i] = a[i] + b[i];
}

/* Adds n bytes of rows that follow each other, of which the first is at byte `at` of all rows. */
static void add_rows(uint8_t *sum, size_t size, size_t at, const uint8_t *rows, size_t n)
{
	while (n > 0) {
		size_t place = at % size, part = n < size - place ? n : size - place;
		uint64_t *to = (uint64_t *)(void *)(sum + place);

		add_words(to, to, (const uint64_t *)(const void *)rows, part / 8);
		at += part;
		rows += part;
		n -= part;
	}
}

/*
 * Puts two rows into scratch: row 0, and behind it the sum of all others. The first pread brings row 0
 * and row 1 to their places, and what follows them as far as there is room.
 */
static int sum_rows(const struct segfile *s, uint32_t rows, struct buf *scratch)
{
	size_t size = s->header.row_size, total = size * rows, at = 2 * size;
	size_t have = total < at + CHUNK ? total : at + CHUNK;
	uint8_t *row0, *more;
	int r;

	buf_reset(scratch);
	row0 = buf_reserve(scratch, at + CHUNK);
	if (!row0)
		return -ENOMEM;
	more = row0 + at;
	r = read_exactly(s->fd, row0, have, s->header.rows_off);
	if (rows == 1)
		memset(row0 + size, 0, size);
	while (r == 0 && at < total) {
		size_t n = total - at < CHUNK ? total - at : CHUNK;

		if (at >= have)
			r = read_exactly(s->fd, more, n, s->header.rows_off + at);
		if (r == 0)
			add_rows(row0 + size, size, at, more, n);
		at += n;
	}
	return r;
}

int segfile_read(struct segfile *s, struct buf *scratch)
{
	const uint64_t *row0, *others;
	uint64_t *value = s->values;
	struct tally_segment now;
	int r = read_exactly(s->fd, &now, sizeof(now), 0);

	if (r < 0)
		return r;
	if (now.rows == 0 || now.rows > s->header.rows_max)
		return -EBADMSG;
	r = sum_rows(s, now.rows, scratch);
	if (r < 0)
		return r;
	row0 = (const uint64_t *)(const void *)scratch->data;
	others = row0 + s->header.row_size / 8;
	for (size_t i = 0; i < s->nspans; i++) {
		const struct segfile_span *p = &s->spans[i];

		if (p->gauge)
			memcpy(value, row0 + p->word, 8 * (size_t)p->words);
		else
			add_words(value, row0 + p->word, others + p->word, p->words);
		value += p->words;
	}
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
