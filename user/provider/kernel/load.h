/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What all producers of BPF programs share: loading in silence, saying in one line why a program
 * can't be loaded, and looking into its maps without system calls.
 *
 * libbpf prints through one function per process: not thread safe, and only one load at a time.
 */
#ifndef TALLY_USER_PROVIDER_KERNEL_LOAD_H
#define TALLY_USER_PROVIDER_KERNEL_LOAD_H

#include <bpf/libbpf.h>
#include <stddef.h>

#include "user/lib/err.h"

/* A member of a kernel structure that a program reads, and the kernel option that brings it. */
struct load_member {
	const char *type, *member, *option;
};

/* What a module needs of the kernel. */
struct load_needs {
	const char *module; /* name for people: what is lost */
	const char
		*tracepoint; /* as in tp_btf/NAME; NULL: it is attached to something else, below */
	const struct load_member *members; /* ended by a NULL type; may be NULL */
	const char *helper; /* BPF_FUNC_NAME that it calls and older kernels lack; NULL: none */
	unsigned args; /* how many the tracepoint must have; older kernels may give fewer. 0: any */
	/* Instead of a tracepoint: as in SEC(), "cgroup_skb/egress", attached to the root of all cgroups; or */
	const char *cgroup_hook;
	const char *function; /* as in fentry/NAME and fexit/NAME; and */
	const char *renamed; /* what newer kernels call this function; NULL: the same */
};

/*
 * 0 if this thread has capability `number`, CAP_NAME; else -EPERM and what to do about it. For what needs more than
 * CAP_BPF and CAP_PERFMON.
 */
int load_check_capability(unsigned number, const char *name, const char *module, struct errmsg *e);

/* Between the two libbpf prints nothing; what it would have said first is kept for the message. */
void load_begin(void);
void load_end(void);

/*
 * Fills *e with what is missing and what to do about it, after a load that failed with err between
 * load_begin() and load_end(). Returns -EPERM if a capability is missing, -EOPNOTSUPP if the
 * kernel lacks something or refuses programs at functions, else err.
 */
int load_explain(int err, const struct load_needs *needs, struct errmsg *e);

/*
 * Names of the kernel's enum `type` for the values 0 to n - 1: without the prefix and in lower case. What the
 * enum has not is its number, and the last one is "other". *ret: n pointers and their text in one piece, to be freed;
 * -EOPNOTSUPP without BTF or such an enum.
 */
int load_enum_names(const char *type, const char *prefix, uint32_t n, char ***ret);

/*
 * Freezes a loaded BPF_F_MMAPABLE array, so that no user space can write it from here on (its
 * programs still do), and maps it read-only. The view lives until munmap(*ret, size), also after
 * all descriptors are closed.
 */
int load_map_view(const struct bpf_map *map, size_t size, const void **ret);
/* Likewise one that we write and programs read: it is not frozen, and writing needs no privileges. */
int load_map_knob(const struct bpf_map *map, size_t size, void **ret);

#endif
