/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long the kernel's own locks are waited for. Programs run only where somebody must wait, once before and once
 * after.
 */
#include "bpf/contention.h"
#include "bpf/module.bpf.h"

/* include/trace/events/lock.h */
enum {
	LCB_F_SPIN = 1u << 0,
	LCB_F_READ = 1u << 1,
	LCB_F_WRITE = 1u << 2,
	LCB_F_RT = 1u << 3,
	LCB_F_PERCPU = 1u << 4,
	LCB_F_MUTEX = 1u << 5,
};

CPU_MAP(tally_contention_cpu, struct contention_cpu);

struct wait_key {
	__u64 lock;
	__u64 who; /* the task, or the CPU, if that is idle */
};

struct wait {
	__u64 since_ns;
	__u64 type; /* enum contention_type */
};

/* Room is made before: there is none to be had where a spinlock is waited for. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct wait_key);
	__type(value, struct wait);
} tally_contention_since SEC(".maps");

KNOBS_MAP(tally_contention_knobs);

static __always_inline struct wait_key key_of(const void *lock)
{
	struct wait_key key = {.lock = (__u64)lock, .who = (__u32)bpf_get_current_pid_tgid()};

	if (!key.who)
		key.who = 1ull << 63 | bpf_get_smp_processor_id();
	return key;
}

static __always_inline enum contention_type type_of(__u32 flags)
{
	if (flags & LCB_F_MUTEX)
		return CONTENTION_MUTEX;
	if (flags & LCB_F_RT)
		return CONTENTION_RTMUTEX;
	if (flags & LCB_F_PERCPU)
		return CONTENTION_PERCPU_RWSEM;
	if (flags & LCB_F_SPIN)
		return flags & LCB_F_READ    ? CONTENTION_RWLOCK_READ
		       : flags & LCB_F_WRITE ? CONTENTION_RWLOCK_WRITE
					     : CONTENTION_SPINLOCK;
	if (flags & LCB_F_READ)
		return CONTENTION_RWSEM_READ;
	return flags & LCB_F_WRITE ? CONTENTION_RWSEM_WRITE : CONTENTION_OTHER;
}

/* A mutex begins twice, first to spin and then to sleep: the first one counts. */
SEC("tp_btf/contention_begin")
int BPF_PROG(tally_lock_begin, const void *lock, __u32 flags)
{
	struct contention_cpu *c = THIS_CPU(tally_contention_cpu);
	struct wait_key key = key_of(lock);
	struct wait wait = {.type = type_of(flags)};
	const struct wait *known;
	__u64 begin;

	if (!c)
		return 0;
	begin = own_begin(&c->begin);
	wait.since_ns = bpf_ktime_get_ns();
	known = bpf_map_lookup_elem(&tally_contention_since, &key);
	if ((!known || !BEGAN_ATTACHED(tally_contention_knobs, known->since_ns)) &&
		bpf_map_update_elem(&tally_contention_since, &key, &wait, BPF_ANY))
		__sync_fetch_and_add(&c->unknown, 1);
	own_end_atomic(&c->begin, begin);
	return 0;
}

SEC("tp_btf/contention_end")
int BPF_PROG(tally_lock_end, const void *lock)
{
	struct contention_cpu *c = THIS_CPU(tally_contention_cpu);
	struct wait_key key = key_of(lock);
	const struct wait *wait;
	__u64 begin, type;

	if (!c)
		return 0;
	begin = own_begin(&c->end);
	wait = bpf_map_lookup_elem(&tally_contention_since, &key);
	if (wait) {
		type = wait->type;
		barrier_var(type);
		if (type < CONTENTION_TYPES &&
			BEGAN_ATTACHED(tally_contention_knobs, wait->since_ns))
			histogram_count(c->types[type].waits, &c->types[type].ns,
				elapsed(wait->since_ns, bpf_ktime_get_ns()), CONTENTION_LO,
				CONTENTION_HI);
		bpf_map_delete_elem(&tally_contention_since, &key);
	}
	own_end_atomic(&c->end, begin);
	return 0;
}
