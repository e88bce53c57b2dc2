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

#include "user/lib/recfile.h"

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

static int apply_records(struct stream *s, const uint8_t *data, size_t n, ringdir_fn fn, void *arg)
{
	struct recscan scan = {.data = data, .len = n, .pos = RECFILE_HEADER};
	struct record rec;
	int rc = 0;

	if (n < RECFILE_HEADER)
		return 0;
	scan.salt = recfile_salt(data, n);
	while (!rc && (rc = recscan_next(&scan, &rec)) != 0) {
		struct snapshot_view view;

		if (rc < 0) {
			stream_lost(s);
			rc = scan.damage_to == n; /* a torn tail: that was all */
			if (rc)
				return 0;
			continue;
		}
		rc = stream_apply(s, rec.type, rec.payload, rec.len, &view) == STREAM_SNAPSHOT
			     ? fn(arg, &view)
			     : 0;
	}
	return rc;
}

int ringdir_read(const char *state_dir, size_t files, ringdir_fn fn, void *arg, struct errmsg *e)
{
	struct stream *s = stream_new();
	struct dirent **names = NULL;
	char path[4096];
	int n, dirfd, rc = 0;

	snprintf(path, sizeof(path), "%s/ring", state_dir);
	dirfd = s ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	n = dirfd < 0 ? -1 : scandirat(dirfd, ".", &names, is_ring_file, alphasort);
	if (n < 0)
		rc = err_set(e, -errno, "%s: %s", path, strerror(errno));
	for (int i = 0; i < n; i++) {
		size_t size;
		uint8_t *data = rc || (size_t)(n - i) > files
					? NULL
					: read_whole(dirfd, names[i]->d_name, &size);

		/* one that is gone by now was the oldest, and fell off */
		if (data)
			rc = apply_records(s, data, size, fn, arg);
		free(data);
		free(names[i]);
	}
	free(names);
	if (dirfd >= 0)
		close(dirfd);
	stream_free(s);
	return rc;
}
