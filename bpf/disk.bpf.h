/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What programs that look at requests to disks have in common. */
#ifndef TALLY_BPF_DISK_BPF_H
#define TALLY_BPF_DISK_BPF_H

#include "bpf/module.bpf.h"

/* enum req_op of include/linux/blk_types.h */
enum {
	REQ_OP_READ = 0,
	REQ_OP_WRITE = 1,
	REQ_OP_DRV_IN = 34, /* commands of drivers: these and above are no input or output */
};

static __always_inline const struct gendisk *disk_of(const struct request *rq)
{
	const struct request___old *old = (const void *)rq;

	if (bpf_core_field_exists(old->rq_disk))
		return BPF_CORE_READ(old, rq_disk);
	return BPF_CORE_READ(rq, q, disk);
}

static __always_inline __u32 op_of(const struct request *rq)
{
	return rq->cmd_flags & 0xff;
}

/*
 * Whether input or output ends, all of it: no part of a request to which more is to come, no command of a driver,
 * and no write of nothing. Such a one stands for a flush that somebody asked for: what was written with it has ended
 * before, and the flush is a request of its own.
 */
static __always_inline bool ends_request(const struct request *rq, unsigned int bytes)
{
	__u32 op = op_of(rq);

	return bytes >= rq->__data_len && op < REQ_OP_DRV_IN && (op != REQ_OP_WRITE || bytes);
}

/* Of an array by enum block_op that of the request's. */
#define OF_OP(ops, rq)                                       \
	({                                                   \
		typeof(&(ops)[0]) of_ = &(ops)[BLOCK_OTHER]; \
		if (op_of(rq) == REQ_OP_READ)                \
			of_ = &(ops)[BLOCK_READ];            \
		else if (op_of(rq) == REQ_OP_WRITE)          \
			of_ = &(ops)[BLOCK_WRITE];           \
		of_;                                         \
	})

static __always_inline __u64 disk_number(const struct gendisk *disk)
{
	return (__u64)(__u32)BPF_CORE_READ(disk, major) << 32 |
	       (__u32)BPF_CORE_READ(disk, first_minor);
}

#endif
