/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * user/lib/segfile.c: metrics of many cells and many series, in a segment written by hand: labels, tables
 * whose series turn up, histograms, doubles, infos.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "include/tally/histogram.h"
#include "tests/lib/testdir.h"
#include "user/lib/segfile.h"

#define ROW_SIZE 512u
#define ROWS     2u
#define SLOTS    4u
#define BUCKETS  TALLY_HISTOGRAM_BUCKETS_OF(0, 3, 2u)

/* A segment as it is in the file. */
static struct image {
	struct tally_segment h;
	struct tally_segment_desc d[5];
	char strings[336]; /* so that the tables begin at a multiple of 64 */
	struct tally_segment_slot slots[SLOTS];
	uint64_t rows[ROWS][ROW_SIZE / 8];
} image;

static char dir[PATH_MAX];
static int dirfd_, fd;
static uint32_t text_at;
static struct segfile *seg;
static struct buf scratch;

static uint32_t text(const char *s)
{
	uint32_t at = text_at;

	strcpy(image.strings + at, s);
	text_at += (uint32_t)strlen(s) + 1;
	return at;
}

static void add_desc(const char *name, const char *labels, struct tally_segment_desc d)
{
	d.name = text(name);
	d.labels = text(labels);
	image.d[image.h.ndesc++] = d;
}

/* Word w of the cells of a row. */
static void set(uint32_t row, uint32_t w, uint64_t value)
{
	image.rows[row][TALLY_ROW_HEADER / 8 + w] = value;
}

static void write_image(void)
{
	cr_assert_eq(pwrite(fd, &image, sizeof(image), 0), (ssize_t)sizeof(image));
}

static void make_image(void)
{
	uint32_t cell = TALLY_ROW_HEADER;

	memset(&image, 0, sizeof(image));
	memcpy(image.h.magic, TALLY_SEGMENT_MAGIC, 8);
	image.h.version = TALLY_SEGMENT_VERSION;
	image.h.header_size = sizeof(image.h);
	image.h.desc_size = sizeof(image.d[0]);
	image.h.desc_off = offsetof(struct image, d);
	image.h.strings_off = offsetof(struct image, strings);
	image.h.strings_len = sizeof(image.strings);
	image.h.tables_off = offsetof(struct image, slots);
	image.h.tables_len = sizeof(image.slots);
	image.h.rows_off = offsetof(struct image, rows);
	image.h.row_size = ROW_SIZE;
	image.h.rows_max = image.h.rows = ROWS;
	image.h.starts = 1;
	text_at = 1;
	image.h.program = text("prog");
	image.h.cgroup = text("/a/b");
	add_desc("lat",
		"zone\x1f"
		"x\x1e"
		"area\x1f"
		"\"q\"\x1e",
		(struct tally_segment_desc){.type = TALLY_TYPE_HISTOGRAM,
			.lo = 0,
			.hi = 3,
			.bits = 2,
			.cell = cell,
			.cells = 1 + BUCKETS});
	cell += 8 * (1 + BUCKETS);
	add_desc("temp", "",
		(struct tally_segment_desc){
			.type = TALLY_TYPE_GAUGE_DOUBLE, .cell = cell, .cells = 1});
	cell += 8;
	add_desc("about",
		"v\x1f"
		"1\x1e",
		(struct tally_segment_desc){.type = TALLY_TYPE_INFO, .cell = cell});
	add_desc("by",
		"who\x1e"
		"fixed\x1f"
		"f\x1e",
		(struct tally_segment_desc){
			.type = TALLY_TYPE_COUNTER, .cell = cell, .cells = 1, .slots = SLOTS});
}

static void setup(void)
{
	test_dir_make(dir, "segseries");
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY);
	fd = openat(dirfd_, "x", O_CREAT | O_RDWR, 0600);
	make_image();
}

static void teardown(void)
{
	segfile_close(seg);
	buf_release(&scratch);
	close(fd);
	close(dirfd_);
	test_dir_remove(dir);
}

TestSuite(segfile_series, .init = setup, .fini = teardown);

static void open_image(void)
{
	struct errmsg e = {""};

	write_image();
	cr_assert_eq(segfile_open(dirfd_, "x", &seg, &e), 0, "%s", e.text);
	cr_assert_eq(seg->refused, 0, "%s", seg->reason.text);
	cr_assert_eq(segfile_read(seg, &scratch), 0);
}

static const struct segfile_metric *find(const char *name, const char *labels)
{
	for (size_t i = 0; i < seg->n - seg->forgotten; i++)
		if (!strcmp(seg->metrics[i].name, name) && !strcmp(seg->metrics[i].labels, labels))
			return &seg->metrics[i];
	return NULL;
}

static void expect(const char *name, const char *labels, uint64_t value)
{
	const struct segfile_metric *m = find(name, labels);

	cr_assert_not_null(m, "no %s{%s}", name, labels);
	cr_expect_eq(segfile_count(seg, m), value, "%s{%s} is %llu", name, labels,
		(unsigned long long)segfile_count(seg, m));
}

static void fill_slot(uint32_t i, uint32_t state, const char *value)
{
	image.slots[i].state = state;
	strcpy(image.slots[i].text, value);
	image.h.inserts++;
}

