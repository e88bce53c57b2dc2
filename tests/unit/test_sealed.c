/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>

#include "gatherer/store/os.h"
#include "gatherer/store/sealed.h"
#include "tests/lib/testdir.h"
#include "tests/lib/testgroups.h"

#define POLLS 300u
#define WIDE  100u /* series: several bundles, and copies across them */

struct fixture {
	char path[PATH_MAX];
	int dirfd;
	struct schema schema;
	struct block_clocks times, clocks;
	uint64_t *rows;
};

static void make_schema(struct schema *s, const char *group)
{
	*s = (struct schema){.group = strdup(group), .start_ns = 77, .interval_ms = 1000};
	for (size_t i = 0; i < WIDE; i++) {
		char name[16];
		struct series x = {.name = name, .type = METRIC_GAUGE};

		snprintf(name, sizeof(name), "m%zu", i);
		x.kind = (uint8_t)(VALUE_U64 + i % 3);
		cr_assert_eq(schema_add(s, &x), 0);
	}
}

static void make_polls(struct fixture *f)
{
	f->rows = calloc(POLLS * WIDE, sizeof(*f->rows));
	for (size_t i = 0; i < POLLS; i++) {
		uint64_t seq = 10 + i + (i > 100), *row = f->rows + i * WIDE;
		uint64_t t[TIME_COLUMNS] = {
			seq, 1000000 * seq + test_rand_below(50), 5000000 * seq};
		uint64_t c[GROUP_COLUMNS] = {seq, 7000, 3000 + test_rand_below(100), i == 101};

		cr_assert_eq(block_clocks_add(&f->times, TIME_COLUMNS, t), 0);
		cr_assert_eq(block_clocks_add(&f->clocks, GROUP_COLUMNS, c), 0);
		for (size_t k = 0; k < WIDE; k++)
			row[k] = k % 10 == 9 && k > 9 ? 4 * row[k - 9] + 5
				 : k % 4 == 0         ? 99
					      : (i ? row[k - WIDE] : 0) + test_rand_below(900);
	}
}

static void fixture_make(struct fixture *f)
{
	*f = (struct fixture){0};
	test_rand_init();
	test_dir_make(f->path, "sealed");
	f->dirfd = open(f->path, O_RDONLY | O_DIRECTORY);
	make_schema(&f->schema, "wide");
	make_polls(f);
}

static void fixture_release(struct fixture *f)
{
	schema_release(&f->schema);
	block_clocks_release(&f->times);
	block_clocks_release(&f->clocks);
	free(f->rows);
	close(f->dirfd);
	test_dir_remove(f->path);
}

/* Two nodes with the same group: file number 5. */
static uint64_t write_file(struct fixture *f)
{
	struct stream_past past[] = {{3, 9}, {4, 310}};
	struct incarnation inc = {.id = 4, .start_ns = 6, .boot_id = {1, 2}};
	struct sealed_writer *w;
	uint64_t size;

	cr_assert_eq(sealed_writer_new(f->dirfd, 5, &w), 0);
	for (uint8_t node = 1; node <= 2; node++) {
		uint8_t id[32] = {node};

		cr_assert_eq(sealed_writer_node(w, id, node == 1 ? "one" : "two"), 0);
		cr_assert_eq(sealed_writer_run(w, &inc), 0);
		cr_assert_eq(sealed_writer_times(w, &f->times, POLLS), 0);
		cr_assert_eq(
			sealed_writer_group(w, &f->schema, &f->clocks, f->rows, POLLS, -5, 123456),
			0);
		cr_assert_eq(sealed_writer_past(w, past, 2), 0);
	}
	cr_assert_eq(sealed_writer_finish(w, &size), 0);
	sealed_writer_free(w);
	return size;
}

static void assert_index(const struct sealed *s)
{
	const struct sealed_node *n = &s->index.nodes[1];
	const struct sealed_block *b = &n->runs[0].blocks[1];

	cr_assert_eq(s->index.nnodes, 2);
	cr_assert_eq(s->index.nschemas, 1, "shared by both nodes");
	cr_assert(n->id[0] == 2 && strcmp(n->name, "two") == 0);
	cr_assert(n->npast == 2 && n->past[1].incarnation == 4 && n->past[1].seq == 310);
	cr_assert(n->nruns == 1 && n->runs[0].nblocks == 2 && n->runs[0].blocks[0].is_times);
	cr_assert(n->runs[0].inc.id == 4 && n->runs[0].inc.boot_id[1] == 2);
	cr_assert(!b->is_times && b->npolls == POLLS && b->first_seq == 10 && b->last_seq == 310);
	cr_assert(b->from_ns == -5 && b->to_ns == 123456 && b->start_ns == 77);
	cr_assert_eq(sealed_index_samples(&s->index), 2 * POLLS * WIDE);
}

static void no_damage(void *arg, uint64_t offset, const char *what)
{
	cr_assert_fail("%s at %llu", what, (unsigned long long)offset);
}

