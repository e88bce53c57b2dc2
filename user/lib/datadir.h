/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A daemon's own directory: nothing is written into one that is somebody else's, or that another
 * daemon is using. A name that was mistyped (/etc) must not be filled, nor given away.
 */
#ifndef TALLY_USER_LIB_DATADIR_H
#define TALLY_USER_LIB_DATADIR_H

#include <stdbool.h>
#include <sys/types.h>

#include "user/lib/daemon.h"

struct datadir {
	const char *path;
	const char *program; /* "tallyd", for messages */
	const char *const *marks; /* names that only the program makes; NULL-terminated */
	mode_t mode; /* of one that is made, or was empty */
};

/*
 * Makes the directory if it is missing, and locks it for as long as *ret_fd is open. With `user` (we
 * are root, and will become that one) a new or empty one of root is given to him.
 * -ENOTEMPTY: it holds files, and none of them is a mark, alone or with a suffix ".x". -EBUSY: it is
 * locked. -EACCES: it is the program's, but not that user's. Nothing was changed then.
 */
int datadir_open(
	const struct datadir *d, const struct daemon_user *user, int *ret_fd, struct errmsg *e);
/* Whether the open directory has no entries but "lost+found". */
bool datadir_is_empty(int fd);

#endif
