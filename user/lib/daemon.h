/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a daemon does once at its start: becoming another user, detaching, saying that it is ready. */
#ifndef TALLY_USER_LIB_DAEMON_H
#define TALLY_USER_LIB_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

#include "user/lib/err.h"

struct daemon_user {
	uid_t uid;
	gid_t gid;
	char name[64];
};

/* -ENOENT, without a message, if there is no such user. */
int daemon_find_user(const char *name, struct daemon_user *ret, struct errmsg *e);
/* Takes nobody, with a warning, where that user does not exist. -ENOENT if both don't. */
int daemon_find_user_or_nobody(const char *name, struct daemon_user *ret, struct errmsg *e);
/*
 * Becomes that user for good: groups, ids, no capability, no way to gain any again. Checked
 * afterwards. Call it before any thread is made.
 */
int daemon_become(const struct daemon_user *u, struct errmsg *e);

/*
 * Forks: the caller goes on in the child, in a session of its own. The parent waits until
 * daemon_ready() and exits with 0, or with the child's exit code if that ends before. Call it before
 * any thread is made. *ret_fd is for daemon_ready().
 */
int daemon_detach(int *ret_fd, struct errmsg *e);
/* Lets the waiting parent (fd, or -1 if there is none) go, and tells a service manager. */
void daemon_ready(int fd);
/* "READY=1", "STOPPING=1": one datagram to NOTIFY_SOCKET, if that is set. */
void daemon_notify(const char *state);

#endif
