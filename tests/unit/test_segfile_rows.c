/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * user/lib/segfile.c's sums: segments of random shape (rows of one line to many pages, one row to
 * thousands, cells in order or anywhere) are read as a loop over metrics and rows reads them; and a read
 * costs the segment's bytes, however many metrics claim the same ones.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/testdir.h"
#include "user/lib/segfile.h"
#include "user/lib/util.h"

#define TEXT     "\0prog\0a"
#define TEXT_LEN sizeof(TEXT)

static char dir[PATH_MAX];
static struct buf rows_buf;
static int dirfd_;

static void setup(void)
{
	test_dir_make(dir, "segrows");
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY);
}

static void teardown(void)
{
	buf_release(&rows_buf);
	close(dirfd_);
	test_dir_remove(dir);
}

TestSuite(segfile_rows, .init = setup, .fini = teardown);

struct shape {
	uint32_t metrics, row_size, rows;
	size_t size;
	uint8_t *bytes;
	struct tally_segment *h;
	struct tally_segment_desc *d;
};

static void shape_init(struct shape *s, uint32_t metrics, uint32_t row_size, uint32_t rows)
{
	size_t texts = sizeof(*s->h) + metrics * sizeof(*s->d);
	size_t rows_off = (texts + TEXT_LEN + TALLY_ROW_ALIGN - 1) & ~(TALLY_ROW_ALIGN - 1ul);

	s->metrics = metrics;
	s->row_size = row_size;
	s->rows = rows;
	s->size = rows_off + (size_t)row_size * rows;
	s->bytes = calloc(1, s->size);
	cr_assert_not_null(s->bytes);
	s->h = (struct tally_segment *)(void *)s->bytes;
	s->d = (struct tally_segment_desc *)(void *)(s->h + 1);
	*s->h = (struct tally_segment){
		.version = TALLY_SEGMENT_VERSION,
		.header_size = sizeof(*s->h),
		.desc_off = sizeof(*s->h),
		.ndesc = metrics,
		.desc_size = sizeof(*s->d),
		.strings_off = (uint32_t)texts,
		.strings_len = TEXT_LEN,
		.tables_off = (uint32_t)rows_off,
		.rows_off = (uint32_t)rows_off,
		.row_size = row_size,
		.rows_max = rows,
		.rows = rows,
		.program = 1,
		.starts = 1,
	};
	memcpy(s->h->magic, TALLY_SEGMENT_MAGIC, 8);
	memcpy(s->bytes + texts, TEXT, TEXT_LEN);
	for (uint32_t i = 0; i < metrics; i++)
		s->d[i] = (struct tally_segment_desc){.name = 6,
			.type = TALLY_TYPE_COUNTER,
			.cell = TALLY_ROW_HEADER,
			.cells = 1};
}

static struct segfile *shape_open(const struct shape *s)
{
	struct errmsg e = {""};
	struct segfile *f;
	int fd = openat(dirfd_, "x", O_CREAT | O_TRUNC | O_WRONLY, 0600);

	cr_assert_eq(write(fd, s->bytes, s->size), (ssize_t)s->size);
	close(fd);
	cr_assert_eq(segfile_open(dirfd_, "x", &f, &e), 0, "%s", e.text);
	cr_assert_eq(f->n + f->refused, s->metrics);
	return f;
}

static uint64_t model(const struct shape *s, uint32_t metric)
{
	const struct tally_segment_desc *d = &s->d[metric];
	uint32_t rows = d->type == TALLY_TYPE_GAUGE ? 1 : s->rows;
	uint64_t sum = 0, cell;

	for (uint32_t r = 0; r < rows; r++) {
		memcpy(&cell, s->bytes + s->h->rows_off + (size_t)r * s->row_size + d->cell, 8);
		sum += cell;
	}
	return sum;
}

static uint64_t random64(void)
{
	return (uint64_t)rand() << 42 ^ (uint64_t)rand() << 21 ^ (uint64_t)rand();
}

