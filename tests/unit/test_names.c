/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <fcntl.h>

#include "gatherer/store/names.h"
#include "tests/lib/testdir.h"

Test(names, files_are_known_by_their_names)
{
	static const char *const files[] = {"00000010.tly", "00000002.tly", "123456789.tly",
		"head-00000011.rec", "head-00000003.rec", "00000004.tly.tmp",
		"head-00000012.rec.tmp", "lock", "2.tly", "000000002.tly", "head-3.rec",
		"00000005.tly.old", "-0000001.tly", "99999999999999999999.tly", "notes.tmp"};
	char dir[PATH_MAX], path[PATH_MAX + 64];
	struct names n;
	int dirfd;

	test_dir_make(dir, "names");
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		close(open(path, O_CREAT | O_WRONLY, 0644));
	}
	dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	cr_assert_eq(names_list(dirfd, &n), 0);
	cr_assert_eq(n.sealed.n, 3);
	cr_assert(n.sealed.list[0] == 2 && n.sealed.list[1] == 10 && n.sealed.list[2] == 123456789);
	cr_assert_eq(n.heads.n, 2);
	cr_assert(n.heads.list[0] == 3 && n.heads.list[1] == 11);
	cr_assert_eq(n.ntemps, 2);
	cr_assert(numbers_have(&n.heads, 11) && !numbers_have(&n.heads, 2));
	names_release(&n);
	close(dirfd);
	test_dir_remove(dir);
}
