/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a history is, and whether there is one: a directory with a head or a sealed file in it. */
#include "tools/histdir.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_DIR "/var/lib/tally-gatherer/history"
/* What the gatherer calls it in its data directory. */
#define SUBDIR "history"

const char *histdir_default(void)
{
	const char *dir = getenv("TALLY_HISTORY");

	return dir && *dir ? dir : DEFAULT_DIR;
}

/* 1: it holds a history, 0: it holds none, or why it can't be read. */
static int holds_history(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	int found = 0;

	if (!d)
		return -errno;
	errno = 0;
	while (!found && (entry = readdir(d)))
		found = !fnmatch("head-[0-9]*.rec", entry->d_name, 0) ||
			!fnmatch("[0-9]*.tly", entry->d_name, 0);
	if (!found)
		found = -errno;
	closedir(d);
	return found;
}

int histdir_check(const char *dir, const char *options, struct errmsg *e)
{
	char sub[sizeof(e->text)];
	int found = holds_history(dir);
	size_t len = strlen(dir);

	if (found > 0)
		return 0;
	if (found < 0)
		return err_set(e, found, "%.300s: %s; name a history with %s", dir,
			strerror(-found), options);
	snprintf(sub, sizeof(sub), "%s%s" SUBDIR, dir, len && dir[len - 1] == '/' ? "" : "/");
	if (holds_history(sub) > 0)
		return err_set(
			e, -ENOENT, "%.200s: no history here; did you mean %.200s?", dir, sub);
	return err_set(e, -ENOENT, "%.300s: no history here; name one with %s", dir, options);
}

int histdir_open(const char *dir, const char *options, struct history **ret, struct errmsg *e)
{
	int err = histdir_check(dir, options, e);

	return err ? err : history_open(dir, ret, e);
}