/* At most one metric for each word, in order, backwards, or anywhere. */
static void random_metrics(struct shape *s)
{
	uint32_t room = (s->row_size - TALLY_ROW_HEADER) / 8, order = (uint32_t)rand() % 4;

	for (uint32_t i = 0; i < s->metrics; i++) {
		s->d[i].cell = TALLY_ROW_HEADER + 8 * (order == 1 ? room - 1 - i : i);
		s->d[i].type =
			rand() % (order == 3 ? 100 : 3) ? TALLY_TYPE_COUNTER : TALLY_TYPE_GAUGE;
	}
	for (uint32_t i = s->metrics; order == 0 && i-- > 1;) {
		uint32_t other = (uint32_t)rand() % (i + 1), cell = s->d[i].cell;

		s->d[i].cell = s->d[other].cell;
		s->d[other].cell = cell;
	}
}

Test(segfile_rows, sums_as_a_plain_loop_does)
{
	const char *text = getenv("TALLY_SEED");
	unsigned seed = text ? (unsigned)atoi(text) : (unsigned)time(NULL);

	fprintf(stderr, "TALLY_SEED=%u\n", seed);
	srand(seed);
	for (int turn = 0; turn < 600; turn++) {
		uint32_t lines = 1u + (uint32_t)rand() % (1u << rand() % 12);
		uint32_t most = (4u << 20) / (lines * TALLY_ROW_ALIGN), rows = 1;
		struct shape s;
		struct segfile *f;

		rows += (uint32_t)rand() % (rand() % 4 ? 4 : most);
		shape_init(
			&s, 1 + (uint32_t)rand() % (lines * 8 - 4), lines * TALLY_ROW_ALIGN, rows);
		random_metrics(&s);
		for (uint8_t *p = s.bytes + s.h->rows_off; p < s.bytes + s.size; p += 8) {
			uint64_t v = random64();

			memcpy(p, &v, 8);
		}
		f = shape_open(&s);
		cr_assert_eq(f->refused, 0, "%s", f->reason.text);
		for (int twice = 0; twice < 2; twice++)
			cr_assert_eq(segfile_read(f, &rows_buf), 0);
		for (uint32_t i = 0; i < s.metrics; i++)
			cr_assert_eq(f->values[f->metrics[i].word], model(&s, i),
				"metric %u of %u, %u rows of %u bytes", i, s.metrics, rows,
				s.row_size);
		segfile_close(f);
		free(s.bytes);
	}
}

Test(segfile_rows, many_metrics_of_one_cell_cost_no_more_than_their_number)
{
	struct shape s;
	struct segfile *f;
	uint64_t begin, ns;

	shape_init(&s, 65536, TALLY_ROW_ALIGN, 65536);
	for (uint32_t r = 0; r < s.rows; r++)
		s.bytes[s.h->rows_off + (size_t)r * s.row_size + TALLY_ROW_HEADER] = 1;
	f = shape_open(&s);
	begin = clock_monotonic_ns();
	cr_assert_eq(segfile_read(f, &rows_buf), 0);
	ns = clock_monotonic_ns() - begin;
	cr_expect_eq(f->n, 1, "the others want its cell, and are refused");
	cr_expect_eq(f->values[f->metrics[0].word], 65536);
	/* one or two ms; 65536 x 65536 additions would take seconds */
	cr_expect_lt(ns, 500000000, "%.1f ms", (double)ns / 1e6);
	segfile_close(f);
	free(s.bytes);
}

Test(segfile_rows, a_hundred_thousand_counters_fit)
{
	struct shape s;
	struct segfile *f;

	shape_init(&s, 100000, 800064, 2);
	for (uint32_t i = 0; i < s.metrics; i++) {
		s.d[i].cell = TALLY_ROW_HEADER + 8 * i;
		memcpy(s.bytes + s.h->rows_off + s.row_size + s.d[i].cell, &i, sizeof(i));
	}
	f = shape_open(&s);
	cr_assert_eq(segfile_read(f, &rows_buf), 0);
	for (uint32_t i = 0; i < s.metrics; i++)
		cr_assert_eq(f->values[f->metrics[i].word], i);
	segfile_close(f);
	free(s.bytes);
}
