/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading segment files. The layout is drawn in include/tally/segment.h; here every number of it is
 * an attacker's until it has been compared with the limits and with the file's size.
 *
 * Rows are summed word by word, whatever the words are, and the sums are the values: what a metric is
 * called, and where its words are, is looked at once. All that is kept is linear in the file's size: the
 * metrics together have no more words than a row, and no more slots than the tables.
 */
#include "user/lib/segfile.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "include/tally/histogram.h"
#include "user/lib/buf.h"
#include "user/lib/schema.h"
#include "user/lib/schema_int.h"
#include "user/lib/seglabels.h"
#include "user/lib/sharedtext.h"
#include "user/lib/util.h"
#include "user/lib/word.h"

#define CHUNK (64u << 10) /* bytes of rows that are read at once; stays in the cache */

#define HEADER_V1 128u
#define DESC_V1   32u
#define USED_V1   24u /* bytes of a descriptor of version 1 that say something */

/* A metric of many series. */
struct segfile_table {
	struct segfile_metric metric; /* what they have in common; word is that of series 0 */
	const char *labels; /* text of the file, names without values */
	uint32_t first, slots; /* its slots among all of the segment */
	uint8_t *known; /* slots: 1 if the series has its metric */
};

struct segfile_span {
	uint32_t word, words;
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

/* The string at this offset of the table, or NULL if it is longer than max. */
static const char *raw_string_at(struct segfile *s, uint32_t offset, size_t max)
{
	const char *text = s->strings + offset;
	size_t n;

	if (offset >= s->header.strings_len)
		return NULL;
	/* the table's last byte is a zero, so strnlen stays inside */
	n = strnlen(text, max + 1);
	/* Many may be the same, but not so many that looking at them takes long. */
	s->text_seen += n;
	return n <= max && s->text_seen <= SEGFILE_STRINGS_MAX ? text : NULL;
}

/* Likewise, or NULL if it is not one that we show. */
static const char *string_at(struct segfile *s, uint32_t offset)
{
	const char *text = raw_string_at(s, offset, TALLY_SEGMENT_NAME_MAX);

	return text && text_valid(text, strlen(text)) ? text : NULL;
}

static int check_sizes(const struct tally_segment *h, struct errmsg *e)
{
	bool first = h->version == 1;

	if (memcmp(h->magic, TALLY_SEGMENT_MAGIC, sizeof(h->magic)) != 0)
		return err_set(e, -EPROTO, "not a segment (wrong magic)");
	if (!first && h->version != TALLY_SEGMENT_VERSION)
		return err_set(e, -EPROTO,
			"segment version %" PRIu32 ", this reads versions 1 to %u", h->version,
			TALLY_SEGMENT_VERSION);
	if (h->header_size != (first ? HEADER_V1 : sizeof(*h)) ||
		h->desc_size != (first ? DESC_V1 : sizeof(struct tally_segment_desc)))
		return err_set(e, -EPROTO, "wrong structure sizes");
	if (h->ndesc > SEGFILE_DESC_MAX || h->strings_len > SEGFILE_STRINGS_MAX ||
		h->tables_len / sizeof(struct tally_segment_slot) > SEGFILE_SLOTS_MAX ||
		h->row_size > SEGFILE_ROW_MAX || h->rows_max > SEGFILE_ROWS_MAX ||
		(uint64_t)h->row_size * h->rows_max > SEGFILE_BYTES_MAX)
		return err_set(e, -E2BIG,
			"over a limit: %" PRIu32 " metrics, %" PRIu32 " bytes of text, %" PRIu32
			" of tables, rows of %" PRIu32 " bytes, %" PRIu32 " rows",
			h->ndesc, h->strings_len, h->tables_len, h->row_size, h->rows_max);
	return 0;
}

static int check_header(const struct tally_segment *h, uint64_t size, struct errmsg *e)
{
	uint64_t desc_end = (uint64_t)h->desc_off + (uint64_t)h->ndesc * h->desc_size;
	uint64_t strings_end = (uint64_t)h->strings_off + h->strings_len;
	uint64_t tables_end = (uint64_t)h->tables_off + h->tables_len;
	int r = check_sizes(h, e);

	if (r < 0)
		return r;
	if (h->version == 1)
		tables_end = strings_end;
	else if (h->tables_off < strings_end || h->tables_off % TALLY_ROW_ALIGN != 0 ||
		 h->tables_len % sizeof(struct tally_segment_slot) != 0)
		return err_set(e, -EPROTO, "tables that overlap or are cut off");
	if (h->ndesc == 0 || h->strings_len == 0 || h->desc_off < h->header_size ||
		h->desc_off % 8 != 0 || h->strings_off < desc_end || h->rows_off < tables_end ||
		h->rows_off % TALLY_ROW_ALIGN != 0 || h->rows_off > size)
		return err_set(e, -EPROTO, "parts that overlap or lie outside of the file");
	if (h->row_size % TALLY_ROW_ALIGN != 0 || h->row_size < TALLY_ROW_HEADER + 8)
		return err_set(e, -EPROTO, "impossible row size %" PRIu32, h->row_size);
	if (h->rows == 0 || h->rows > h->rows_max)
		return err_set(
			e, -EPROTO, "%" PRIu32 " rows, of at most %" PRIu32, h->rows, h->rows_max);
	return 0;
}

int64_t segfile_cells(uint8_t type, int8_t lo, uint8_t hi, uint8_t bits)
{
	switch (type) {
	case TALLY_TYPE_COUNTER:
	case TALLY_TYPE_GAUGE:
	case TALLY_TYPE_GAUGE_DOUBLE:
		return 1;
	case TALLY_TYPE_INFO:
		return 0;
	case TALLY_TYPE_HISTOGRAM:
		if (lo < -1 || lo >= hi || hi > 63 || bits > TALLY_HISTOGRAM_BITS_MAX)
			return -1;
		return 1 + (int64_t)tally_histogram_buckets(lo, hi, bits);
	default:
		return -1;
	}
}

static bool name_is_ours(const char *name)
{
	return !strncmp(name, "tally_", 6) || !strncmp(name, "tallyd_", 7);
}

/* What metrics have taken: a bit for each word of a row, and for each slot. */
struct taken {
	uint8_t *words, *slots;
};

/*
 * Takes n places from `first` on; false if one is another's already. What was taken before that stays
 * taken, so that each place is looked at once, however many metrics ask for it.
 */
static bool take(uint8_t *bits, uint64_t first, uint64_t n)
{
	for (uint64_t i = first; i < first + n; i++) {
		if (bits[i / 8] & (1u << i % 8))
			return false;
		bits[i / 8] |= (uint8_t)(1u << i % 8);
	}
	return true;
}

/* Checks a descriptor and its strings; a metric that is refused says which it was. */
static int check_metric(struct segfile *s, const struct tally_segment_desc *d, uint32_t i,
	struct segfile_metric *ret, const struct taken *taken, struct errmsg *e)
{
	struct segfile_metric m = {
		.name = raw_string_at(s, d->name, TALLY_SEGMENT_NAME_MAX),
		.unit = string_at(s, d->unit),
		.help = string_at(s, d->help),
		.type = d->type,
		.scale = d->scale,
		.flags = (uint8_t)d->flags,
		.lo = d->lo,
		.hi = d->hi,
		.bits = d->bits,
		.word = (d->cell - TALLY_ROW_HEADER) / 8,
		.cells = d->cells,
	};
	uint64_t words = (uint64_t)d->cells * (d->slots ? d->slots : 1);

