/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "tools/histdir.h"

#include <fcntl.h>
#include <string.h>

#include "tests/lib/testdir.h"

static char top[PATH_MAX];

static void set_up(void)
{
	test_dir_make(top, "histdir");
}

static void tear_down(void)
{
	test_dir_remove(top);
}

static void touch(const char *name)
{
	int dirfd = open(top, O_RDONLY | O_DIRECTORY);
	int fd = openat(dirfd, name, O_CREAT | O_WRONLY, 0600);

	cr_assert_geq(fd, 0);
	close(fd);
	close(dirfd);
}

static void expect(int code, const char *words)
{
	struct errmsg e = {""};
	int got = histdir_check(top, "OPTIONS", &e);

	cr_assert_eq(got, code, "got %d: %s", got, e.text);
	cr_assert(strstr(e.text, words), "%s", e.text);
}

TestSuite(histdir, .init = set_up, .fini = tear_down);

Test(histdir, a_head_or_a_sealed_file_makes_a_history)
{
	touch("head-00000001.rec");
	expect(0, "");
	unlinkat(AT_FDCWD, strcat(top, "/head-00000001.rec"), 0);
	*strrchr(top, '/') = 0;
	expect(-ENOENT, "no history here; name one with OPTIONS");
	touch("00000001.tly");
	expect(0, "");
}

Test(histdir, other_files_do_not)
{
	touch("lock");
	touch("head-x.rec");
	touch("notes.tly");
	touch("head-00000001.rec.new");
	expect(-ENOENT, "no history here");
}

Test(histdir, the_one_below_is_named)
{
	size_t len = strlen(top);

	mkdir(strcat(top, "/history"), 0700);
	top[len] = 0;
	expect(-ENOENT, "name one with OPTIONS"); /* it is empty */
	touch("history/00000007.tly");
	expect(-ENOENT, "did you mean ");
	strcat(top, "/");
	expect(-ENOENT, "/history?");
	top[len] = 0;
}

Test(histdir, what_cannot_be_read_is_no_history)
{
	size_t len = strlen(top);

	strcat(top, "/nothing");
	expect(-ENOENT, "No such file or directory; name a history with OPTIONS");
	top[len] = 0;
	touch("file");
	strcat(top, "/file");
	expect(-ENOTDIR, "Not a directory");
	top[len] = 0;
}

Test(histdir, the_default_is_in_the_environment)
{
	setenv("TALLY_HISTORY", "/somewhere", 1);
	cr_assert_str_eq(histdir_default(), "/somewhere");
	setenv("TALLY_HISTORY", "", 1);
	cr_assert_str_eq(histdir_default(), "/var/lib/tally-gatherer/history");
}
