/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading a provider's ring from its files. */
#include "tools/ringdir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_ring_file(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return !strncmp(d->d_name, "ring-", 5) && n > 4 && !strcmp(d->d_name + n - 4, ".rec");
}

/* The whole file, as long as it is now; NULL with errno. */
static uint8_t *read_whole(int dirfd, const char *name, size_t *ret_n)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *data = NULL;
	size_t n = 0;

	if (fd >= 0 && !fstat(fd, &st))
		data = malloc((size_t)st.st_size + 1);
	while (data && n < (size_t)st.st_size) {
		ssize_t got = pread(fd, data + n, (size_t)st.st_size - n, (off_t)n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	if (fd >= 0)
		close(fd);
	*ret_n = n;
	return data;
}

struct reading {
	const char *dir; /* for messages */
	int dirfd;
	ringdir_record_fn fn;
	void *arg;
};

static int read_records(const struct reading *r, const uint8_t *data, size_t n, bool newest)
{
	struct recscan scan = {.data = data, .len = n, .pos = RECFILE_HEADER};
	struct record rec;
	int rc = 0;

	if (n < RECFILE_HEADER)
		return 0;
	scan.salt = recfile_salt(data, n);
	while (!rc) {
		int got = recscan_next(&scan, &rec);

		if (!got || (got < 0 && newest && scan.damage_to == n))
			break;
		rc = got < 0 ? r->fn(r->arg, NULL, scan.damage_to - scan.damage_from)
			     : r->fn(r->arg, &rec, 0);
	}
	return rc;
}

/* One that is gone by now was the oldest, and fell off. */
static int read_file(const struct reading *r, const char *name, bool newest)
{
	size_t n;
	uint8_t *data = read_whole(r->dirfd, name, &n);
	int rc = data ? read_records(r, data, n, newest) : 0;

	free(data);
	return rc;
}

static int read_dir(const struct reading *r, size_t files, struct errmsg *e)
{
	struct dirent **names = NULL;
	int n = scandirat(r->dirfd, ".", &names, is_ring_file, alphasort), rc = 0;

	if (n < 0)
		return err_set(e, -errno, "%s: %s", r->dir, strerror(errno));
	if (!n)
		rc = err_set(e, -ENOENT, "%s: no ring of a provider: there is no file ring-*.rec",
			r->dir);
	for (int i = 0; i < n; i++) {
		if (!rc && (size_t)(n - i) <= files)
			rc = read_file(r, names[i]->d_name, i == n - 1);
		free(names[i]);
	}
	free(names);
	return rc;
}

static int read_one(struct reading *r, const char *path, struct errmsg *e)
{
	uint64_t number;
	size_t n;
	uint8_t *data = read_whole(AT_FDCWD, path, &n);
	int rc = data ? recfile_check_header(data, n, RECFILE_RING, &number) : -errno;

	if (rc && data)
		rc = err_set(
			e, rc, "%s: no file of a provider's ring, or one of a newer version", path);
	else if (rc)
		err_set(e, rc, "%s: %s", path, strerror(-rc));
	else
		rc = read_records(r, data, n, true);
	free(data);
	return rc;
}

int ringdir_records(
	const char *path, size_t files, ringdir_record_fn fn, void *arg, struct errmsg *e)
{
	struct reading r = {.fn = fn, .arg = arg};
	char ring[4096];
	int rc;

	snprintf(ring, sizeof(ring), "%s/ring", path);
	r.dir = ring;
	r.dirfd = open(ring, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r.dirfd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		r.dir = path;
		r.dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (r.dirfd < 0 && errno == ENOTDIR)
		return read_one(&r, path, e);
	if (r.dirfd < 0)
		return err_set(e, -errno, "%s: %s", r.dir, strerror(errno));
	rc = read_dir(&r, files, e);
	close(r.dirfd);
	return rc;
}

/* --- snapshots ----------------------------------------------------------------------------------- */

struct applying {
	struct stream *stream;
	ringdir_fn fn;
	void *arg;
};

static int apply_record(void *arg, const struct record *rec, size_t damaged)
{
	struct applying *a = arg;
	struct snapshot_view view;

	if (!rec)
		stream_lost(a->stream);
	else if (stream_apply(a->stream, rec->type, rec->payload, rec->len, &view) ==
		 STREAM_SNAPSHOT)
		return a->fn(a->arg, &view);
	return 0;
}

int ringdir_read(const char *state_dir, size_t files, ringdir_fn fn, void *arg, struct errmsg *e)
{
	struct applying a = {.stream = stream_new(), .fn = fn, .arg = arg};
	int rc = a.stream ? ringdir_records(state_dir, files, apply_record, &a, e)
			  : err_set(e, -ENOMEM, "%s: no memory", state_dir);

	stream_free(a.stream);
	return rc;
}
