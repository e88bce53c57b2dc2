/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who the provider is after it has opened everything: an ordinary user without any capability. */
#ifndef TALLY_USER_PROVIDER_PRIVILEGES_H
#define TALLY_USER_PROVIDER_PRIVILEGES_H

#include <stdbool.h>
#include <sys/types.h>

#include "user/lib/daemon.h"

struct run_as {
	struct daemon_user user;
	bool drop; /* we are root, and this is another user */
};

/*
 * Looks up whom to become. Not root: stays what we are. A user that does not exist: nobody, with a
 * message. -ENOENT if there is not even that one.
 */
int run_as_find(const char *user, struct run_as *ret, struct errmsg *e);
/*
 * Makes the state directory, or takes one that is empty or tallyd's own, and locks it while *ret_fd is
 * open (user/lib/datadir.h). Nothing is written into another one.
 */
int run_as_open_state_dir(const struct run_as *as, const char *path, int *ret_fd, struct errmsg *e);
/*
 * Makes directory path, if it is missing, for that user with this mode. One that is empty and root's
 * is given to the user as well. Nothing else is ever changed.
 */
int run_as_make_dir(const struct run_as *as, const char *path, mode_t mode, struct errmsg *e);
/* Gives the files right in the directory that are root's to the user, and its subdirectory `sub`. */
int run_as_own(const struct run_as *as, const char *path, const char *sub, struct errmsg *e);
/*
 * Becomes that user, or stays the one we are, without any capability. Root stays root only where it
 * was asked for.
 */
int privileges_drop(const struct run_as *as, struct errmsg *e);

#endif
