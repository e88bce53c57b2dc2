/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The path of a process's control group, and what systemd or a container's manager calls it, as far as that tells.
 *
 *     /system.slice/docker-<64 digits>.scope    unit docker-<64 digits>.scope, container <64 digits>
 *     /kubepods/besteffort/pod.../<64 digits>   container <64 digits>
 *     /user.slice/user-1.slice/session-2.scope  unit session-2.scope
 */
#ifndef TALLY_USER_PROVIDER_CGROUP_NAMES_H
#define TALLY_USER_PROVIDER_CGROUP_NAMES_H

#include <stddef.h>

/* Within the path; NULL: it has none. */
struct cgroup_names {
	const char *unit, *container;
	size_t unit_len, container_len;
};

/* What is before the first "/" is none of it. */
void cgroup_names_find(const char *path, struct cgroup_names *ret);

/* Copies; "": it has none. */
struct cgroup_names_text {
	char unit[128], container[65];
};
void cgroup_names_copy(const char *path, struct cgroup_names_text *ret);

/*
 * The path in a text of /proc/PID/cgroup, which is taken apart for it: of version 2, or if that is the root, of version
 * 1's hierarchy with this controller ("name=systemd": systemd's own).
 */
const char *cgroup_names_path(char *text, const char *v1_controller);

#endif
