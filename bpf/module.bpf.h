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
#include "include/tally/histogram.h"

char LICENSE[] SEC("license") = "GPL";

/* An array that user space maps. */
#define MAPPED_ARRAY(name, what)                   \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);  \
		__uint(map_flags, BPF_F_MMAPABLE); \
		__uint(max_entries, 1);            \
		__type(key, __u32);                \
		__type(value, what);               \
	} name SEC(".maps")

/* The loader sets the number of possible CPUs. */
#define CPU_MAP(name, what) MAPPED_ARRAY(name, what)

/* This CPU's struct; NULL never, but the verifier can't know. */
#define THIS_CPU(name)                                   \
	({                                               \
		__u32 cpu_ = bpf_get_smp_processor_id(); \
		bpf_map_lookup_elem(&(name), &cpu_);     \
	})

/* A struct tally_knobs, which the reader turns: a variable, since its place is known without a look-up. */
#define KNOBS_MAP(name) struct tally_knobs name SEC(".data." #name)

/* Whether nothing is to be counted. */
#define IS_PAUSED(name) (!(name).every)

/*
 * For programs that keep times of what began in a map: what began before they were attached may have ended unseen,
 * and another begun in its place.
 */
#define BEGAN_ATTACHED(name, since_ns) ((since_ns) >= (name).attached_ns)

/*
 * Whether this is one of `every` events, by chance, so that no rhythm of theirs meets it. `left` is this CPU's: how
 * many are still to be passed over.
 */
static __always_inline bool is_chosen(__u64 every, uint64_t *left)
{
	__u64 passes = *left;

	barrier_var(passes); /* read once: an interrupt may write it */
	*left = passes ? passes - 1 : bpf_get_prandom_u32() % (2 * every - 1);
	return !passes;
}

/* How many events this one stands for; 0: it is passed over. */
static __always_inline __u64 sample_weight(const struct tally_knobs *knobs, uint64_t *left)
{
	__u64 every = knobs->every;

	return every <= 1 || is_chosen(every, left) ? every : 0;
}

/*
 * The n-th argument, from 0 on, of a tracepoint that does not have it in all kernels: reading what is not there would
 * fail the load. So this is for after a question about the kernel, and, being assembler, the compiler neither moves it
 * before that nor makes one of two.
 */
#define ARGUMENT(ctx, n)                                                                         \
	({                                                                                       \
		__u64 argument_;                                                                 \
		asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(argument_) : "r"(ctx), "i"((n)*8)); \
		argument_;                                                                       \
	})

/* Clocks of one CPU never run back, but nothing here should depend on it. */
static __always_inline __u64 elapsed(__u64 from, __u64 to)
{
	return to > from ? to - from : 0;
}

/* The place of a value in a histogram of the range lo .. hi, both constants; NULL never. */
static __always_inline uint64_t *histogram_bucket(
	uint64_t *buckets, __u64 value, __u32 lo, __u32 hi)
{
	__u64 bucket = tally_histogram_index(value, lo, hi);

	/* the verifier must see the bound, and clang may drop a check that it can prove */
	barrier_var(bucket);
	return bucket < TALLY_HISTOGRAM_BUCKETS(lo, hi) ? &buckets[bucket] : NULL;
}

/* Adds a value n times to such a histogram, and to the sum of its values. */
static __always_inline void histogram_add(
	uint64_t *buckets, uint64_t *sum, __u64 value, __u64 n, __u32 lo, __u32 hi)
{
	uint64_t *bucket = histogram_bucket(buckets, value, lo, hi);

	if (!bucket)
		return;
	__sync_fetch_and_add(bucket, n);
	__sync_fetch_and_add(sum, value * n);
}

/* The same where nobody else writes the cells meanwhile. */
static __always_inline void histogram_add_alone(
	uint64_t *buckets, uint64_t *sum, __u64 value, __u64 n, __u32 lo, __u32 hi)
{
	uint64_t *bucket = histogram_bucket(buckets, value, lo, hi);

	if (!bucket)
		return;
	*bucket += n;
	*sum += value * n;
}

static __always_inline void histogram_count(
	uint64_t *buckets, uint64_t *sum, __u64 value, __u32 lo, __u32 hi)
{
	histogram_add(buckets, sum, value, 1, lo, hi);
}

/* The time, if this run is one of those that are timed; else 0. */
static __always_inline __u64 own_begin(const struct tally_own *own)
{
	return own->runs % TALLY_OWN_EVERY == TALLY_OWN_EVERY - 1 ? bpf_ktime_get_ns() : 0;
}

