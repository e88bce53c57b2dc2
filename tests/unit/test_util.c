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