Test(segfile_series, kinds)
{
	double celsius = -12.5;
	uint64_t bits;

	memcpy(&bits, &celsius, sizeof(bits));
	for (uint32_t r = 0; r < ROWS; r++) {
		set(r, 0, 100); /* the sum of its values */
		set(r, 1, 3);
		set(r, BUCKETS, 2);
	}
	set(0, 1 + BUCKETS, bits);
	set(1, 1 + BUCKETS, 77); /* a gauge is in row 0 alone */
	open_image();
	cr_expect_str_eq(seg->cgroup, "/a/b");
	expect("lat", "area=\"\\\"q\\\"\",zone=\"x\"", 10);
	cr_expect_eq(seg->values[find("lat", "area=\"\\\"q\\\"\",zone=\"x\"")->word], 200);
	expect("temp", "", bits);
	expect("about", "v=\"1\"", 1);
	cr_expect_eq(seg->n, 3, "a table without slots has no series");
}

Test(segfile_series, series_turn_up)
{
	const uint32_t first = 2 + BUCKETS;

	open_image();
	fill_slot(1, TALLY_SLOT_WRITING, "bob");
	set(1, first + 1, 5);
	write_image();
	cr_assert_eq(segfile_read(seg, &scratch), 0);
	cr_expect_null(find("by", "fixed=\"f\",who=\"bob\""), "it is not ready");
	/* its writer was killed before it could say so: it is looked at again all the same */
	image.slots[1].state = TALLY_SLOT_READY;
	write_image();
	cr_assert_eq(segfile_read(seg, &scratch), 0);
	expect("by", "fixed=\"f\",who=\"bob\"", 5);
	fill_slot(0, TALLY_SLOT_READY, "bob");
	set(0, first, 2);
	write_image();
	cr_assert_eq(segfile_read(seg, &scratch), 0);
	cr_expect_eq(seg->n, 5, "twice the same values are two, which are summed elsewhere");
	cr_expect_eq(seg->overflows, 0);
}

/* What is forgotten is read on, and what turns up later is told. */
Test(segfile_series, forgotten)
{
	const uint32_t first = 2 + BUCKETS;

	open_image();
	segfile_forget(seg);
	cr_expect_eq(seg->n, 3);
	fill_slot(1, TALLY_SLOT_READY, "bob");
	set(0, 1 + BUCKETS, 9);
	set(1, first + 1, 5);
	write_image();
	cr_assert_eq(segfile_read(seg, &scratch), 0);
	cr_expect_eq(seg->n, 4);
	cr_expect_eq(seg->forgotten, 3);
	cr_expect_eq(seg->values[1 + BUCKETS], 9);
	expect("by", "fixed=\"f\",who=\"bob\"", 5);
	segfile_forget(seg);
	cr_expect_eq(seg->forgotten, 4);
	cr_expect_null(find("by", "fixed=\"f\",who=\"bob\""));
}

Test(segfile_series, overflow)
{
	const uint32_t first = 2 + BUCKETS;

	fill_slot(0, TALLY_SLOT_READY, "a");
	fill_slot(1, TALLY_SLOT_READY, "\xff\xfe");
	fill_slot(2, TALLY_SLOT_READY,
		"a\x1f"
		"b");
	/* who writes it was killed; others have gone on counting there */
	fill_slot(3, TALLY_SLOT_WRITING, "");
	for (uint32_t i = 0; i < SLOTS; i++)
		set(1, first + i, 10 + i);
	open_image();
	expect("by", "fixed=\"f\",who=\"a\"", 10);
	cr_expect_eq(seg->overflows, 3);
	cr_expect_str_neq(seg->offender.text, "");
	for (size_t i = 0, n = 11; i < seg->n; i++)
		if (seg->metrics[i].overflow) {
			cr_expect_str_eq(seg->metrics[i].labels, "fixed=\"f\",who=\"overflow\"");
			cr_expect_eq(segfile_count(seg, &seg->metrics[i]), n++);
		}
}

static void refused(const char *why)
{
	struct errmsg e = {""};

	write_image();
	cr_assert_eq(segfile_open(dirfd_, "x", &seg, &e), 0, "%s", e.text);
	cr_expect_eq(seg->refused, 1, "%s", why);
	segfile_close(seg);
	seg = NULL;
	make_image();
}

Test(segfile_series, wrong_ones_cost_only_themselves)
{
	image.d[0].cells--;
	refused("a bucket is missing");
	image.d[0].hi = 64;
	refused("a range over 64 bits");
	image.d[0].bits = 9;
	refused("too fine");
	image.d[0].lo = 3;
	refused("an empty range");
	image.d[1].scale = -3;
	refused("a double has no scale");
	image.d[2].cells = 1;
	refused("an info has no cell");
	image.d[3].slots++;
	refused("a slot too many");
	image.d[3].table = 1;
	refused("slots behind the end");
	image.d[1].cell = image.d[0].cell;
	refused("another's cell");
	strcpy(image.strings + image.d[3].labels, "user\x1e");
	refused("a label that tells whose it is");
	strcpy(image.strings + image.d[2].labels, "v\x1e");
	refused("a name without a value, and no table");
}
