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
	BPF_MAP_TYPE_LRU_HASH = 9,
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

/* include/linux/task_io_accounting.h; empty without CONFIG_TASK_IO_ACCOUNTING */
struct task_io_accounting {
	__u64 read_bytes;
	__u64 write_bytes;
};

/* include/linux/mm_types.h */
struct percpu_counter {
	__s64 count; /* without what CPUs have not told yet */
};

struct mm_struct {
	struct percpu_counter rss_stat[4]; /* pages, by kind */
};

struct signal_struct {
	atomic_t live; /* threads that have not begun to exit */
	int nr_threads; /* that are not released: a zombie is not */
	int group_exit_code; /* as wait(2) tells it, if SIGNAL_GROUP_EXIT is set */
	unsigned int flags;
	/* sums over threads that are released */
	__u64 utime;
	__u64 stime;
	unsigned long nvcsw;
	unsigned long nivcsw;
	unsigned long min_flt;
	unsigned long maj_flt;
	unsigned long maxrss; /* pages; complete once no thread is live */
	struct task_io_accounting ioac;
	unsigned long long sum_sched_runtime;
};

/* include/linux/sched.h */
struct sched_info {
	unsigned long long run_delay;
	unsigned long long last_arrival; /* rq->clock when it got its CPU */
	unsigned long long last_queued; /* rq->clock when it became runnable; 0: not waiting */
};

struct sched_entity {
	struct cfs_rq *cfs_rq; /* of the CPU the task is on, whatever its class */
	__u64 sum_exec_runtime;
};

/* include/linux/cred.h */
typedef struct {
	__u32 val;
} kuid_t;

struct cred {
	kuid_t uid;
};

/* include/linux/kernfs.h, include/linux/cgroup-defs.h */
struct kernfs_node {
	struct kernfs_node *__parent; /* since 6.15 */
	const char *name; /* "" of a root */
	__u64 id;
};

struct kernfs_node___old {
	struct kernfs_node *parent;
};

struct cgroup {
	int level; /* 0: the root of its hierarchy */
	struct kernfs_node *kn;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

enum cgroup_subsys_id {
	memory_cgrp_id = 1, /* whatever the running kernel has */
};

struct css_set {
	struct cgroup_subsys_state *subsys[16];
	struct cgroup *dfl_cgrp; /* of version 2 */
};

/* arch/x86/include/asm/thread_info.h: which table of system calls it is */
struct thread_info {
	__u32 status;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int __state; /* since 5.14 */
	int pid; /* 0: a CPU's idle task */
	int tgid;
	unsigned int flags; /* PF_* */
	int exit_code; /* as wait(2) tells it */
	__u64 start_boottime; /* ns */
	__u64 utime;
	__u64 stime;
	unsigned long nvcsw;
	unsigned long nivcsw;
	unsigned long min_flt;
	unsigned long maj_flt;
	char comm[16];
	struct mm_struct *mm; /* NULL: a kernel thread, or nearly dead */
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	const struct cred *cred;
	struct css_set *cgroups;
	struct files_struct *files;
	struct task_io_accounting ioac;
	struct signal_struct *signal;
	struct sched_entity se;
	struct sched_info sched_info; /* CONFIG_SCHED_INFO */
};

/* Before 6.2. */
struct mm_rss_stat {
	char any; /* one long for each kind */
};

struct mm_struct___old {
	struct mm_rss_stat rss_stat;
};

/* kernel/bpf/task_iter.c, include/linux/bpf.h */
struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task; /* NULL: the end */
};

/* Before 5.14. */
struct task_struct___old {
	long state;
};

/* include/linux/blk_types.h, block/blk-cgroup.h */
struct blkcg {
	struct cgroup_subsys_state css;
};

struct blkcg_gq {
	struct blkcg *blkcg;
};

struct bio {
	struct blkcg_gq *bi_blkg; /* CONFIG_BLK_CGROUP; NULL: of no cgroup */
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
	struct bio *bio; /* the first that is not completed yet; NULL: none */
	unsigned int cmd_flags; /* the lowest 8 bits: enum req_op */
	__u64 __sector; /* where the rest begins, in units of 512 bytes */
	unsigned int __data_len; /* bytes that are not completed yet */
	__u64 start_time_ns; /* when it was made; 0 without statistics */
	__u64 io_start_time_ns; /* when the device got it; 0 where nobody asked */
};

/* include/trace/events/oom.h: it has this where the tracepoint gives the task, and not its number alone. */
struct trace_event_raw_mark_victim {
	unsigned int uid;
};

/* include/trace/events/tcp.h: it has this where the tracepoint tells of failures, too. */
struct trace_event_raw_tcp_retransmit_skb {
	int err;
};

/* include/trace/events/writeback.h: of these names since some arguments are one. */
struct trace_event_raw_balance_dirty_pages {
	unsigned long wb_setpoint;
};

/* include/linux/backing-dev-defs.h */
struct backing_dev_info {
	char dev_name[64]; /* "7:0" */
};

struct bdi_writeback {
	struct backing_dev_info *bdi;
};

/* include/linux/jbd2.h, include/linux/blk_types.h */
struct block_device {
	__u32 bd_dev;
};

struct journal_s {
	struct block_device *j_dev;
	char j_devname[56]; /* "vda1-8" */
};

/* Before 5.17. */
struct request___old {
	struct gendisk *rq_disk;
};

/* include/linux/timer_types.h, include/linux/hrtimer_types.h */
struct timer_list {
	void *function;
};

struct hrtimer {
	void *function;
};

/* include/linux/interrupt.h */
struct irqaction {
	const char *name;
};

/* include/linux/fs.h, include/linux/pagemap.h */
struct file_system_type {
	const char *name;
};

struct super_block {
	struct file_system_type *s_type;
	__u32 s_dev;
	char s_id[32]; /* the device's name, for people */
};

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
};

struct file {
	struct inode *f_inode;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct kiocb {
	struct file *ki_filp;
	long long ki_pos;
};

struct readahead_control {
	struct file *file;
	unsigned long _index; /* of the first page */
};

/* arch/x86/include/asm/ptrace.h, and arch/arm64's */
struct pt_regs {
	unsigned long orig_ax; /* number of the system call */
	unsigned long di; /* its first argument */
};

struct pt_regs___arm64 {
	int syscallno;
};

/* include/net/sock.h, include/linux/tcp.h */
struct sock_cgroup_data {
	struct cgroup *cgroup; /* of version 2; since 5.15 */
};

/* Before 5.15: the same pointer, or with bit 0 something else; bit 1 tells whether it is counted. */
struct sock_cgroup_data___old {
	__u64 val;
};

struct sock_common {
	__u16 skc_num; /* local port */
	__be16 skc_dport; /* that of the other side */
};

struct sock {
	struct sock_common __sk_common;
	struct sock_cgroup_data sk_cgrp_data; /* CONFIG_SOCK_CGROUP_DATA */
	__u16 sk_protocol; /* a bit field before 5.6 */
};

struct tcp_sock {
	__u32 srtt_us; /* 8 times the smoothed round-trip time; 0: never measured */
};

/* include/linux/skbuff.h */
struct sk_buff {
	struct sock *sk;
	__u16 network_header, transport_header; /* where they begin */
};

/* What programs of type cgroup_skb get for it. */
struct __sk_buff {
	__u32 len; /* from the IP header on */
	__u32 gso_segs; /* packets that it stands for; 0: itself */
};

#pragma clang attribute pop

#endif
