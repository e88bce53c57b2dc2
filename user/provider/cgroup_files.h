/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands in the files of a control group, of both versions. */
#ifndef TALLY_USER_PROVIDER_CGROUP_FILES_H
#define TALLY_USER_PROVIDER_CGROUP_FILES_H

#include "user/provider/proc.h"

#define CGROUP_FILES_MAX 16u

struct cgroup_file {
	const char
		*dir; /* the hierarchy's, under that of all control groups; "" if they share one */
	const char *name;
	proc_walk_fn walk; /* puts nothing, or all that the text has */
	bool key; /* changes whenever anything ran in the group */
	bool slow; /* dear to read: not at each poll */
};

/* In the order of reading, the key first; a NULL name ends each list. */
extern const struct cgroup_file cgroup_files_v2[], cgroup_files_v1[];

#endif
