/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "page_cache": how often readers of files find data in memory, by bpf/page_cache.bpf.c. */
#include "bpf/page_cache.h"

#include <unistd.h>

#include "bpf/page_cache.skel.h"
#include "user/provider/kernel/modules.h"

static const struct module_program programs[] = {
	{.needs = {"tally_page_lookup", .function = "filemap_get_pages"},
		.own = offsetof(struct page_cache_cpu, lookup),
		.runs = "at each lookup of a reader"},
	{.needs = {"tally_page_miss", .function = "page_cache_sync_ra"},
		.own = offsetof(struct page_cache_cpu, miss),
		.runs = "where what is not in memory is read at once"},
};

static const struct module_metric metrics[] = {
	{.name = "page_cache_lookups",
		.unit = "",
		.help = "Lookups of file data in memory, one for each batch of pages that somebody "
			"reads; "
			"those of page faults and writes are not in it",
		.source = "calls of filemap_get_pages()",
		.type = METRIC_COUNTER,
		.offset = offsetof(struct page_cache_cpu, lookup.runs)},
	{.name = "page_cache_misses",
		.unit = "",
		.help = "Lookups of page_cache_lookups that did not find the first page of the "
			"batch, so "
			"that it was read",
		.source = "calls of page_cache_sync_ra() for just what a lookup is for",
		.type = METRIC_COUNTER,
		.program = 1,
		.offset = offsetof(struct page_cache_cpu, misses)},
};

static int prepare(struct bpf_object *object, uint32_t ncpus)
{
	const struct page_cache_settings settings = {
		.page_shift = (uint32_t)__builtin_ctzl((unsigned long)sysconf(_SC_PAGESIZE))};

	return bpf_map__set_initial_value(
		bpf_object__find_map_by_name(object, PAGE_CACHE_SETTINGS_MAP), &settings,
		sizeof(settings));
}

const struct module module_page_cache = {
	.ops = {.name = "page_cache",
		.help = "how often readers of files find data in memory (BPF)",
		.opt_in = "runs at each read of a file; since Linux 5.12",
		MODULE_FUNCTIONS},
	.elf = page_cache_bpf__elf_bytes,
	.cpu_map = "tally_page_cache_cpu",
	.cpu_size = sizeof(struct page_cache_cpu),
	.prepare = prepare,
	.programs = programs,
	.nprograms = sizeof(programs) / sizeof(programs[0]),
	.whole = true,
	.metrics = metrics,
	.nmetrics = sizeof(metrics) / sizeof(metrics[0]),
};
