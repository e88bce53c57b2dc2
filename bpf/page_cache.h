/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of page_cache.bpf.c count: one struct page_cache_cpu for each possible CPU.
 *
 *     0  24  lookup       the first program's own; its runs are the lookups
 *    24  24  miss         the second's
 *    48   8  misses       lookups that found nothing
 *    56   8  looked_for   of the lookup that began last: a number made of its task, file and page
 *    64  64  zero
 *
 * Tasks may be interrupted where this is counted, and another one may come on the CPU: additions are atomic.
 */
#ifndef TALLY_BPF_PAGE_CACHE_H
#define TALLY_BPF_PAGE_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"

/* Set before the programs are loaded: a page has 2 to the power of it bytes. */
#define PAGE_CACHE_SETTINGS_MAP ".rodata.page"
struct page_cache_settings {
	uint32_t page_shift;
};

struct page_cache_cpu {
	struct tally_own lookup, miss;
	uint64_t misses;
	uint64_t looked_for;
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct page_cache_cpu) == 128, "shared with user space");

#endif
