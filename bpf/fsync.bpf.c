/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long it takes until what was written to files of ext4 is on the disk. A call takes long beside a look into a
 * map of those that are at it.
 */
#include "bpf/fsync.h"
#include "bpf/module.bpf.h"

CPU_MAP(tally_fsync_cpu, struct fsync_cpu);
SLOT_MAPS(tally_fsync, struct fsync_cell, struct tally_slot);

struct call {
	__u64 since_ns;
	__u64 op; /* enum fsync_op */
};

/* By the task's id. A file system on a file of another begins a second call in another task. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct call);
} tally_fsync_since SEC(".maps");

KNOBS_MAP(tally_fsync_knobs);

static __always_inline __u32 current_tid(void)
{
	return (__u32)bpf_get_current_pid_tgid();
}

SEC("tp_btf/ext4_sync_file_enter")
int BPF_PROG(tally_fsync_enter, struct file *file, int datasync)
{
	struct fsync_cpu *c = THIS_CPU(tally_fsync_cpu);
	struct call call = {.op = datasync ? FSYNC_DATA : FSYNC_ALL};
	__u32 tid = current_tid();
	__u64 begin;

	if (!c)
		return 0;
	begin = own_begin(&c->enter);
	call.since_ns = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&tally_fsync_since, &tid, &call, BPF_ANY))
		__sync_fetch_and_add(&c->unknown, 1);
	own_end_atomic(&c->enter, begin);
	return 0;
}

static __always_inline void count_call(
	const struct inode *inode, const struct call *call, int result)
{
	const struct super_block *sb = BPF_CORE_READ(inode, i_sb);
	__u64 op = call->op;
	struct fsync_cell *c;

	c = SLOT_CELL(
		tally_fsync, SLOT(tally_fsync, BPF_CORE_READ(sb, s_dev), SLOT_TEXT(sb->s_id)));
	barrier_var(op);
	if (!c || op >= FSYNC_OPS)
		return;
	histogram_count(c->ops[op].times, &c->ops[op].ns,
		elapsed(call->since_ns, bpf_ktime_get_ns()), FSYNC_LO, FSYNC_HI);
	if (result < 0)
		__sync_fetch_and_add(&c->errors[op], 1);
}

SEC("tp_btf/ext4_sync_file_exit")
int BPF_PROG(tally_fsync_exit, struct inode *inode, int result)
{
	struct fsync_cpu *own = THIS_CPU(tally_fsync_cpu);
	__u32 tid = current_tid();
	struct call *call;
	__u64 begin;

	if (!own)
		return 0;
	begin = own_begin(&own->exit);
	call = bpf_map_lookup_elem(&tally_fsync_since, &tid);
	if (call) {
		if (BEGAN_ATTACHED(tally_fsync_knobs, call->since_ns))
			count_call(inode, call, result);
		bpf_map_delete_elem(&tally_fsync_since, &tid);
	}
	own_end_atomic(&own->exit, begin);
	return 0;
}
