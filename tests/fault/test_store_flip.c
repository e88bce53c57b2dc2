/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every byte of a small store is changed in turn, sealed file and head. Verification must name the
 * file; reading must not return one wrong value, and the rest must read; the writer must open.
 */
#include <criterion/criterion.h>
#include <dirent.h>

#include "tests/lib/teststore.h"

#define POLLS 30u
#define FILES 4u

struct flip {
	char dir[PATH_MAX];
	size_t nfiles;
	char names[FILES][64];
	struct buf contents[FILES];
};

static void read_files(struct flip *f)
{
	DIR *d = opendir(f->dir);
	struct dirent *e;

	while ((e = readdir(d))) {
		char path[PATH_MAX + 300];
		FILE *in;

		if (e->d_name[0] == '.' || strcmp(e->d_name, "lock") == 0)
			continue;
		cr_assert_lt(f->nfiles, FILES);
		snprintf(f->names[f->nfiles], 64, "%.60s", e->d_name);
		snprintf(path, sizeof(path), "%s/%s", f->dir, e->d_name);
		in = fopen(path, "r");
		cr_assert(in && buf_reserve(&f->contents[f->nfiles], 1 << 20));
		f->contents[f->nfiles].len = fread(f->contents[f->nfiles].data, 1, 1 << 20, in);
		fclose(in);
		f->nfiles++;
	}
	closedir(d);
}

static void make_store(struct flip *f)
{
	struct test_sender senders[TEST_NODES];
	struct store *st;
	struct errmsg e;

	test_dir_make(f->dir, "store-flip");
	cr_assert_eq(store_open(f->dir, NULL, &st, &e), 0, "%s", e.text);
	for (uint32_t i = 0; i < TEST_NODES; i++)
		test_sender_start(&senders[i], i);
	for (unsigned int i = 0; i < POLLS; i++) {
		for (uint32_t k = 0; k < TEST_NODES; k++) {
			test_sender_poll(&senders[k]);
			cr_assert_eq(test_append(st, &senders[k], senders[k].last), 0);
		}
		if (i == POLLS / 2)
			cr_assert_eq(store_seal(st, &e), 0, "%s", e.text);
	}
	cr_assert_eq(store_close(st), 0);
	for (uint32_t i = 0; i < TEST_NODES; i++)
		test_sender_stop(&senders[i]);
	read_files(f);
	cr_assert_eq(f->nfiles, 2);
}

/* All files as they were, but one byte. */
static void put_files(const struct flip *f, size_t file, size_t at)
{
	test_dir_remove(f->dir);
	cr_assert_eq(mkdir(f->dir, 0755), 0);
	for (size_t i = 0; i < f->nfiles; i++) {
		struct buf *c = (struct buf *)&f->contents[i];
		char path[PATH_MAX + 300];
		FILE *out;

		snprintf(path, sizeof(path), "%s/%s", f->dir, f->names[i]);
		out = fopen(path, "w");
		cr_assert_not_null(out);
		if (i == file)
			c->data[at] ^= (uint8_t)(1u << at % 8);
		cr_assert_eq(fwrite(c->data, 1, c->len, out), c->len);
		if (i == file)
			c->data[at] ^= (uint8_t)(1u << at % 8);
		fclose(out);
	}
}

struct report {
	const char *file;
	bool named;
};

static void note_damage(void *arg, const char *file, uint64_t offset, const char *what)
{
	struct report *r = arg;

	(void)offset;
	(void)what;
	r->named |= strcmp(file, r->file) == 0;
}

static uint64_t try_flip(const struct flip *f, size_t file, size_t at)
{
	struct test_found found[TEST_NODES];
	struct report report = {.file = f->names[file]};
	struct store *st;
	struct errmsg e;
	uint64_t n = 0;

	put_files(f, file, at);
	test_read(f->dir, found);
	for (uint32_t i = 0; i < TEST_NODES; i++) {
		cr_assert(!found[i].wrong, "%s byte %zu", f->names[file], at);
		n += found[i].n;
	}
	cr_assert_geq(history_check(f->dir, note_damage, &report, &e), 1, "%s byte %zu",
		f->names[file], at);
	cr_assert(report.named, "%s byte %zu", f->names[file], at);
	cr_assert_eq(store_open(f->dir, NULL, &st, &e), 0, "%s byte %zu: %s", f->names[file], at,
		e.text);
	cr_assert_eq(store_close(st), 0);
	return n;
}

static void flip_file(const struct flip *f, size_t file)
{
	uint64_t least = UINT64_MAX;

	for (size_t at = 0; at < f->contents[file].len; at++) {
		uint64_t n = try_flip(f, file, at);

		least = n < least ? n : least;
	}
	printf("%s: %zu bytes, at least %llu of %u samples a series left\n", f->names[file],
		f->contents[file].len, (unsigned long long)least, POLLS * TEST_NODES);
	/* The other file is always there as a whole. */
	cr_assert_geq(least, (POLLS / 2 - 1) * TEST_NODES);
}

Test(store_flip, every_byte)
{
	struct flip f = {0};

	test_without_syncs();
	make_store(&f);
	for (size_t i = 0; i < f.nfiles; i++)
		flip_file(&f, i);
	for (size_t i = 0; i < f.nfiles; i++)
		buf_release(&f.contents[i]);
	test_dir_remove(f.dir);
}
