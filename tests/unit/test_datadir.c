/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A daemon's own directory: foreign ones stay as they are, one daemon uses it at a time. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/lib/datadir.h"

static char top[] = "/tmp/test-datadir-XXXXXX", dir[64];
static const char *const marks[] = {"key.pem", "ring", NULL};
static const struct datadir datadir = {dir, "tallyd", marks, 0750};
static struct errmsg e;

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(top));
	snprintf(dir, sizeof(dir), "%s/a/b", top);
}

static void tear_down(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	cr_assert_eq(system(command), 0);
}

TestSuite(datadir, .init = set_up, .fini = tear_down);

static void make_file(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	cr_assert_geq(fd, 0);
	close(fd);
}

static void make_dir(void)
{
	char parent[64];

	snprintf(parent, sizeof(parent), "%s/a", top);
	cr_assert_eq(mkdir(parent, 0755), 0);
	cr_assert_eq(mkdir(dir, 0755), 0);
}

/* The code; what was opened is closed again. */
static int try_open(const struct daemon_user *user)
{
	int fd, err = datadir_open(&datadir, user, &fd, &e);

	if (!err)
		close(fd);
	return err;
}

static mode_t mode_of_dir(void)
{
	struct stat st;

	cr_assert_eq(stat(dir, &st), 0);
	return st.st_mode & 07777;
}

Test(datadir, missing_is_made)
{
	cr_assert_eq(try_open(NULL), 0, "%s", e.text);
	cr_assert_eq(mode_of_dir(), 0750);
}

Test(datadir, foreign_is_refused_and_unchanged)
{
	static const char *const names[] = {"passwd", "key.pe", "key.pem2", "rings", ".hidden"};

	make_dir();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[128];

		make_file(names[i]);
		cr_assert_eq(try_open(NULL), -ENOTEMPTY, "%s", names[i]);
		cr_assert_not_null(strstr(e.text, "not tallyd's own: name another directory"));
		cr_assert_null(strstr(e.text, "chown"));
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		cr_assert_eq(unlink(path), 0);
		cr_assert_eq(rmdir(dir), 0, "something was made beside %s", names[i]);
		cr_assert_eq(mkdir(dir, 0755), 0);
	}
	cr_assert_eq(mode_of_dir(), 0755);
}

Test(datadir, own_is_taken)
{
	make_dir();
	make_file("key.pem.77.tmp"); /* what a kill at the first start leaves */
	cr_assert_eq(try_open(NULL), 0, "%s", e.text);
	make_file("ring");
	make_file("anything");
	cr_assert_eq(try_open(NULL), 0, "%s", e.text);
	cr_assert_eq(mode_of_dir(), 0755, "one that is in use keeps its mode");
}

Test(datadir, a_new_file_system_is_empty)
{
	make_dir();
	make_file("lost+found");
	cr_assert_eq(try_open(NULL), 0, "%s", e.text);
}

Test(datadir, one_at_a_time)
{
	int fd;

	cr_assert_eq(datadir_open(&datadir, NULL, &fd, &e), 0);
	cr_assert_eq(try_open(NULL), -EBUSY);
	cr_assert_not_null(strstr(e.text, "another tallyd uses"), "%s", e.text);
	close(fd);
	cr_assert_eq(try_open(NULL), 0);
}

Test(datadir, given_to_the_user)
{
	const struct daemon_user nobody = {65534, 65534, "nobody"};
	struct stat st;

	if (geteuid())
		cr_skip_test("needs root");
	make_dir();
	cr_assert_eq(try_open(&nobody), 0, "%s", e.text);
	cr_assert_eq(stat(dir, &st), 0);
	cr_assert_eq(st.st_uid, 65534);
	cr_assert_eq(mode_of_dir(), 0750);
	/* It is ours, with files, but another's: what to do is said, nothing is done. */
	make_file("key.pem");
	cr_assert_eq(chown(dir, 0, 0), 0);
	cr_assert_eq(try_open(&nobody), -EACCES);
	cr_assert_not_null(strstr(e.text, "chown -R nobody"), "%s", e.text);
	cr_assert_eq(stat(dir, &st), 0);
	cr_assert_eq(st.st_uid, 0);
}
