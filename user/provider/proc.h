/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The producer "proc" in two halves: proc.c keeps the descriptors and the groups, proc_parse.c and proc_net.c
 * know what stands in each file.
 *
 * A file is walked by one function, which puts its values in order. The first walk also makes the
 * schema; later ones compare a hash of each key with it, so that a new disk, interface or CPU is
 * noticed at the place where the order changes, and the schema is made anew.
 */
#ifndef TALLY_USER_PROVIDER_PROC_H
#define TALLY_USER_PROVIDER_PROC_H

#include "user/lib/stream.h"

struct proc_metric {
	const char *name, *unit, *help;
	uint8_t type; /* enum metric_type */
	int8_t scale;
	/* How far a counter may step back and be held instead: the kernel's own idle times do that. */
	uint32_t may_step_back;
};

struct proc_seen {
	uint64_t hash, value;
};

struct proc_sink {
	struct group *group;
	uint64_t *next; /* values of the walk that is under way; group->values are the last ones */
	uint64_t *shape; /* one hash per series */
	size_t n, capacity;
	bool build; /* make the schema; else compare with it */
	bool changed; /* the shape is another one: build */
	bool stepped_back; /* a counter went down: it began again */
	int err;
	/* Newest value of every series that was ever here: a device may go, and come back smaller. */
	struct proc_seen *seen;
	size_t nseen, hint;
};

struct proc_label {
	const char *name, *value;
	size_t len; /* of value, which need not end with a zero */
};

/* Puts the next value. labels end with a NULL name; NULL: none. */
void proc_put(struct proc_sink *k, const struct proc_metric *m, const struct proc_label *labels,
	uint64_t value);

struct proc_text {
	const char *p, *end;
};

/*
 * Walks the text and puts its values. -EBADMSG if it is not what this file holds: then nothing of it
 * is used.
 */
typedef int (*proc_walk_fn)(struct proc_text t, struct proc_sink *k);

struct proc_source {
	const char *path; /* under the proc directory */
	const char *group; /* "proc.stat" */
	proc_walk_fn walk;
	bool optional; /* many kernels don't have it: nothing is said then */
};
/* A NULL path ends the list. */
extern const struct proc_source proc_sources[];

/* Those of the network's protocols, in proc_net.c. */
int proc_walk_snmp(struct proc_text t, struct proc_sink *k);
int proc_walk_netstat(struct proc_text t, struct proc_sink *k);
int proc_walk_sockstat(struct proc_text t, struct proc_sink *k);
int proc_walk_softnet(struct proc_text t, struct proc_sink *k);

/* How cpu times are shown; set from sysconf(_SC_CLK_TCK) once. */
void proc_set_ticks(long per_second);

#endif
