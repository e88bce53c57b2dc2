/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long requests to disks take, as bpf/block.bpf.c has it by disk, by the cgroup that caused them: the kernel has
 * noted it in what the request was made of. Older kernels may make one request for several cgroups; it is of the first.
 */
#include "bpf/cgroup_block.h"
#include "bpf/cgroup_slot.bpf.h"
#include "bpf/disk.bpf.h"

CPU_MAP(tally_cgroup_block_cpu, struct cgroup_block_cpu);
CGROUP_SLOT_MAPS(tally_cgroup_block, struct cgroup_block_cell);

/* In the hierarchy that the controller of disks belongs to. NULL of what has none, such as a flush. */
static __always_inline const struct cgroup *cgroup_of_request(const struct request *rq)
{
	return BPF_CORE_READ(rq, bio, bi_blkg, blkcg, css.cgroup);
}

static __always_inline void count_request(struct cgroup_block_times *ops, const struct request *rq)
{
	struct cgroup_block_times *t = OF_OP(ops, rq);

	histogram_count(t->total, &t->total_ns, elapsed(rq->start_time_ns, bpf_ktime_get_ns()),
		BLOCK_LO, BLOCK_HI);
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(tally_cgroup_block, struct request *rq, int error, unsigned int bytes)
{
	struct cgroup_block_cpu *own = THIS_CPU(tally_cgroup_block_cpu);
	const struct cgroup *cgroup;
	struct cgroup_block_cell *c;
	__u64 begin;

	if (!own || !ends_request(rq, bytes) || !rq->start_time_ns || !disk_of(rq))
		return 0;
	begin = own_begin(&own->own);
	cgroup = cgroup_of_request(rq);
	if (cgroup) {
		c = SLOT_CELL(tally_cgroup_block, CGROUP_SLOT(tally_cgroup_block, cgroup));
		if (c)
			count_request(c->ops, rq);
	} else {
		count_request(own->none, rq);
	}
	own_end_atomic(&own->own, begin);
	return 0;
}
