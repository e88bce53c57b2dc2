/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Timers of the kernel that expire, by the function that they run. */
#include "bpf/module.bpf.h"
#include "bpf/timers.h"

CPU_MAP(tally_timers_cpu, struct timers_cpu);
SLOT_MAPS(tally_timers, struct timers_cell, struct tally_slot);

/* Of its own: the loader fills the other one. */
static const char symbol_format[] SEC(".rodata.format") = "%ps";

/* The name of the symbol that the function is; a longer one lacks its end. */
static __always_inline void count_timer(__u64 function, enum timers_kind kind)
{
	struct timers_cell *c;

	c = SLOT_CELL(tally_timers, SLOT(tally_timers, function,
					    bpf_snprintf(slot->name, sizeof(slot->name),
						    symbol_format, &function, sizeof(function))));
	if (c)
		__sync_fetch_and_add(&c->expired[kind], 1);
}

SEC("tp_btf/timer_expire_entry")
int BPF_PROG(tally_timer, const struct timer_list *timer)
{
	struct timers_cpu *own = THIS_CPU(tally_timers_cpu);
	__u64 begin;

	if (!own)
		return 0;
	begin = own_begin(&own->jiffies);
	count_timer((__u64)timer->function, TIMERS_JIFFIES);
	own_end_atomic(&own->jiffies, begin);
	return 0;
}

SEC("tp_btf/hrtimer_expire_entry")
int BPF_PROG(tally_hrtimer, const struct hrtimer *timer)
{
	struct timers_cpu *own = THIS_CPU(tally_timers_cpu);
	__u64 begin;

	if (!own)
		return 0;
	begin = own_begin(&own->precise);
	count_timer((__u64)timer->function, TIMERS_PRECISE);
	own_end_atomic(&own->precise, begin);
	return 0;
}
