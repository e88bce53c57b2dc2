/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading small files that nobody else may read: keys, furls. */
#ifndef TALLY_USER_LIB_SECRETFILE_H
#define TALLY_USER_LIB_SECRETFILE_H

#include "user/lib/buf.h"
#include "user/lib/err.h"

/*
 * Appends the whole file to out. `what` names it in messages ("key file").
 * -ENOENT without a message if there is none. -EKEYREJECTED if it is not a regular file, if group or
 * others may read or write it, or if it belongs to another user (root reads anybody's); -EFBIG.
 */
int secretfile_read(
	const char *path, const char *what, size_t max, struct buf *out, struct errmsg *e);
/* Overwrites the bytes before it frees them. */
void secretfile_wipe(struct buf *b);

#endif
