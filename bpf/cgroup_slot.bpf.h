/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slots that are cgroups, after bpf/module.bpf.h: a name is a struct tally_slot_cgroup, which is filled when a
 * cgroup is met for the first time, so that it is known for good however soon the cgroup goes.
 *
 * A slot belongs to a path, not to a cgroup: a service that is started again goes on where it was. Its path is
 * found by a sum over all its names, and that is remembered by the cgroup's id.
 */
#ifndef TALLY_BPF_CGROUP_SLOT_BPF_H
#define TALLY_BPF_CGROUP_SLOT_BPF_H

#include "bpf/module.bpf.h"

#define CGROUP_SLOT_MAPS(module, cell)                     \
	SLOT_MAPS(module, cell, struct tally_slot_cgroup); \
	struct {                                           \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);       \
		__uint(max_entries, 512);                  \
		__type(key, __u64);                        \
		__type(value, __u32);                      \
	} module##_ids SEC(".maps")

/* A name as words, of which those after its end are 0. */
union cgroup_name {
	char text[TALLY_CGROUP_NAME];
	__u64 words[TALLY_CGROUP_NAME / 8];
};

/* NULL of a root. */
static __always_inline const struct kernfs_node *kernfs_parent(const struct kernfs_node *kn)
{
	const struct kernfs_node___old *old = (const void *)kn;

	if (bpf_core_field_exists(old->parent))
		return BPF_CORE_READ(old, parent);
	return BPF_CORE_READ(kn, __parent);
}

static __always_inline __u64 cgroup_name_add(__u64 sum, const union cgroup_name *name)
{
	for (__u32 i = 0; i < TALLY_CGROUP_NAME / 8; i++) {
		sum = (sum ^ name->words[i]) * 0x9e3779b97f4a7c15ull;
		sum ^= sum >> 29;
	}
	return sum;
}

/* A sum over the path's names. */
static __always_inline __u64 cgroup_identity(const struct kernfs_node *kn)
{
	__u64 sum = 1;

	for (__u32 i = 0; i < TALLY_CGROUP_LEVELS; i++) {
		const struct kernfs_node *parent = kernfs_parent(kn);
		union cgroup_name name = {.words = {0}};

		if (!parent)
			break;
		bpf_probe_read_kernel_str(name.text, sizeof(name.text), BPF_CORE_READ(kn, name));
		sum = cgroup_name_add(sum, &name);
		kn = parent;
	}
	return sum;
}

static __always_inline void cgroup_fill(
	struct tally_slot_cgroup *slot, const struct kernfs_node *kn, __u64 identity)
{
	__u64 at = 0;

	slot->identity = identity;
	for (__u32 i = 0; i < TALLY_CGROUP_LEVELS && kernfs_parent(kn); i++) {
		long n;

		barrier_var(at);
		if (at > TALLY_CGROUP_PATH - TALLY_CGROUP_NAME)
			break;
		n = bpf_probe_read_kernel_str(
			slot->names + at, TALLY_CGROUP_NAME, BPF_CORE_READ(kn, name));
		if (n <= 0 || n > TALLY_CGROUP_NAME)
			break;
		at += (__u64)n;
		kn = kernfs_parent(kn);
	}
	slot->size = (__u32)at;
	slot->cut = kernfs_parent(kn) != NULL;
}

/* The slot of the cgroup of an id. Its node, kernfs, is only looked at where the id is not known yet. */
#define CGROUP_SLOT_OF_ID(module, id, kernfs)                                        \
	({                                                                           \
		__u64 id_ = (id);                                                    \
		__u32 *known_ = bpf_map_lookup_elem(&module##_ids, &id_), slot_ = 0; \
		if (known_) {                                                        \
			slot_ = *known_;                                             \
		} else {                                                             \
			const struct kernfs_node *kn_ = (kernfs);                    \
			__u64 path_ = cgroup_identity(kn_);                          \
			slot_ = SLOT(module, path_, cgroup_fill(slot, kn_, path_));  \
			bpf_map_update_elem(&module##_ids, &id_, &slot_, BPF_ANY);   \
		}                                                                    \
		slot_;                                                               \
	})

/* The slot of a cgroup. */
#define CGROUP_SLOT(module, cgroup)                                          \
	({                                                                   \
		const struct kernfs_node *node_ = BPF_CORE_READ(cgroup, kn); \
		CGROUP_SLOT_OF_ID(module, BPF_CORE_READ(node_, id), node_);  \
	})

#endif
