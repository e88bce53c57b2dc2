/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an open module has, for the parts of its producer: module.c, module_load.c and module_series.c. */
#ifndef TALLY_USER_PROVIDER_KERNEL_MODULE_STATE_H
#define TALLY_USER_PROVIDER_KERNEL_MODULE_STATE_H

#include "bpf/module.h"
#include "user/provider/kernel/module.h"

/* Labels of a slot; values are of text_dup(). */
struct kept_labels {
	size_t n;
	const char *names[MODULE_SLOT_LABELS];
	char *values[MODULE_SLOT_LABELS];
};

struct module_state {
	const struct module *module;
	struct bpf_object *object; /* NULL once all is loaded: it takes a lot of memory */
	int programs[MODULE_PROGRAMS_MAX], links[MODULE_PROGRAMS_MAX]; /* descriptors; -1: none */
	bool loaded[MODULE_PROGRAMS_MAX];
	int cgroup; /* descriptor of the root of all cgroups, if programs are attached to it; -1: none */
	int kept[MODULE_KEPT_MAX]; /* descriptors of maps; -1: none */
	const char *cpus; /* ncpus structs, written by the kernel */
	uint32_t ncpus;
	struct tally_knobs *knobs; /* read by the programs; NULL: they have none */
	const char *cells; /* ncpus x nslots structs, likewise */
	const char *slots; /* nslots structs of names */
	struct kept_labels **labels; /* of each slot; NULL: not seen yet */
	uint32_t nslots; /* 1 if the module has none */
	uint64_t memory; /* bytes of kernel memory that its maps take */
	uint64_t ids[MODULE_PROGRAMS_MAX], misses[MODULE_PROGRAMS_MAX];
	uint64_t asked_ns; /* when the kernel was asked for misses */
	uint32_t *shown; /* numbers of the CPUs that have series, ascending; room for ncpus */
	uint32_t nshown;
	char **names[MODULE_METRICS_MAX]; /* label values of metrics that have them from an enum */
	uint64_t finds; /* calls of module_find_series() */
	bool *seen; /* of each value of each metric's label in each slot, in the order of the table */
	struct group group;
};

static inline size_t module_name_size(const struct module_state *s)
{
	return s->module->slots->labels ? s->module->slots->name_size : sizeof(struct tally_slot);
}

/* The kernel writes meanwhile: each cell is read once, whole. */
static inline uint64_t module_cell_read(const char *base, size_t offset)
{
	return __atomic_load_n((const uint64_t *)(const void *)(base + offset), __ATOMIC_RELAXED);
}

/*
 * Loads its programs, those that this kernel can have, and maps what they share with us; nothing is attached yet. A
 * negative errno value with a message; then the state is to be freed.
 */
int module_load(struct module_state *s, struct errmsg *e);

void module_free_labels(struct kept_labels *labels);
/* How many bools `seen` has. */
size_t module_count_values(const struct module_state *s);
/* Looks for CPUs, slots and labels that have come, and gives the group their series; on failure it stays as it was. */
int module_find_series(struct module_state *s);
/* Gives the group's series their values. */
void module_put_values(struct module_state *s);

#endif
