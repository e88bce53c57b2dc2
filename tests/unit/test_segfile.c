/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * user/lib/segfile.c: a segment written by hand reads right, also one of version 1; one with any number
 * of it wrong is refused or clipped, and whatever bytes stand in it, the reader survives. Labels, tables
 * and histograms are in test_segfile_series.c.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/testdir.h"
#include "user/lib/segfile.h"

#define ROW_SIZE 64u
#define ROWS     3u
#define ROWS_OFF 512u
#define SIZE     (ROWS_OFF + ROWS * ROW_SIZE)

struct image {
	uint8_t bytes[SIZE];
	struct tally_segment *h;
	struct tally_segment_desc *d;
	uint64_t *rows;
};

static char dir[PATH_MAX];
static struct buf rows_buf;
static int dirfd_;

/* "\0prog\0requests\0Requests\0open\0Open now\0" */
static void image_init(struct image *m)
{
	static const char strings[] = "\0prog\0requests\0Requests\0open\0Open now";

	memset(m->bytes, 0, sizeof(m->bytes));
	m->h = (struct tally_segment *)m->bytes;
	m->d = (struct tally_segment_desc *)(m->h + 1);
	m->rows = (uint64_t *)(m->bytes + ROWS_OFF);
	memcpy(m->h->magic, TALLY_SEGMENT_MAGIC, 8);
	*m->h = (struct tally_segment){
		.version = TALLY_SEGMENT_VERSION,
		.header_size = sizeof(*m->h),
		.birth_ns = 5,
		.desc_off = sizeof(*m->h),
		.ndesc = 2,
		.desc_size = sizeof(*m->d),
		.strings_off = sizeof(*m->h) + 2 * sizeof(*m->d),
		.strings_len = sizeof(strings),
		.tables_off = ROWS_OFF,
		.rows_off = ROWS_OFF,
		.row_size = ROW_SIZE,
		.rows_max = ROWS,
		.rows = ROWS,
		.program = 1,
		.starts = 1,
	};
	memcpy(m->h->magic, TALLY_SEGMENT_MAGIC, 8);
	memcpy(m->bytes + m->h->strings_off, strings, sizeof(strings));
	m->d[0] = (struct tally_segment_desc){
		.name = 6, .help = 15, .type = TALLY_TYPE_COUNTER, .cell = 32, .cells = 1};
	m->d[1] = (struct tally_segment_desc){
		.name = 24, .help = 29, .type = TALLY_TYPE_GAUGE, .cell = 40, .cells = 1};
	for (uint32_t r = 0; r < ROWS; r++) {
		m->rows[r * 8 + 4] = 100 + r;
		m->rows[r * 8 + 5] = r == 0 ? (uint64_t)-7 : 9;
	}
}

/* The same in version 1: shorter structures, and no meaning in what follows `cells`. */
static void image_init_v1(struct image *m)
{
	struct tally_segment_desc d[2];
	struct tally_segment h;
	uint8_t strings[48];

	image_init(m);
	h = *m->h;
	memcpy(d, m->d, sizeof(d));
	memcpy(strings, m->bytes + h.strings_off, h.strings_len);
	memset(m->bytes, 0, ROWS_OFF);
	h.version = 1;
	h.header_size = h.desc_off = 128;
	h.desc_size = 32;
	h.strings_off = 128 + 2 * 32;
	h.tables_off = 0;
	memcpy(m->bytes, &h, 128);
	memset(m->bytes + 92, 0xff, 36);
	for (int i = 0; i < 2; i++) {
		memcpy(m->bytes + 128 + 32 * i, &d[i], 24);
		memset(m->bytes + 128 + 32 * i + 24, 0xff, 8);
	}
	memcpy(m->bytes + h.strings_off, strings, h.strings_len);
}

static void image_write(const struct image *m, const char *name, size_t size)
{
	int fd = openat(dirfd_, name, O_CREAT | O_TRUNC | O_WRONLY, 0600);

	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, m->bytes, size), (ssize_t)size);
	close(fd);
}

static void setup(void)
{
	test_dir_make(dir, "segfile");
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY);
}

static void teardown(void)
{
	buf_release(&rows_buf);
	close(dirfd_);
	test_dir_remove(dir);
}

TestSuite(segfile, .init = setup, .fini = teardown);

static int try_image(const struct image *m, struct errmsg *e)
{
	struct segfile *s;
	int r;

	image_write(m, "x", SIZE);
	r = segfile_open(dirfd_, "x", &s, e);
	if (r == 0)
		segfile_close(s);
	return r;
}

