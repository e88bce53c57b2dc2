/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs that do nothing, where those of the default set are that run most: what it costs that there are any. */
#include "bpf/module.bpf.h"

CPU_MAP(empty_cpu, struct tally_own); /* a module has one */

SEC("tp_btf/sched_switch")
int empty_switch(void *ctx)
{
	return 0;
}

SEC("tp_btf/softirq_entry")
int empty_softirq_entry(void *ctx)
{
	return 0;
}

SEC("tp_btf/softirq_exit")
int empty_softirq_exit(void *ctx)
{
	return 0;
}