	if (!m.name || !metric_name_valid(m.name))
		return err_set(e, -EPROTO, "metric %" PRIu32 " has no valid name", i);
	if (name_is_ours(m.name))
		return err_set(
			e, -EPROTO, "%s: names that begin with tally_ are tally's own", m.name);
	if (!m.unit)
		return err_set(e, -EPROTO, "%s: its unit is no valid text", m.name);
	if (!m.help)
		m.help = "";
	if (d->flags & ~(unsigned)TALLY_FLAGS_KNOWN)
		return err_set(e, -EPROTO, "%s: unknown flags %#x", m.name, d->flags);
	if (d->scale < -18 || d->scale > 18 || (d->scale && d->type == TALLY_TYPE_GAUGE_DOUBLE))
		return err_set(e, -EPROTO, "%s: impossible scale %d", m.name, d->scale);
	if (segfile_cells(d->type, d->lo, d->hi, d->bits) != (int64_t)d->cells ||
		(d->type == TALLY_TYPE_INFO && d->slots))
		return err_set(e, -EPROTO, "%s: unknown type %u, or one of another shape", m.name,
			d->type);
	if (d->cell < TALLY_ROW_HEADER || d->cell % 8 != 0 ||
		d->cell + 8 * words > s->header.row_size || !take(taken->words, m.word, words))
		return err_set(
			e, -EPROTO, "%s: its cells are outside of the row, or another's", m.name);
	if ((uint64_t)d->table + d->slots >
			s->header.tables_len / sizeof(struct tally_segment_slot) ||
		!take(taken->slots, d->table, d->slots))
		return err_set(
			e, -EPROTO, "%s: its table is outside of the tables, or another's", m.name);
	*ret = m;
	return 0;
}

/* --- metrics -------------------------------------------------------------------------------- */

/* Takes the metric over, with its labels. */
static int add_metric(struct segfile *s, const struct segfile_metric *m, char *labels)
{
	size_t kept = s->n - s->forgotten;

	if (kept == s->capacity) {
		size_t n = s->capacity ? 2 * s->capacity : 16;
		struct segfile_metric *grown = reallocarray(s->metrics, n, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		s->metrics = grown;
		s->capacity = n;
	}
	s->metrics[kept] = *m;
	s->metrics[kept].labels = labels;
	s->n++;
	return 0;
}

static void free_metrics(struct segfile *s)
{
	for (size_t i = s->forgotten; i < s->n; i++)
		text_free(s->metrics[i - s->forgotten].labels);
	free(s->metrics);
	s->metrics = NULL;
	s->capacity = 0;
}

/* The text of labels as a string of its own. */
static int copy_labels(const char *labels, const char *slot, bool overflow, char **ret)
{
	struct buf text = BUF_INIT;
	int r = seglabels_format(labels, slot, overflow, &text);

	buf_put_u8(&text, 0);
	*ret = r == 0 && !buf_error(&text) ? text_dup((const char *)text.data) : NULL;
	buf_release(&text);
	return r < 0 ? r : *ret ? 0 : -ENOMEM;
}

static int add_table(struct segfile *s, const struct tally_segment_desc *d, const char *labels,
	const struct segfile_metric *m)
{
	struct segfile_table *grown = reallocarray(s->tables, s->ntables + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	s->tables = grown;
	grown[s->ntables] = (struct segfile_table){
		.metric = *m,
		.labels = labels,
		.first = d->table,
		.slots = d->slots,
		.known = calloc(d->slots, 1),
	};
	if (!grown[s->ntables].known)
		return -ENOMEM;
	s->ntables++;
	return 0;
}

/* Words that have their values in row 0 alone. Neighbours are one span. */
static int add_gauge(struct segfile *s, uint32_t word, uint32_t words)
{
	struct segfile_span *grown, *last = s->ngauges ? &s->gauges[s->ngauges - 1] : NULL;

	if (last && last->word + last->words == word) {
		last->words += words;
		return 0;
	}
	grown = reallocarray(s->gauges, s->ngauges + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->gauges = grown;
	grown[s->ngauges++] = (struct segfile_span){word, words};
	return 0;
}

/* Takes in a descriptor; -EPROTO if it is refused. */
static int add_desc(struct segfile *s, const struct tally_segment_desc *d, uint32_t i,
	const struct taken *taken, struct errmsg *e)
{
	const char *labels = raw_string_at(s, d->labels, SEGLABELS_TEXT_MAX);
	struct segfile_metric m;
	char *text = NULL;
	int r = check_metric(s, d, i, &m, taken, e);

	if (r < 0)
		return r;
	r = labels ? copy_labels(labels, d->slots ? "" : NULL, true, &text) : -EPROTO;
	if (r == -EPROTO)
		return err_set(e, r, "%s: its labels are no valid text", m.name);
	if (r == 0 && (m.type == TALLY_TYPE_GAUGE || m.type == TALLY_TYPE_GAUGE_DOUBLE))
		r = add_gauge(s, m.word, d->slots ? d->slots : 1);
	if (r == 0 && d->slots)
		r = add_table(s, d, labels, &m);
	else if (r == 0)
		r = add_metric(s, &m, text);
	if (r < 0 || d->slots)
		text_free(text);
	return r;
}

static int read_metrics(struct segfile *s, struct errmsg *e)
{
	const struct tally_segment *h = &s->header;
	size_t size = (size_t)h->ndesc * h->desc_size;
	const struct taken taken = {calloc(s->words / 8 + 1, 1),
		calloc(h->tables_len / sizeof(struct tally_segment_slot) / 8 + 1, 1)};
	uint8_t *desc = malloc(size);
	int r = -ENOMEM;

	if (desc && taken.words && taken.slots)
		r = read_exactly(s->fd, desc, size, h->desc_off);
	if (r < 0)
		err_set(e, r, "its descriptors can't be read");
	for (uint32_t i = 0; r == 0 && i < h->ndesc; i++) {
		struct tally_segment_desc d = {0};

		memcpy(&d, desc + (size_t)i * h->desc_size, h->version == 1 ? USED_V1 : sizeof(d));
		if (h->version == 1)
			d.flags = 0;
		r = add_desc(s, &d, i, &taken, s->refused ? NULL : &s->reason);
		if (r == -EPROTO) {
			s->refused++;
			r = 0;
		}
	}
	free(taken.words);
	free(taken.slots);
	free(desc);
	return r;
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

/* Of version 1 what it has; the rest is zero. */
static int read_header(const struct segfile *s, struct tally_segment *ret)
{
	struct tally_segment h;
	int r;

	memset(&h, 0, sizeof(h));
	r = read_exactly(s->fd, &h, HEADER_V1, 0);
	if (r == 0 && h.version == 1)
		memset((uint8_t *)&h + offsetof(struct tally_segment, cgroup), 0,
			sizeof(h) - offsetof(struct tally_segment, cgroup));
	else if (r == 0)
		r = read_exactly(
			s->fd, (uint8_t *)&h + HEADER_V1, sizeof(h) - HEADER_V1, HEADER_V1);
	if (r == 0)
		*ret = h;
	return r;
}

static int read_strings(struct segfile *s, struct errmsg *e)
{
	const struct tally_segment *h = &s->header;
	int r;

	s->strings = malloc(h->strings_len);
	if (!s->strings)
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
	s->cgroup = string_at(s, h->cgroup);
	if (!s->program || !*s->program || !s->object || !s->cgroup)
		return err_set(
			e, -EPROTO, "the program's, object's or cgroup's name is no valid text");
	return 0;
}

static int read_constants(struct segfile *s, struct errmsg *e)
{
	uint64_t size;
	int r = read_identity(s, &size, e);

	if (r < 0)
		return r;
	r = read_header(s, &s->header);
	if (r < 0)
		return err_set(e, r == -EBADMSG ? -EPROTO : r, "too short for a segment");
	r = check_header(&s->header, size, e);
	if (r == 0)
		r = read_strings(s, e);
	if (r < 0)
		return r;
	s->words = (s->header.row_size - TALLY_ROW_HEADER) / 8;
	s->values = calloc(s->words, sizeof(*s->values));
	return s->values ? read_metrics(s, e) : -ENOMEM;
}

int segfile_open(int dirfd, const char *name, struct segfile **ret, struct errmsg *e)
{
	struct segfile *s = calloc(1, sizeof(*s));
	size_t len = strlen(name);
	int r;

	if (!s)
		return -ENOMEM;
	s->fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	s->read_max = UINT64_MAX;
	if (s->fd < 0 && errno == EWOULDBLOCK)
		r = err_set(e, -EBUSY, "its owner holds a lease on it");
	else if (s->fd < 0)
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
	free_metrics(s);
	for (size_t i = 0; i < s->ntables; i++)
		free(s->tables[i].known);
	free(s->tables);
	free(s->gauges);
	free(s->strings);
	free(s->values);
	free(s);
}

/* Of all text the three names of the segment itself; without memory all of it stays. */
static void keep_names(struct segfile *s)
{
	const char **names[] = {&s->program, &s->object, &s->cgroup};
	struct buf kept = BUF_INIT;

	for (size_t i = 0; i < 3; i++)
		buf_put(&kept, *names[i], strlen(*names[i]) + 1);
	if (buf_error(&kept)) {
		buf_release(&kept);
		return;
	}
	free(s->strings);
	s->strings = (char *)kept.data;
	for (size_t i = 0, at = 0; i < 3; i++, at += strlen(s->strings + at) + 1)
		*names[i] = s->strings + at;
}

void segfile_forget(struct segfile *s)
{
	free_metrics(s);
	s->forgotten = s->n;
	/* tables have their texts where they were */
	if (!s->ntables)
		keep_names(s);
}

uint64_t segfile_memory(const struct segfile *s)
{
	const struct tally_segment *h = &s->header;
	uint64_t slots = h->tables_len / sizeof(struct tally_segment_slot);

	return h->strings_len + h->ndesc * (sizeof(*s->metrics) + 32ul) +
	       slots * (sizeof(*s->metrics) + 2 * TALLY_SLOT_TEXT) + s->words * 12 + sizeof(*s);
}

/* --- tables --------------------------------------------------------------------------------- */

/* Whose values are the first that this segment counts as overflow, and why. */
static void tell_offender(
	struct segfile *s, const struct segfile_table *t, bool full, const char *text)
{
	char shown[TALLY_SLOT_TEXT];

	snprintf(shown, sizeof(shown), "%s", text);
	for (char *c = shown; *c; c++)
		if (*c == TALLY_LABEL_VALUE[0])
			*c = ',';
	if (full)
		err_set(&s->offender, -E2BIG,
			"%s has no room for more label values than %" PRIu32
			"; the first to be counted as \"" SEGLABELS_OVERFLOW "\": %s",
			t->metric.name, t->slots - 1,
			text_valid(shown, strlen(shown)) ? shown : "?");
	else
		err_set(&s->offender, -EINVAL,
			"%s has a label value that is no text in UTF-8, and is counted as "
			"\"" SEGLABELS_OVERFLOW "\"",
			t->metric.name);
}

/* A slot that is ready has a series; what its values can't be told from are those of the overflow. */
static int add_series(struct segfile *s, struct segfile_table *t, uint32_t i, const char *text)
{
	bool full = i == t->slots - 1;
	struct segfile_metric m = t->metric;
	char *labels;
	int r = copy_labels(t->labels, text, full, &labels);

	m.overflow = full || r == -EINVAL;
	if (r == -EINVAL)
		r = copy_labels(t->labels, text, true, &labels);
	if (r < 0)
		return r;
	m.word += i * m.cells;
	r = add_metric(s, &m, labels);
	if (r < 0) {
		text_free(labels);
		return r;
	}
	t->known[i] = 1;
	/* of a set that is known beforehand the overflow is there from the start, without values */
	if (m.overflow && *text && !s->overflows++)
		tell_offender(s, t, full, text);
	return 0;
}

/* Looks for slots that have become ready. */
static int read_table(struct segfile *s, struct segfile_table *t, struct buf *scratch)
{
	size_t size = (size_t)t->slots * sizeof(struct tally_segment_slot);
	uint64_t at = s->header.tables_off + (uint64_t)t->first * sizeof(struct tally_segment_slot);
	struct tally_segment_slot *slots;
	int r;

	buf_reset(scratch);
	slots = (struct tally_segment_slot *)buf_reserve(scratch, size);
	if (!slots)
		return -ENOMEM;
	scratch->len = size;
	r = read_exactly(s->fd, slots, size, at);
	for (uint32_t i = 0; r == 0 && i < t->slots; i++) {
		if (t->known[i] || slots[i].state == TALLY_SLOT_FREE)
			continue;
		/* others count in the overflow while its text is written, or if its writer was killed */
		if (slots[i].state != TALLY_SLOT_READY && i == t->slots - 1)
			strcpy(slots[i].text, "?");
		else if (slots[i].state != TALLY_SLOT_READY) {
			s->waiting = true;
			continue;
		}
		slots[i].text[TALLY_SLOT_TEXT - 1] = '\0';
		r = add_series(s, t, i, slots[i].text);
	}
	return r;
}

/* After the rows: a series that is there now has its values, as far as they go. */
static int read_tables(struct segfile *s, uint32_t inserts, struct buf *scratch)
{
	int r = 0;

	if (!s->ntables || (inserts == s->header.inserts && s->rows && !s->waiting && !s->dead))
		return 0;
	s->waiting = false;
	for (size_t i = 0; r == 0 && i < s->ntables; i++)
		r = read_table(s, &s->tables[i], scratch);
	s->header.inserts = inserts;
	s->waiting |= r < 0;
	return r;
}

/* --- rows ----------------------------------------------------------------------------------- */

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
	scratch->len = at + CHUNK; /* so much is used each time */
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

/* Row 0 and the others make the values; gauges have theirs in row 0 alone, whatever stands in others. */
static void take_values(struct segfile *s, const struct buf *scratch)
{
	const uint64_t *row0 = (const uint64_t *)(const void *)scratch->data;
	const uint64_t *others = row0 + s->header.row_size / 8;
	size_t head = TALLY_ROW_HEADER / 8;

	row0 += head;
	add_words(s->values, row0, others + head, s->words);
	for (size_t i = 0; i < s->ngauges; i++)
		memcpy(s->values + s->gauges[i].word, row0 + s->gauges[i].word,
			8ul * s->gauges[i].words);
}

int segfile_read(struct segfile *s, struct buf *scratch)
{
	struct tally_segment now;
	uint64_t bytes;
	int r = read_header(s, &now);

	if (r < 0)
		return r;
	if (now.rows == 0 || now.rows > s->header.rows_max)
		return -EBADMSG;
	bytes = (uint64_t)now.rows * s->header.row_size;
	if (bytes > s->read_max)
		return -EDQUOT;
	s->read_max -= bytes;
	r = sum_rows(s, now.rows, scratch);
	if (r < 0)
		return r;
	take_values(s, scratch);
	r = read_tables(s, now.inserts, scratch);
	if (r < 0)
		return r;
	s->rows = now.rows;
	s->starts = now.starts;
	return 0;
}

uint64_t segfile_count(const struct segfile *s, const struct segfile_metric *m)
{
	uint64_t sum = 0;

	if (m->type == TALLY_TYPE_INFO)
		return 1;
	if (m->type != TALLY_TYPE_HISTOGRAM)
		return s->values[m->word];
	for (uint32_t i = 1; i < m->cells; i++)
		sum += s->values[m->word + i];
	return sum;
}

int segfile_test_dead(struct segfile *s)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

	if (!s->dead && fcntl(s->fd, F_OFD_SETLK, &lock) == 0)
		s->dead = true;
	return s->dead;
}

void segfile_release(struct segfile *s)
{
	struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	if (s->dead && fcntl(s->fd, F_OFD_SETLK, &lock) == 0)
		s->dead = false;
}

bool segfile_still_named(const struct segfile *s, int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == s->dev &&
	       st.st_ino == s->ino;
}