static void check_reads(const struct image *m)
{
	struct errmsg e = {""};
	struct segfile *s;

	image_write(m, "x", SIZE);
	cr_assert_eq(segfile_open(dirfd_, "x", &s, &e), 0, "%s", e.text);
	cr_assert_eq(s->n, 2, "%s", s->reason.text);
	cr_expect_str_eq(s->cgroup, "");
	cr_expect_str_eq(s->metrics[0].labels, "");
	cr_expect_str_eq(s->program, "prog");
	cr_expect_str_eq(s->metrics[0].name, "requests");
	cr_expect_str_eq(s->metrics[0].help, "Requests");
	cr_expect_str_eq(s->metrics[1].unit, "");
	segfile_forget(s);
	cr_expect_str_eq(s->program, "prog", "the names of the segment stay");
	cr_expect_str_eq(s->cgroup, "");
	cr_assert_eq(segfile_read(s, &rows_buf), 0);
	cr_expect_eq(s->values[0], 303);
	cr_expect_eq((int64_t)s->values[1], -7, "gauges are in row 0 alone");
	cr_expect_eq(s->uid, getuid());
	cr_expect(segfile_still_named(s, dirfd_, "x"));
	cr_assert_eq(unlinkat(dirfd_, "x", 0), 0);
	cr_expect_not(segfile_still_named(s, dirfd_, "x"));
	segfile_close(s);
}

Test(segfile, reads)
{
	struct image m;

	image_init(&m);
	check_reads(&m);
}

Test(segfile, reads_version_1)
{
	struct image m;

	image_init_v1(&m);
	check_reads(&m);
}

Test(segfile, tells_the_living_from_the_dead)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct errmsg e = {""};
	struct segfile *s;
	struct image m;
	int fd;
	void *map;

	image_init(&m);
	image_write(&m, "x", SIZE);
	fd = openat(dirfd_, "x", O_RDWR);
	cr_assert_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
	map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	close(fd); /* the mapping keeps the lock */
	cr_assert_eq(segfile_open(dirfd_, "x", &s, &e), 0);
	cr_expect_eq(segfile_test_dead(s), 0);
	munmap(map, SIZE);
	cr_expect_eq(segfile_test_dead(s), 1);
	fd = openat(dirfd_, "x", O_RDWR);
	cr_expect_eq(fcntl(fd, F_OFD_SETLK, &lock), -1, "nobody adopts it while we hold it");
	segfile_close(s);
	cr_expect_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
	close(fd);
}

