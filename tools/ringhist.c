/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A provider's ring as a history of one node. */
#include "tools/ringhist.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/ringdir.h"

/* The ring does not tell whose it is. */
#define NODE_NAME "ring"

struct copying {
	struct store *store;
	uint32_t node;
	uint64_t damaged; /* bytes */
};

static int copy_record(void *arg, const struct record *rec, size_t damaged)
{
	struct copying *c = arg;
	struct snapshot_view view;
	int result = rec ? store_append(c->store, c->node, rec, &view) : 0;

	c->damaged += damaged;
	if (result != -EBADMSG && result != -EPROTO && result != -E2BIG)
		return result < 0 ? result : 0;
	c->damaged += RECORD_HEADER + rec->len;
	return 0;
}

static int copy_ring(const char *dir, const char *path, struct errmsg *e)
{
	/* never sealed: the reader finds all in one file, which it keeps open */
	struct store_options opt = {.head_bytes = UINT64_MAX, .head_age_ns = UINT64_MAX};
	const uint8_t id[32] = {0};
	struct copying c = {0};
	int err = store_open(dir, &opt, &c.store, e), closed;

	if (err)
		return err;
	*e = (struct errmsg){""};
	err = store_node(c.store, id, NODE_NAME, &c.node);
	if (!err)
		err = ringdir_records(path, SIZE_MAX, copy_record, &c, e);
	closed = store_close(c.store);
	err = err ? err : closed;
	if (err && !e->text[0])
		err_set(e, err, "%s: can't be copied to %s: %s", path, dir, strerror(-err));
	if (!err && c.damaged)
		fprintf(stderr, "tally: %s: %llu bytes are damaged and were left out\n", path,
			(unsigned long long)c.damaged);
	return err;
}

/* What the store has made there: files, no directories. */
static void remove_dir(const char *name)
{
	DIR *dir = opendir(name);
	const struct dirent *d;

	while (dir && (d = readdir(dir)))
		unlinkat(dirfd(dir), d->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(name);
}

int ringhist_open(const char *path, struct history **ret, struct errmsg *e)
{
	const char *tmp = getenv("TMPDIR");
	sigset_t ending, before;
	char dir[4096];
	int err;

	if ((size_t)snprintf(dir, sizeof(dir), "%s/tally-ring-XXXXXX",
		    tmp && *tmp ? tmp : "/tmp") >= sizeof(dir))
		return err_set(e, -ENAMETOOLONG, "$TMPDIR is too long");
	sigemptyset(&ending);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGHUP);
	sigprocmask(SIG_BLOCK, &ending, &before);
	if (mkdtemp(dir)) {
		err = copy_ring(dir, path, e);
		if (!err)
			err = history_open(dir, ret, e);
		remove_dir(dir);
	} else {
		err = err_set(e, -errno,
			"%s: no room for a copy of the ring: %s; $TMPDIR names another place", dir,
			strerror(errno));
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return err;
}
