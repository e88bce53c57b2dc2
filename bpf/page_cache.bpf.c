/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How often readers of files find in memory what they look for. A lookup that finds nothing has it read by
 * page_cache_sync_ra(), with nothing between the two that waits; but others call that as well, page faults and
 * readers of directories for some. So a lookup notes what it looks for, and only who has just that read missed it.
 */
#include "bpf/module.bpf.h"
#include "bpf/page_cache.h"

CPU_MAP(tally_page_cache_cpu, struct page_cache_cpu);

const volatile struct page_cache_settings settings SEC(PAGE_CACHE_SETTINGS_MAP) = {
	.page_shift = 12};

/* A number for this task's looking for a page of a file: never alike, for all that matters. */
static __always_inline __u64 wanted(const struct file *file, __u64 page)
{
	const __u64 odd = 0x9e3779b97f4a7c15ull;

	return ((file->f_inode->i_ino * odd ^ bpf_get_current_pid_tgid()) * odd ^ page) * odd;
}

SEC("fentry/filemap_get_pages")
int BPF_PROG(tally_page_lookup, struct kiocb *iocb)
{
	struct page_cache_cpu *c = THIS_CPU(tally_page_cache_cpu);
	__u64 begin;

	if (!c)
		return 0;
	begin = own_begin(&c->lookup);
	c->looked_for = wanted(iocb->ki_filp, (__u64)iocb->ki_pos >> settings.page_shift);
	own_end_atomic(&c->lookup, begin);
	return 0;
}

/* A lookup that tries once more asks again: it is one miss. */
SEC("fentry/page_cache_sync_ra")
int BPF_PROG(tally_page_miss, struct readahead_control *control)
{
	struct page_cache_cpu *c = THIS_CPU(tally_page_cache_cpu);
	__u64 begin;

	if (!c)
		return 0;
	begin = own_begin(&c->miss);
	if (c->looked_for == wanted(control->file, control->_index)) {
		c->looked_for = 0;
		__sync_fetch_and_add(&c->misses, 1);
	}
	own_end_atomic(&c->miss, begin);
	return 0;
}
