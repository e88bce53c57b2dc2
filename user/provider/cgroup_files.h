/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands in the files of a control group, of both versions. */
#ifndef TALLY_USER_PROVIDER_CGROUP_FILES_H
#define TALLY_USER_PROVIDER_CGROUP_FILES_H

#include "user/provider/proc.h"

#define CGROUP_FILES_MAX 16u

/* One number of a file: the word before it, the metric, and a label that tells it from others. */
struct cgroup_key {
	const char *word; /* NULL: the number is all that is there */
	const struct sink_metric *metric;
	const char *label, *value;
	uint64_t factor; /* 0: 1 */
};

struct cgroup_file;
/* Puts nothing, or all that the text has. */
typedef int (*cgroup_walk_fn)(struct proc_text t, struct sink *k, const struct cgroup_file *file);

struct cgroup_file {
	const char
		*dir; /* the hierarchy's, under that of all control groups; "" if they share one */
	const char *name;
	cgroup_walk_fn walk;
	const struct cgroup_key *keys; /* up to a NULL metric */
	const char *label; /* one more, whose value stands in the text; NULL: none */
	bool key; /* changes whenever anything ran in the group */
	bool slow; /* dear to read: not at each poll */
};

/* In the order of reading, the key first; a NULL name ends each list. */
extern const struct cgroup_file cgroup_files_v2[], cgroup_files_v1[];

#endif
