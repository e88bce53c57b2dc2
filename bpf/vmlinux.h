/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of this folder need to know of the kernel, and no more.
 *
 * Structures list only the members that are used, in any order: preserve_access_index makes clang
 * record each access by name, and libbpf puts in the offsets of the running kernel at load (CO-RE).
 * A member that a kernel lacks fails the load of the programs that use it.
 */
#ifndef TALLY_BPF_VMLINUX_H
#define TALLY_BPF_VMLINUX_H

#include <stdbool.h>

/* Types that libbpf's own headers expect. */
typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef signed short __s16;
typedef unsigned int __u32;
typedef signed int __s32;
typedef unsigned long long __u64;
typedef signed long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

/* User-space ABI of bpf(2): never changes. */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
};
enum {
	BPF_F_NO_PREALLOC = 1u << 0,
	BPF_F_MMAPABLE = 1u << 10,
};
enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* kernel/sched/sched.h */
struct rq {
	__u64 clock; /* ns; updated by the scheduler before it picks the next task */
};

struct cfs_rq {
	struct rq *rq; /* CONFIG_FAIR_GROUP_SCHED */
};

/* include/linux/sched/signal.h */
typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live; /* threads that have not begun to exit */
	int group_exit_code; /* as wait(2) tells it, if SIGNAL_GROUP_EXIT is set */
	unsigned int flags;
};

/* include/linux/sched.h */
struct sched_info {
	unsigned long long last_queued; /* rq->clock when it became runnable; 0: not waiting */
};

struct sched_entity {
	struct cfs_rq *cfs_rq; /* of the CPU the task is on, whatever its class */
};

struct task_struct {
	int pid; /* 0: a CPU's idle task */
	int tgid;
	unsigned int flags; /* PF_* */
	int exit_code; /* as wait(2) tells it */
	struct signal_struct *signal;
	struct sched_entity se;
	struct sched_info sched_info; /* CONFIG_SCHED_INFO */
};

/* include/linux/blkdev.h, include/linux/blk-mq.h */
struct gendisk {
	int major;
	int first_minor;
	char disk_name[32];
};

struct request_queue {
	struct gendisk *disk; /* since 5.15; NULL for what is no disk */
};

struct request {
	struct request_queue *q;
	unsigned int cmd_flags; /* the lowest 8 bits: enum req_op */
	unsigned int __data_len; /* bytes that are not completed yet */
	__u64 start_time_ns; /* when it was made; 0 without statistics */
	__u64 io_start_time_ns; /* when the device got it; 0 where nobody asked */
};

/* Before 5.17. */
struct request___old {
	struct gendisk *rq_disk;
};

/* include/net/sock.h, include/linux/tcp.h */
struct sock {
	__u16 sk_protocol; /* a bit field before 5.6 */
};

struct tcp_sock {
	__u32 srtt_us; /* 8 times the smoothed round-trip time; 0: never measured */
};

#pragma clang attribute pop

#endif
