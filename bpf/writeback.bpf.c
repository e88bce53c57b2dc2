/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long tasks that write are made to wait, since more of what they wrote is not on its disk yet than may be: the
 * kernel says so before each pause, and how long it will be.
 */
#include "bpf/module.bpf.h"
#include "bpf/writeback.h"

CPU_MAP(tally_writeback_cpu, struct writeback_cpu);
SLOT_MAPS(tally_writeback, struct writeback_cell, struct tally_slot);

/*
 * In jiffies; 0 or less: it goes on at once. Some arguments became one in newer kernels (6.18, not 6.12), and the
 * tracepoint's figures changed their names with that.
 */
static __always_inline long pause_of(const __u64 *ctx)
{
	if (bpf_core_field_exists(struct trace_event_raw_balance_dirty_pages, wb_setpoint))
		return (long)ARGUMENT(ctx, 6);
	return (long)ARGUMENT(ctx, 10);
}

/* By the name: a loop device that is made again has another id, and is the same device for people. */
static __always_inline void count_pause(const struct bdi_writeback *wb, __u64 ns)
{
	const struct backing_dev_info *bdi = BPF_CORE_READ(wb, bdi);
	__u64 key = text_key(bdi->dev_name);
	struct writeback_cell *c;

	c = SLOT_CELL(
		tally_writeback, key ? SLOT(tally_writeback, key, SLOT_TEXT(bdi->dev_name)) : 0);
	if (c)
		histogram_count(c->pauses, &c->ns, ns, WRITEBACK_LO, WRITEBACK_HI);
}

SEC("tp_btf/balance_dirty_pages")
int tally_throttle(__u64 *ctx)
{
	struct writeback_cpu *own = THIS_CPU(tally_writeback_cpu);
	long pause = pause_of(ctx);
	__u64 begin;

	if (!own || pause <= 0)
		return 0;
	begin = own_begin(&own->own);
	count_pause((const void *)ctx[0], (__u64)pause * tally_writeback_constants.tick_ns);
	own_end_atomic(&own->own, begin);
	return 0;
}