#define REFUSED(change)                                                       \
	do {                                                                  \
		struct errmsg e_ = {""};                                      \
		struct image m;                                               \
		image_init(&m);                                               \
		change;                                                       \
		cr_expect_lt(try_image(&m, &e_), 0, "accepted: %s", #change); \
		cr_expect_str_neq(e_.text, "", "no reason: %s", #change);     \
	} while (0)

Test(segfile, refuses_wrong_numbers)
{
	REFUSED(m.h->magic[0] = 'X');
	REFUSED(m.h->version = 0);
	REFUSED(m.h->version = 1);
	REFUSED(m.h->version = TALLY_SEGMENT_VERSION + 1);
	REFUSED(m.h->header_size--);
	REFUSED(m.h->desc_size = 0);
	REFUSED(m.h->ndesc = 0);
	REFUSED(m.h->ndesc = 3);
	REFUSED(m.h->ndesc = UINT32_MAX);
	REFUSED(m.h->desc_off = UINT32_MAX - 7);
	REFUSED(m.h->desc_off = 8);
	REFUSED(m.h->strings_off = UINT32_MAX);
	REFUSED(m.h->strings_len = UINT32_MAX);
	REFUSED(m.h->strings_len = 0);
	REFUSED(m.h->strings_len--);
	REFUSED(m.h->cgroup = UINT32_MAX);
	REFUSED(m.h->tables_off = 0);
	REFUSED(m.h->tables_off = UINT32_MAX / 64 * 64);
	REFUSED(m.h->tables_len = 128);
	REFUSED(m.h->tables_len = 1);
	REFUSED(m.h->tables_len = UINT32_MAX / 128 * 128);
	REFUSED(m.h->rows_off = 0);
	REFUSED(m.h->rows_off = UINT32_MAX / 64 * 64);
	REFUSED(m.h->rows_off += 8);
	REFUSED(m.h->row_size = 0);
	REFUSED(m.h->row_size = 32);
	REFUSED(m.h->row_size = UINT32_MAX / 64 * 64);
	REFUSED(m.h->rows_max = UINT32_MAX);
	REFUSED(m.h->program = UINT32_MAX);
	REFUSED(m.h->program = 0);
	REFUSED(m.bytes[m.h->strings_off + 2] = '\n');
	REFUSED(m.bytes[m.h->strings_off + 2] = 0xff);
	REFUSED(m.h->rows_max = 65536; m.h->row_size = 2048);
}

#define DROPPED(change)                                                                          \
	do {                                                                                     \
		struct errmsg e_ = {""};                                                         \
		struct segfile *s;                                                               \
		struct image m;                                                                  \
		image_init(&m);                                                                  \
		change;                                                                          \
		image_write(&m, "x", SIZE);                                                      \
		cr_assert_eq(segfile_open(dirfd_, "x", &s, &e_), 0, "%s: %s", #change, e_.text); \
		cr_expect_eq(s->n, 1, "not dropped: %s", #change);                               \
		cr_expect_eq(s->refused, 1);                                                     \
		cr_expect_str_neq(s->reason.text, "", "no reason: %s", #change);                 \
		segfile_close(s);                                                                \
	} while (0)

Test(segfile, a_wrong_metric_costs_only_itself)
{
	DROPPED(m.d[0].name = UINT32_MAX);
	DROPPED(m.d[0].name = 0);
	DROPPED(m.d[0].unit = UINT32_MAX);
	DROPPED(m.bytes[m.h->strings_off + 6] = '-');
	DROPPED(m.d[0].type = 0);
	DROPPED(m.d[0].type = 77);
	DROPPED(m.d[0].cells = 2);
	DROPPED(m.d[0].scale = 100);
	DROPPED(m.d[0].cell = 24);
	DROPPED(m.d[0].cell = 60);
	DROPPED(m.d[1].cell = 64);
	DROPPED(m.d[1].cell = UINT32_MAX - 7);
	DROPPED(m.d[0].flags = 2);
	DROPPED(m.d[0].labels = UINT32_MAX);
	DROPPED(m.d[0].labels = 6); /* text, but no pairs */
	DROPPED(m.d[0].table = UINT32_MAX; m.d[0].slots = 1);
	DROPPED(m.d[0].slots = UINT32_MAX);
	DROPPED(memcpy(m.bytes + m.h->strings_off + 6, "tally_x", 8));
}

Test(segfile, a_wrong_help_is_left_out)
{
	struct errmsg e = {""};
	struct segfile *s;
	struct image m;

	image_init(&m);
	m.bytes[m.h->strings_off + 16] = '\n';
	image_write(&m, "x", SIZE);
	cr_assert_eq(segfile_open(dirfd_, "x", &s, &e), 0, "%s", e.text);
	cr_assert_eq(s->n, 2);
	cr_expect_str_eq(s->metrics[0].help, "");
	cr_expect_str_eq(s->metrics[1].help, "Open now");
	segfile_close(s);
}

Test(segfile, refuses_what_is_no_file)
{
	struct errmsg e = {""};
	struct segfile *s;
	struct image m;

	image_init(&m);
	image_write(&m, "real", SIZE);
	cr_assert_eq(mkfifoat(dirfd_, "fifo", 0600), 0);
	cr_assert_eq(mkdirat(dirfd_, "dir", 0700), 0);
	cr_assert_eq(symlinkat("real", dirfd_, "link"), 0);
	image_write(&m, "half.new", SIZE);
	image_write(&m, "empty", 0);
	cr_expect_lt(segfile_open(dirfd_, "fifo", &s, &e), 0);
	cr_expect_lt(segfile_open(dirfd_, "dir", &s, &e), 0);
	cr_expect_lt(segfile_open(dirfd_, "link", &s, &e), 0);
	cr_expect_lt(segfile_open(dirfd_, "empty", &s, &e), 0);
	cr_expect_eq(segfile_open(dirfd_, "half.new", &s, &e), -EAGAIN);
}

Test(segfile, keeps_its_values_when_the_file_shrinks_or_lies)
{
	struct errmsg e = {""};
	struct segfile *s;
	struct image m;
	uint32_t rows = 1000;
	int fd;

	image_init(&m);
	image_write(&m, "x", SIZE);
	cr_assert_eq(segfile_open(dirfd_, "x", &s, &e), 0);
	cr_assert_eq(segfile_read(s, &rows_buf), 0);
	fd = openat(dirfd_, "x", O_RDWR);
	cr_assert_eq(pwrite(fd, &rows, sizeof(rows), offsetof(struct tally_segment, rows)),
		sizeof(rows));
	cr_expect_eq(segfile_read(s, &rows_buf), -EBADMSG, "more rows than it may have");
	cr_assert_eq(ftruncate(fd, SIZE - 1), 0);
	rows = ROWS;
	cr_assert_eq(pwrite(fd, &rows, sizeof(rows), offsetof(struct tally_segment, rows)),
		sizeof(rows));
	cr_expect_eq(segfile_read(s, &rows_buf), -EBADMSG, "cut short");
	cr_expect_eq(s->values[0], 303);
	close(fd);
	segfile_close(s);
}

/* Any bytes may be changed: the reader refuses or reads something, and never goes out of bounds. */
Test(segfile, survives_mutation)
{
	const char *text = getenv("TALLY_SEED");
	unsigned seed = text ? (unsigned)atoi(text) : (unsigned)time(NULL);
	unsigned accepted = 0;

	fprintf(stderr, "TALLY_SEED=%u\n", seed);
	srand(seed);
	for (int i = 0; i < 20000; i++) {
		struct errmsg e = {""};
		struct segfile *s;
		struct image m;

		image_init(&m);
		for (int n = 1 + rand() % 4; n > 0; n--) {
			uint32_t at = (uint32_t)rand() % ROWS_OFF;

			m.bytes[at] = rand() % 2 ? (uint8_t)rand() : (uint8_t)(1 << rand() % 8);
		}
		image_write(&m, "x", rand() % 8 ? SIZE : (size_t)rand() % SIZE);
		if (segfile_open(dirfd_, "x", &s, &e) < 0)
			continue;
		accepted++;
		segfile_read(s, &rows_buf);
		segfile_close(s);
	}
	cr_expect_gt(
		accepted, 100, "the mutations are too rough to test anything behind the checks");
}