static __always_inline __u64 own_time(__u64 begin)
{
	__u64 ns = elapsed(begin, bpf_ktime_get_ns());

	return ns < TALLY_OWN_MAX_NS ? ns : TALLY_OWN_MAX_NS;
}

static __always_inline void own_end(struct tally_own *own, __u64 begin)
{
	own->runs++;
	if (begin) {
		own->ns += own_time(begin);
		own->timed++;
	}
}

/* The same for programs that can be interrupted by themselves. */
static __always_inline void own_end_atomic(struct tally_own *own, __u64 begin)
{
	__sync_fetch_and_add(&own->runs, 1);
	if (begin) {
		__sync_fetch_and_add(&own->ns, own_time(begin));
		__sync_fetch_and_add(&own->timed, 1);
	}
}

/* --- slots ------------------------------------------------------------------------------------- */

/*
 * What has slots declares its maps with this; the loader sets the constants and the sizes that are 1. `name`
 * is the struct of a name.
 */
#define SLOT_MAPS(module, cell, name)                                            \
	const volatile struct tally_constants module##_constants = {.slots = 1}; \
	MAPPED_ARRAY(module##_cells, cell);                                      \
	MAPPED_ARRAY(module##_names, name);                                      \
	struct {                                                                 \
		__uint(type, BPF_MAP_TYPE_HASH);                                 \
		__uint(max_entries, 1);                                          \
		__type(key, __u64);                                              \
		__type(value, __u32);                                            \
	} module##_find SEC(".maps");                                            \
	struct {                                                                 \
		__uint(type, BPF_MAP_TYPE_HASH);                                 \
		__uint(max_entries, 1);                                          \
		__type(key, __u32);                                              \
		__type(value, __u64);                                            \
	} module##_taken SEC(".maps")

/*
 * A free slot for a key that has none, or 0. Of two CPUs that come with the same new key at once, one may waste
 * a slot. The count in the first name is where to begin to look; it may lag, since old kernels have no atomic
 * addition that tells the result, but not for long: whoever finds a slot taken moves it on.
 */
static __always_inline __u32 slot_claim(
	void *find, void *taken, void *names, __u64 key, __u32 slots)
{
	__u32 first = 0;
	__u64 *count = bpf_map_lookup_elem(names, &first);

	for (int i = 0; count && i < 8; i++) {
		__u64 next = *count + 1;
		__u32 at = (__u32)next;

		if (next >= slots)
			return 0;
		*count = next;
		if (!bpf_map_update_elem(taken, &at, &key, BPF_NOEXIST))
			return bpf_map_update_elem(find, &key, &at, BPF_NOEXIST) ? 0 : at;
	}
	return 0;
}

/*
 * The slot of a key. For a new one, `how` is run with the struct of its name as `slot`, to fill it.
 */
#define SLOT(module, key, how)                                                                   \
	({                                                                                       \
		__u64 key_ = (key);                                                              \
		__u32 *have_ = bpf_map_lookup_elem(&module##_find, &key_), at_ = 0;              \
		if (have_) {                                                                     \
			at_ = *have_;                                                            \
		} else {                                                                         \
			at_ = slot_claim(&module##_find, &module##_taken, &module##_names, key_, \
				module##_constants.slots);                                       \
			typeof(module##_names.value) slot =                                      \
				at_ ? bpf_map_lookup_elem(&module##_names, &at_) : NULL;         \
			if (slot) {                                                              \
				how;                                                             \
				slot->ready = 1;                                                 \
			}                                                                        \
		}                                                                                \
		at_;                                                                             \
	})

/* A key for SLOT() from the text that will be the slot's name; 0 if it can't be read, or is empty. */
static __always_inline __u64 text_key(const char *text)
{
	union {
		char text[TALLY_SLOT_NAME];
		__u64 words[TALLY_SLOT_NAME / 8];
	} name = {.words = {0}};
	__u64 key = 0;

	bpf_probe_read_kernel_str(name.text, sizeof(name.text), text);
	for (__u32 i = 0; i < TALLY_SLOT_NAME / 8; i++)
		key = (key ^ name.words[i]) * 0x9e3779b97f4a7c15ull;
	return key;
}

/* For `how`: the name is where the kernel has it; or it is a number. */
#define SLOT_TEXT(text)   bpf_probe_read_kernel_str(slot->name, sizeof(slot->name), text)
#define SLOT_NUMBER(what) slot->number = (what)

/* This CPU's cell of a slot; NULL never. */
#define SLOT_CELL(module, slot)                                                             \
	({                                                                                  \
		__u32 at_ = bpf_get_smp_processor_id() * module##_constants.slots + (slot); \
		bpf_map_lookup_elem(&module##_cells, &at_);                                 \
	})

#endif