Test(sealed, everything_reads_back)
{
	struct sealed_reader *r = sealed_reader_new();
	const struct block_clocks *c;
	const uint64_t *values;
	struct schema schema;
	struct fixture f;
	struct sealed *s;
	uint64_t size;

	fixture_make(&f);
	size = write_file(&f);
	cr_assert_eq(sealed_open(f.dirfd, 5, &s), 0);
	cr_assert_eq(s->size, size);
	assert_index(s);
	cr_assert_eq(sealed_read_schema(r, s, 0, &schema), 0);
	cr_assert(schema.n == WIDE && schema.id == 0 && schema.start_ns == 0);
	cr_assert_eq(sealed_read_times(r, s, &s->index.nodes[0].runs[0].blocks[0], &c), 0);
	for (size_t i = 0; i < TIME_COLUMNS; i++)
		cr_assert_arr_eq(c->columns[i], f.times.columns[i], 8 * POLLS);
	for (size_t k = 0; k < WIDE; k++) {
		size_t column = k * 37 % WIDE;

		cr_assert_eq(sealed_read_group(r, s, &s->index.nodes[1].runs[0].blocks[1], column,
				     &c, &values),
			0);
		for (size_t i = 0; i < POLLS; i++)
			cr_assert_eq(values[i], f.rows[i * WIDE + column]);
	}
	for (size_t i = 0; i < GROUP_COLUMNS; i++)
		cr_assert_arr_eq(c->columns[i], f.clocks.columns[i], 8 * POLLS);
	cr_assert_eq(sealed_verify(r, s, no_damage, NULL), 0);
	cr_assert_eq(
		sealed_read_group(r, s, &s->index.nodes[0].runs[0].blocks[1], WIDE, &c, &values),
		-EBADMSG);
	schema_release(&schema);
	sealed_close(s);
	sealed_reader_free(r);
	fixture_release(&f);
}

struct damage {
	long n;
};

static void count_damage(void *arg, uint64_t offset, const char *what)
{
	(void)offset;
	(void)what;
	((struct damage *)arg)->n++;
}

/* Damage anywhere is found, by opening or by verifying. */
Test(sealed, every_changed_byte_is_found)
{
	char path[PATH_MAX + 32];
	struct fixture f;
	uint64_t size;
	int fd;

	fixture_make(&f);
	size = write_file(&f);
	snprintf(path, sizeof(path), "%s/00000005.tly", f.path);
	fd = open(path, O_RDWR);
	for (uint64_t at = 0; at < size; at += at < 40 || at > size - 40 ? 1 : 13) {
		struct sealed_reader *r = sealed_reader_new();
		struct damage damage = {0};
		struct sealed *s;
		uint8_t byte;

		cr_assert_eq(pread(fd, &byte, 1, (off_t)at), 1);
		byte ^= 4;
		cr_assert_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
		if (sealed_open(f.dirfd, 5, &s) == 0) {
			sealed_verify(r, s, count_damage, &damage);
			cr_assert_gt(damage.n, 0, "byte %llu", (unsigned long long)at);
			sealed_close(s);
		}
		byte ^= 4;
		cr_assert_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
		sealed_reader_free(r);
	}
	close(fd);
	fixture_release(&f);
}

Test(sealed, an_unfinished_file_leaves_nothing)
{
	struct sealed_writer *w;
	struct fixture f;
	struct sealed *s;
	uint8_t id[32] = {1};

	fixture_make(&f);
	cr_assert_eq(sealed_writer_new(f.dirfd, 6, &w), 0);
	cr_assert_eq(sealed_writer_node(w, id, "x"), 0);
	sealed_writer_free(w);
	cr_assert_eq(sealed_open(f.dirfd, 6, &s), -ENOENT);
	cr_assert_eq(faccessat(f.dirfd, "00000006.tly.tmp", F_OK, 0), -1);
	fixture_release(&f);
}

Test(sealed, schemas_fill_several_pages)
{
	struct sealed_reader *r = sealed_reader_new();
	struct incarnation inc = {.id = 4};
	uint8_t id[32] = {1};
	struct sealed_writer *w;
	struct fixture f;
	struct sealed *s;
	uint64_t size;

	fixture_make(&f);
	cr_assert_eq(sealed_writer_new(f.dirfd, 5, &w), 0);
	cr_assert_eq(sealed_writer_node(w, id, "x"), 0);
	cr_assert_eq(sealed_writer_run(w, &inc), 0);
	cr_assert_eq(sealed_writer_times(w, &f.times, POLLS), 0);
	for (int i = 0; i < 200; i++) {
		char name[16];

		snprintf(name, sizeof(name), "g%d", i % 150); /* 50 of them come twice */
		free(f.schema.group);
		f.schema.group = strdup(name);
		cr_assert_eq(sealed_writer_group(w, &f.schema, &f.clocks, f.rows, 2, 0, 0), 0);
	}
	cr_assert_eq(sealed_writer_past(w, NULL, 0), 0);
	cr_assert_eq(sealed_writer_finish(w, &size), 0);
	sealed_writer_free(w);
	cr_assert_eq(sealed_open(f.dirfd, 5, &s), 0);
	cr_assert_eq(s->index.nschemas, 150);
	cr_assert_gt(s->index.npages, 1);
	for (uint32_t i = 0; i < 150; i++) {
		struct schema schema;
		char name[16];

		snprintf(name, sizeof(name), "g%u", i);
		cr_assert_eq(sealed_read_schema(r, s, i, &schema), 0);
		cr_assert_str_eq(schema.group, name);
		schema_release(&schema);
	}
	cr_assert_eq(sealed_verify(r, s, no_damage, NULL), 0);
	sealed_close(s);
	sealed_reader_free(r);
	fixture_release(&f);
}
