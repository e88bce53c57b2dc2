/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cgroup of a program, as best it can be known.
 *
 * A process writes into its segment what it sees in /proc/self/cgroup, and that is taken, as its user's
 * word. In a cgroup namespace of its own it sees its container's root only: then the process is looked for by
 * what it says of itself (its id in its pid namespace, when it began) among the living processes of the
 * segment's owner, and its path is the one that we see. What was found for a namespace of a user holds
 * for all segments from it.
 */
#ifndef TALLY_USER_PROVIDER_CGROUPS_H
#define TALLY_USER_PROVIDER_CGROUPS_H

#include <stddef.h>

#include "user/lib/segfile.h"

#define CGROUP_PATH_MAX 255u

struct cgroups;

struct cgroups *cgroups_new(const char *proc_dir); /* NULL: none. Returns NULL without memory */
void cgroups_free(struct cgroups *c);
/* Fills out with the path, or "" if it is the root or unknown. */
void cgroups_find(struct cgroups *c, const struct segfile *seg, char *out, size_t size);

#endif
