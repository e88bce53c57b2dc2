/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What BPF programs of this folder have in common.
 *
 * A module's figures are one struct for each possible CPU, side by side in an array that user space maps
 * read-only. Additions are plain where a CPU can't be interrupted by another run that writes the same cell
 * (interrupts off, or soft interrupts, which don't nest), and atomic everywhere else: still on memory that
 * no other CPU writes, so they cost 5 ns.
 */
#ifndef TALLY_BPF_MODULE_BPF_H
#define TALLY_BPF_MODULE_BPF_H

#include "bpf/vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/module.h"

char LICENSE[] SEC("license") = "GPL";

/* The loader sets the number of possible CPUs. */
#define CPU_MAP(name, what)                        \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);  \
		__uint(map_flags, BPF_F_MMAPABLE); \
		__uint(max_entries, 1);            \
		__type(key, __u32);                \
		__type(value, what);               \
	} name SEC(".maps")

/* This CPU's struct; NULL never, but the verifier can't know. */
#define THIS_CPU(name)                                   \
	({                                               \
		__u32 cpu_ = bpf_get_smp_processor_id(); \
		bpf_map_lookup_elem(&(name), &cpu_);     \
	})

/* Clocks of one CPU never run back, but nothing here should depend on it. */
static __always_inline __u64 elapsed(__u64 from, __u64 to)
{
	return to > from ? to - from : 0;
}

/* The time, if this run is one of those that are timed; else 0. */
static __always_inline __u64 own_begin(const struct tally_own *own)
{
	return own->runs % TALLY_OWN_EVERY == TALLY_OWN_EVERY - 1 ? bpf_ktime_get_ns() : 0;
}

static __always_inline void own_end(struct tally_own *own, __u64 begin)
{
	own->runs++;
	if (begin) {
		own->ns += elapsed(begin, bpf_ktime_get_ns());
		own->timed++;
	}
}

/* The same for programs that can be interrupted by themselves. */
static __always_inline void own_end_atomic(struct tally_own *own, __u64 begin)
{
	__sync_fetch_and_add(&own->runs, 1);
	if (begin) {
		__sync_fetch_and_add(&own->ns, elapsed(begin, bpf_ktime_get_ns()));
		__sync_fetch_and_add(&own->timed, 1);
	}
}

/* --- slots ------------------------------------------------------------------------------------- */

/* What has slots declares its maps with this; the loader sets NAME_slots and the sizes that are 1. */
#define SLOT_MAPS(module, cell)                       \
	const volatile __u32 module##_slots = 1;      \
	struct {                                      \
		__uint(type, BPF_MAP_TYPE_ARRAY);     \
		__uint(map_flags, BPF_F_MMAPABLE);    \
		__uint(max_entries, 1);               \
		__type(key, __u32);                   \
		__type(value, cell);                  \
	} module##_cells SEC(".maps");                \
	struct {                                      \
		__uint(type, BPF_MAP_TYPE_ARRAY);     \
		__uint(map_flags, BPF_F_MMAPABLE);    \
		__uint(max_entries, 1);               \
		__type(key, __u32);                   \
		__type(value, struct tally_slot);     \
	} module##_names SEC(".maps");                \
	struct {                                      \
		__uint(type, BPF_MAP_TYPE_HASH);      \
		__uint(map_flags, BPF_F_NO_PREALLOC); \
		__uint(max_entries, 4096);            \
		__type(key, __u64);                   \
		__type(value, __u32);                 \
	} module##_find SEC(".maps");                 \
	struct {                                      \
		__uint(type, BPF_MAP_TYPE_HASH);      \
		__uint(map_flags, BPF_F_NO_PREALLOC); \
		__uint(max_entries, TALLY_SLOTS_MAX); \
		__type(key, __u32);                   \
		__type(value, __u64);                 \
	} module##_taken SEC(".maps")

/*
 * A free slot for the key, or 0. Slots are taken one after the other, so the last one tells whether there are
 * any. Of two CPUs that come with the same new key at once, one may waste a slot.
 */
static __always_inline __u32 slot_take(
	void *find, void *taken, void *names, __u64 key, const void *name, __u32 slots)
{
	__u32 last = slots - 1, *have;

	for (__u32 i = 1; i < TALLY_SLOTS_MAX && i < slots; i++) {
		struct tally_slot *slot;
		__u32 at = i;

		if (bpf_map_lookup_elem(taken, &last) ||
			bpf_map_update_elem(taken, &at, &key, BPF_NOEXIST))
			continue;
		if (bpf_map_update_elem(find, &key, &at, BPF_NOEXIST))
			break;
		slot = bpf_map_lookup_elem(names, &at);
		if (slot) {
			bpf_probe_read_kernel_str(slot->name, sizeof(slot->name), name);
			slot->ready = 1;
		}
		return at;
	}
	last = 0;
	bpf_map_update_elem(find, &key, &last, BPF_NOEXIST);
	have = bpf_map_lookup_elem(find, &key);
	return have ? *have : 0;
}

/* The slot of a key; name is where the kernel has its name, which is read the first time. */
#define SLOT(module, key, name)                                                                 \
	({                                                                                      \
		__u64 key_ = (key);                                                             \
		__u32 *have_ = bpf_map_lookup_elem(&module##_find, &key_);                      \
		have_ ? *have_                                                                  \
		      : slot_take(&module##_find, &module##_taken, &module##_names, key_, name, \
				module##_slots);                                                \
	})

/* This CPU's cell of a slot; NULL never. */
#define SLOT_CELL(module, slot)                                                   \
	({                                                                        \
		__u32 at_ = bpf_get_smp_processor_id() * module##_slots + (slot); \
		bpf_map_lookup_elem(&module##_cells, &at_);                       \
	})

#endif
