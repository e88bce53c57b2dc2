/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/testdir.h"
#include "user/lib/util.h"

static char dir[PATH_MAX];

static void setup(void)
{
	test_dir_make(dir, "util");
}

static void teardown(void)
{
	test_dir_remove(dir);
}

TestSuite(util, .init = setup, .fini = teardown);

static const char *in_dir(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%.3000s/%s", dir, name);
	return path;
}

Test(util, clocks_go_on)
{
	uint64_t m = clock_monotonic_ns();
	int64_t r = clock_realtime_ns();

	usleep(1000);
	cr_assert_geq(clock_monotonic_ns() - m, 1000000);
	cr_assert_gt(clock_realtime_ns(), r);
	cr_assert_gt(r, 1500000000 * (int64_t)NSEC_PER_SEC);
}

Test(util, the_boot_id_stays_and_random_bytes_do_not)
{
	static const uint8_t zero[16];
	uint8_t a[16], b[16];

	cr_assert_eq(boot_id_read(a), 0);
	cr_assert_eq(boot_id_read(b), 0);
	cr_assert(memcmp(a, b, 16) == 0 && memcmp(a, zero, 16) != 0);
	cr_assert_eq(random_bytes(a, 16), 0);
	cr_assert_eq(random_bytes(b, 16), 0);
	cr_assert_neq(memcmp(a, b, 16), 0);
}

Test(util, files_are_replaced_as_a_whole)
{
	struct buf b = BUF_INIT;
	struct errmsg e;
	struct stat st;

	umask(077);
	cr_assert_eq(replace_file(in_dir("f"), "one", 3, 0644, &e), 0, "%s", e.text);
	cr_assert_eq(replace_file(in_dir("f"), "second", 6, 0640, &e), 0, "%s", e.text);
	cr_assert_eq(stat(in_dir("f"), &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0640, "whatever the umask is");
	cr_assert_eq(read_file_at(AT_FDCWD, in_dir("f"), 6, &b), 0);
	cr_assert(b.len == 6 && memcmp(b.data, "second", 6) == 0);
	cr_assert_eq(replace_file(in_dir("none/f"), "x", 1, 0644, &e), -ENOENT);
	cr_assert(strstr(e.text, "none/f"));
	cr_assert_eq(mkdir(in_dir("d"), 0755), 0);
	cr_assert_lt(replace_file(in_dir("d"), "x", 1, 0644, &e), 0);
	buf_release(&b);
}

Test(util, reading_is_bounded)
{
	struct buf b = BUF_INIT;
	struct errmsg e;
	static char big[20000];

	memset(big, 'x', sizeof(big));
	cr_assert_eq(replace_file(in_dir("f"), big, sizeof(big), 0644, &e), 0);
	buf_put(&b, "before", 6);
	cr_assert_eq(read_file_at(AT_FDCWD, in_dir("f"), sizeof(big) - 1, &b), -EFBIG);
	cr_assert_eq(b.len, 6, "untouched");
	cr_assert_eq(read_file_at(AT_FDCWD, in_dir("f"), sizeof(big), &b), 0);
	cr_assert_eq(b.len, 6 + sizeof(big));
	cr_assert_eq(read_file_at(AT_FDCWD, in_dir("none"), 10, &b), -ENOENT);
	buf_release(&b);
}

Test(util, directories_are_made_with_their_parents)
{
	struct errmsg e;
	struct stat st;

	cr_assert_eq(make_dirs(in_dir("a/b/c"), 0755, &e), 0, "%s", e.text);
	cr_assert_eq(make_dirs(in_dir("a/b/c"), 0755, &e), 0, "an existing one is fine");
	cr_assert(stat(in_dir("a/b/c"), &st) == 0 && S_ISDIR(st.st_mode));
	cr_assert_eq(replace_file(in_dir("f"), "x", 1, 0644, &e), 0);
	cr_assert_eq(make_dirs(in_dir("f/b"), 0755, &e), -ENOTDIR);
	cr_assert_eq(make_dirs(in_dir("f"), 0755, &e), -ENOTDIR);
}

Test(util, all_is_written_or_an_error_told)
{
	int pipes[2];
	char got[5];

	cr_assert_eq(pipe(pipes), 0);
	cr_assert_eq(write_all(pipes[1], "hello", 5), 0);
	cr_assert(read(pipes[0], got, 5) == 5 && memcmp(got, "hello", 5) == 0);
	cr_assert_eq(write_all(pipes[0], "x", 1), -EBADF);
	close(pipes[0]);
	close(pipes[1]);
}

/* --- hashes -------------------------------------------------------------------------------------- */

enum { SLOTS = 65536 };

static int order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/*
 * As many texts as slots, which differ in five digits: no two hashes are the same, and no slot has more
 * than chance gives (13 in one slot: once in 200,000 tables).
 */
static void assert_spread(uint64_t (*hash)(uint64_t, const void *, size_t), const char *format)
{
	static uint64_t hashes[SLOTS];
	static uint8_t in_slot[SLOTS];

	memset(in_slot, 0, sizeof(in_slot));
	for (unsigned i = 0; i < SLOTS; i++) {
		char text[64];

		snprintf(text, sizeof(text), format, i);
		hashes[i] = hash(HASH_START, text, strlen(text));
		cr_assert_leq(++in_slot[hashes[i] % SLOTS], 12, "%s: one slot has it all", text);
	}
	qsort(hashes, SLOTS, sizeof(*hashes), order);
	for (unsigned i = 1; i < SLOTS; i++)
		cr_assert_neq(hashes[i], hashes[i - 1], "\"%s\": two are the same", format);
}

Test(util, hashes_of_similar_texts_differ_and_spread)
{
	static const char *const formats[] = {"%05u", "%05u_", "http_requests_%05u",
		"%05u_http_requests", "disk_%05u_written_bytes"};

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		assert_spread(hash_bytes, formats[i]);
		assert_spread(hash_index, formats[i]);
	}
}
