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

#endif
