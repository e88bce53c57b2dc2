/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cgroup that a task is told to be in, and that of a socket: where it was made. */
#ifndef TALLY_BPF_CGROUP_OF_BPF_H
#define TALLY_BPF_CGROUP_OF_BPF_H

#include "bpf/module.bpf.h"

/*
 * Its cgroup of version 2, or if that is the root, that of the memory controller of version 1. Loads are plain if
 * `known`, since to read memory by a helper is a call each time: `task` has to be one that the verifier knows then.
 */
static __always_inline struct cgroup *cgroup_read(const struct task_struct *task, bool known)
{
#define LOAD(from, member) (known ? (from)->member : BPF_CORE_READ(from, member))
	struct css_set *set = LOAD(task, cgroups);
	struct cgroup *cgroup = LOAD(set, dfl_cgrp), *v1 = NULL;
	struct cgroup_subsys_state *css = NULL;
	const char *at;

	if (LOAD(cgroup, level) ||
		!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return cgroup;
	at = (const char *)set + bpf_core_field_offset(struct css_set, subsys) +
	     sizeof(css) * bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id);
	if (known)
		css = *(struct cgroup_subsys_state *const *)at;
	else
		bpf_probe_read_kernel(&css, sizeof(css), at);
	if (css)
		v1 = LOAD(css, cgroup);
	return v1 ? v1 : cgroup;
#undef LOAD
}

static __always_inline struct cgroup *cgroup_of(struct task_struct *task)
{
	return cgroup_read(task, true);
}

/* Of version 2. NULL where an old kernel keeps something else at that place. */
static __always_inline const struct cgroup *cgroup_of_socket(const struct sock *sk)
{
	const struct sock_cgroup_data___old *old;
	__u64 value;

	old = (const void *)__builtin_preserve_access_index(&sk->sk_cgrp_data);
	if (!bpf_core_field_exists(old->val))
		return BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	value = BPF_CORE_READ(old, val);
	return value & 1 ? NULL : (const void *)(value & ~3ull);
}

#endif
