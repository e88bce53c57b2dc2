/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading small files that nobody else may read. Checks are made on the open file, not on its name. */
#include "user/lib/secretfile.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int secretfile_check(int fd, const char *path, const char *what, struct errmsg *e)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_set(e, -errno, "%s: fstat: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EKEYREJECTED, "%s: %s is not a regular file", path, what);
	if (st.st_mode & 077)
		return err_set(e, -EKEYREJECTED,
			"%s: others may read or write this %s (mode %04o): chmod 600 it, and make "
			"a new "
			"one if it may have been read",
			path, what, (unsigned int)(st.st_mode & 07777));
	if (geteuid() && st.st_uid != geteuid())
		return err_set(e, -EKEYREJECTED, "%s: %s belongs to uid %u, we run as uid %u", path,
			what, (unsigned int)st.st_uid, (unsigned int)geteuid());
	return 0;
}

static int secretfile_read_fd(
	int fd, const char *path, const char *what, size_t max, struct buf *out, struct errmsg *e)
{
	size_t total = 0;

	for (;;) {
		uint8_t *p = buf_reserve(out, max + 1 - total);
		ssize_t n;

		if (!p)
			return err_set(e, -ENOMEM, "%s: no memory", path);
		n = read(fd, p, max + 1 - total);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(e, -errno, "%s: %s", path, strerror(errno));
		if (!n)
			return 0;
		out->len += (size_t)n;
		total += (size_t)n;
		if (total > max)
			return err_set(
				e, -EFBIG, "%s: %s is longer than %zu bytes", path, what, max);
	}
}

int secretfile_read(
	const char *path, const char *what, size_t max, struct buf *out, struct errmsg *e)
{
	/* O_NONBLOCK: a fifo under this name must not hang the start. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct buf text = BUF_INIT;
	int rc;

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0)
		return err_set(e, -errno, "%s: can't open %s: %s", path, what, strerror(errno));
	rc = secretfile_check(fd, path, what, e);
	if (!rc)
		rc = secretfile_read_fd(fd, path, what, max, &text, e);
	close(fd);
	if (!rc) {
		buf_put(out, text.data, text.len);
		rc = buf_error(out);
	}
	secretfile_wipe(&text);
	return rc;
}

void secretfile_wipe(struct buf *b)
{
	if (b->data)
		OPENSSL_cleanse(b->data, b->cap);
	buf_release(b);
}
