/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tasks that are moved to another CPU, by the CPU that they come to. */
#include "bpf/migrations.h"
#include "bpf/module.bpf.h"

CPU_MAP(tally_migrations_cpu, struct migrations_cpu);

SEC("tp_btf/sched_migrate_task")
int BPF_PROG(tally_migrations, struct task_struct *task, unsigned int to)
{
	struct migrations_cpu *own = THIS_CPU(tally_migrations_cpu), *c;
	__u64 begin;

	if (!own)
		return 0;
	begin = own_begin(&own->own);
	c = bpf_map_lookup_elem(&tally_migrations_cpu, &to);
	if (c)
		__sync_fetch_and_add(&c->moves, 1);
	own_end_atomic(&own->own, begin);
	return 0;
}
