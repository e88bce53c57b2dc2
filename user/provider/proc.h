/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The producer "proc" in two halves: proc.c keeps the descriptors and the groups, proc_parse.c and proc_net.c
 * know what stands in each file. A file is walked by one function, which puts its values (user/provider/sink.h).
 */
#ifndef TALLY_USER_PROVIDER_PROC_H
#define TALLY_USER_PROVIDER_PROC_H

#include "user/provider/sink.h"

struct proc_text {
	const char *p, *end;
};

/*
 * Walks the text and puts its values. -EBADMSG if it is not what this file holds: then nothing of it
 * is used.
 */
typedef int (*proc_walk_fn)(struct proc_text t, struct sink *k);
/* Tells of all that the file may hold; `file` is what people call it. */
typedef void (*proc_describe_fn)(struct describer *d, const char *file);

struct proc_source {
	const char *path; /* under the proc directory */
	const char *group; /* "proc.stat" */
	proc_walk_fn walk;
	proc_describe_fn describe;
	bool optional; /* many kernels don't have it: nothing is said then */
	/* The kernel makes all of it at the first read, so a read that leaves room is the last one. */
	bool at_once;
};
/* A NULL path ends the list. */
extern const struct proc_source proc_sources[];

/* Those of the network's protocols, in proc_net.c. */
int proc_walk_snmp(struct proc_text t, struct sink *k);
int proc_walk_netstat(struct proc_text t, struct sink *k);
int proc_walk_sockstat(struct proc_text t, struct sink *k);
int proc_walk_softnet(struct proc_text t, struct sink *k);
void proc_describe_snmp(struct describer *d, const char *file);
void proc_describe_netstat(struct describer *d, const char *file);
void proc_describe_sockstat(struct describer *d, const char *file);
void proc_describe_softnet(struct describer *d, const char *file);

/* A line of meminfo: of the machine, or with `node` of one of its nodes. */
int proc_walk_memory_line(struct proc_text line, const struct sink_label *node, struct sink *k);
void proc_describe_memory(struct describer *d, bool of_node, const char *file);

/* Of the machine or of a control group: labels kind and resource. */
int proc_walk_pressure(
	struct proc_text t, struct sink *k, const struct sink_metric *metric, const char *resource);

/* How cpu times are shown; set from sysconf(_SC_CLK_TCK) once. */
void proc_set_ticks(long per_second);

#endif
