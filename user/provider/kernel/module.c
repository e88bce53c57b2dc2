/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Producers made from tables: see module.h. A poll reads memory that the kernel's programs write, and takes
 * no system call but the two readings of the clock that every group has.
 *
 * Programs and maps live by descriptors alone and end with the process.
 */
#include "user/provider/kernel/module.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"
#include "user/lib/diag.h"
#include "user/lib/util.h"
#include "user/provider/cgroup_tree.h"

struct state {
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
	struct slot_labels **labels; /* of each slot; NULL: not seen yet */
	uint32_t nslots; /* 1 if the module has none */
	uint64_t memory; /* bytes of kernel memory that its maps take */
	uint64_t ids[MODULE_PROGRAMS_MAX], misses[MODULE_PROGRAMS_MAX];
	uint64_t asked_ns; /* when the kernel was asked for misses */
	uint32_t *shown; /* numbers of the CPUs that have series, ascending; room for ncpus */
	uint32_t nshown;
	char **names[MODULE_METRICS_MAX]; /* label values of metrics that have them from an enum */
	bool *seen; /* of each value of each metric's label in each slot, in the order of the table */
	struct group group;
};

/*
 * The first PER_PROGRAM are of each program: IN_CELLS with offsets in its struct tally_own, then what the kernel
 * tells of it. Then those of the module.
 */
enum { IN_CELLS = 2, ID = IN_CELLS, MISSES, PER_PROGRAM, MEMORY = PER_PROGRAM };
#define ASK_NS (60 * NSEC_PER_SEC)
const struct module_metric module_own_metrics[] = {
	{.name = "bpf_program_runs",
		.unit = "",
		.help = "Runs of one of tally's BPF programs",
		.source = "counted by the program",
		.type = METRIC_COUNTER,
		.offset = offsetof(struct tally_own, runs),
		.label = "program"},
	{.name = "bpf_program_seconds",
		.unit = "seconds",
		.help = "CPU time of one of tally's BPF programs, estimated from one run of 1024",
		.source = "the program reads the clock at its begin and end",
		.type = METRIC_COUNTER,
		.scale = -9,
		.factor = TALLY_OWN_EVERY,
		.offset = offsetof(struct tally_own, ns),
		.label = "program"},
	[ID] = {.name = "bpf_program_id",
		.unit = "",
		.help = "Number of one of tally's BPF programs in this kernel, as bpftool shows it",
		.source = "bpf_prog_info",
		.type = METRIC_GAUGE,
		.label = "program"},
	[MISSES] = {.name = "bpf_program_misses",
		.unit = "",
		.help = "Events that one of tally's BPF programs missed, as it ran already on that "
			"CPU",
		.source = "recursion_misses in bpf_prog_info, read every 60 s; since Linux 5.12",
		.type = METRIC_COUNTER,
		.label = "program"},
	[MEMORY] = {.name = "bpf_memory_bytes",
		.unit = "bytes",
		.help = "Kernel memory of the maps of one of tally's BPF modules",
		.source = "memlock in the fdinfo of the maps, once they are made",
		.type = METRIC_GAUGE,
		.label = "module"},
};
const size_t module_own_metrics_n = sizeof(module_own_metrics) / sizeof(module_own_metrics[0]);

/* --- cells ------------------------------------------------------------------------------------- */

/* Where the struct begins that has the metric's cells. */
static const char *base_of(
	const struct state *s, const struct module_metric *m, uint32_t slot, uint32_t cpu)
{
	if (m->slotted)
		return s->cells + ((size_t)cpu * s->nslots + slot) * s->module->slots->size;
	return s->cpus + (size_t)cpu * s->module->cpu_size;
}

/* The kernel writes meanwhile: each cell is read once, whole. */
static uint64_t cell_read(const char *base, size_t offset)
{
	return __atomic_load_n((const uint64_t *)(const void *)(base + offset), __ATOMIC_RELAXED);
}

static uint64_t cells_sum(
	const struct state *s, const struct module_metric *m, uint32_t slot, size_t offset)
{
	uint64_t sum = 0;

	for (uint32_t cpu = 0; cpu < s->ncpus; cpu++)
		sum += cell_read(base_of(s, m, slot, cpu), offset);
	return sum;
}

/* --- the series, one after the other ------------------------------------------------------------ */

/* What one series is made of. */
struct place {
	const struct module_metric *metric;
	enum series_part part;
	const char *value; /* of the metric's label */
	uint32_t slot, cpu, bucket, program;
	size_t offset; /* of the cell */
};

/* Takes the next series; anything but 0 ends the walk. */
typedef int (*place_fn)(struct state *s, const struct place *p, void *arg);

static uint32_t values_count(const struct module_metric *m)
{
	return m->label ? m->n : 1;
}

static const char *value_name(const struct state *s, const struct module_metric *m, uint32_t k)
{
	if (!m->label)
		return NULL;
	return m->values ? m->values[k] : s->names[m - s->module->metrics][k];
}

static uint32_t slots_count(const struct state *s, const struct module_metric *m)
{
	return m->slotted ? s->nslots : 1;
}

static int walk_histogram(struct state *s, struct place *p, place_fn fn, void *arg)
{
	const struct module_metric *m = p->metric;
	size_t first = p->offset, sum = p->offset - m->offset + m->sum;
	uint32_t n = TALLY_HISTOGRAM_BUCKETS(m->lo, m->hi);
	int rc = 0;

	p->part = SERIES_BUCKET;
	for (p->bucket = 0; p->bucket < n && !rc; p->bucket++) {
		p->offset = first + p->bucket * sizeof(uint64_t);
		rc = fn(s, p, arg);
	}
	p->part = SERIES_SUM;
	p->offset = sum;
	return rc ? rc : fn(s, p, arg);
}

static int walk_metric(struct state *s, struct place p, place_fn fn, void *arg)
{
	int rc = 0;

	if (p.metric->type == METRIC_HISTOGRAM)
		return walk_histogram(s, &p, fn, arg);
	if (!p.metric->per_cpu)
		return fn(s, &p, arg);
	for (uint32_t i = 0; i < s->nshown && !rc; i++) {
		p.cpu = s->shown[i];
		rc = fn(s, &p, arg);
	}
	return rc;
}

static int walk_programs(struct state *s, place_fn fn, void *arg)
{
	int rc = 0;

	for (size_t i = 0; i < PER_PROGRAM && !rc; i++)
		for (size_t k = 0; k < s->module->nprograms && !rc; k++) {
			const struct module_program *program = &s->module->programs[k];
			struct place p = {.metric = &module_own_metrics[i],
				.value = program->needs.module,
				.program = (uint32_t)k,
				.offset = program->own + module_own_metrics[i].offset};

			if (s->loaded[k])
				rc = fn(s, &p, arg);
		}
	return rc;
}

/* All series that are shown, in the order of the group. */
static int walk(struct state *s, place_fn fn, void *arg)
{
	const struct place memory = {
		.metric = &module_own_metrics[MEMORY], .value = s->module->ops.name};
	const bool *seen = s->seen;
	int rc = 0;

	for (size_t i = 0; i < s->module->nmetrics && !rc; i++) {
		const struct module_metric *m = &s->module->metrics[i];
		uint32_t n = values_count(m), all = slots_count(s, m) * n;

		for (uint32_t k = 0; k < all && !rc; k++, seen++) {
			struct place p = {.metric = m,
				.value = value_name(s, m, k % n),
				.slot = k / n,
				.offset = m->offset + k % n * m->stride};

			if (*seen && s->loaded[m->program])
				rc = walk_metric(s, p, fn, arg);
		}
	}
	if (!rc)
		rc = walk_programs(s, fn, arg);
	return rc ? rc : fn(s, &memory, arg);
}

/*
 * What the kernel alone knows of the programs. Once no privileges are left, kernels before 5.19 may refuse: then
 * the figures stand.
 */
static void ask_kernel(struct state *s)
{
	for (size_t i = 0; i < s->module->nprograms; i++) {
		struct bpf_prog_info info = {0};
		uint32_t size = sizeof(info);

		if (s->programs[i] < 0 || bpf_obj_get_info_by_fd(s->programs[i], &info, &size))
			continue;
		s->ids[i] = info.id;
		s->misses[i] = info.recursion_misses;
	}
	s->asked_ns = clock_monotonic_ns();
}

static int put_value(struct state *s, const struct place *p, void *arg)
{
	const struct module_metric *m = p->metric;
	uint64_t **out = arg, v;

	if (m == &module_own_metrics[MEMORY])
		v = s->memory;
	else if (m == &module_own_metrics[ID])
		v = s->ids[p->program];
	else if (m == &module_own_metrics[MISSES])
		v = s->misses[p->program];
	else
		v = m->per_cpu ? cell_read(base_of(s, m, p->slot, p->cpu), p->offset)
			       : cells_sum(s, m, p->slot, p->offset);
	*(*out)++ = m->factor && p->part != SERIES_BUCKET ? v * m->factor : v;
	return 0;
}

/* --- the list of series ------------------------------------------------------------------------- */

/* A bucket's upper bound, as exact decimal text. */
static void bound_format(const struct place *p, char *out, size_t size)
{
	uint64_t bound = tally_histogram_upper(p->bucket, p->metric->lo, p->metric->hi);

	if (bound == UINT64_MAX)
		snprintf(out, size, "+Inf");
	else
		value_format(bound, VALUE_U64, p->metric->scale, out, size);
}

static size_t name_size(const struct state *s)
{
	return s->module->slots->labels ? s->module->slots->name_size : sizeof(struct tally_slot);
}

static const void *slot_name(const struct state *s, uint32_t slot)
{
	return s->slots + slot * name_size(s);
}

/* Every name's struct begins with it. */
static bool slot_ready(const struct state *s, uint32_t slot)
{
	return __atomic_load_n((const uint64_t *)slot_name(s, slot), __ATOMIC_ACQUIRE);
}

static void text_labels(const void *name, struct slot_labels *ret)
{
	const struct tally_slot *slot = name;

	snprintf(ret->text, sizeof(ret->text), "%.*s", (int)sizeof(slot->name), slot->name);
	ret->values[ret->n++] = ret->text;
}

void module_number_labels(const void *name, struct slot_labels *ret)
{
	const struct tally_slot_number *slot = name;

	snprintf(ret->text, sizeof(ret->text), "%llu", (unsigned long long)slot->number);
	ret->values[ret->n++] = ret->text;
}

static bool are_alike(const struct slot_labels *a, const struct slot_labels *b)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->n != b->n || strcmp(a->values[i], b->values[i]))
			return false;
	return true;
}

/* Two functions of the kernel may have one name, and two long names one begin: series must not. */
static void make_distinct(const struct state *s, uint32_t slot, struct slot_labels *labels)
{
	bool alike = false;

	for (uint32_t i = 0; i < s->nslots && !alike; i++)
		alike = s->labels[i] && are_alike(s->labels[i], labels);
	if (!alike)
		return;
	snprintf(labels->distinct, sizeof(labels->distinct), "%.160s~%u", labels->values[0], slot);
	labels->values[0] = labels->distinct;
}

/* They are made once, since what they are looked up in may be gone later. */
static const struct slot_labels *slot_labels(struct state *s, uint32_t slot)
{
	const struct module_slots *slots = s->module->slots;
	struct slot_labels *labels = s->labels[slot];

	if (labels)
		return labels;
	labels = calloc(1, sizeof(*labels));
	if (!labels)
		return NULL;
	labels->names[0] = slots->label;
	if (!slot)
		labels->values[labels->n++] = "other";
	else
		(slots->labels ? slots->labels : text_labels)(slot_name(s, slot), labels);
	make_distinct(s, slot, labels);
	s->labels[slot] = labels;
	return labels;
}

/* Appends a slot's labels to some. */
static int put_slot_labels(
	struct state *s, uint32_t slot, const char **names, const char **values, size_t *n)
{
	const struct slot_labels *labels = slot_labels(s, slot);

	if (!labels)
		return -ENOMEM;
	for (size_t i = 0; i < labels->n; i++, ++*n) {
		names[*n] = labels->names[i];
		values[*n] = labels->values[i];
	}
	return 0;
}

static int put_schema(struct state *s, const struct place *p, void *arg)
{
	const struct module_metric *m = p->metric;
	struct series series = {.name = (char *)m->name,
		.unit = (char *)m->unit,
		.help = (char *)m->help,
		.type = m->type,
		.kind = m->type == METRIC_GAUGE ? VALUE_I64 : VALUE_U64,
		.part = (uint8_t)p->part,
		.scale = p->part == SERIES_BUCKET ? 0 : m->scale};
	const char *names[3 + MODULE_SLOT_LABELS], *values[3 + MODULE_SLOT_LABELS];
	char cpu[16], bound[64];
	struct buf labels = BUF_INIT;
	size_t n = 0;
	int rc;

	if (m->slotted) {
		rc = put_slot_labels(s, p->slot, names, values, &n);
		if (rc)
			return rc;
	}
	if (m->label) {
		names[n] = m->label;
		values[n++] = p->value;
	}
	if (m->per_cpu) {
		snprintf(cpu, sizeof(cpu), "%u", p->cpu);
		names[n] = "cpu";
		values[n++] = cpu;
	}
	if (p->part == SERIES_BUCKET) {
		bound_format(p, bound, sizeof(bound));
		names[n] = "le";
		values[n++] = bound;
	}
	rc = labels_format(&labels, n, names, values);
	buf_put_u8(&labels, 0);
	if (!rc)
		rc = buf_error(&labels);
	if (!rc) {
		series.labels = (char *)labels.data;
		rc = schema_add(arg, &series);
	}
	buf_release(&labels);
	return rc;
}

/* Gives the group the series that are to be shown; on failure it stays as it was. */
static int group_rebuild(struct state *s)
{
	struct group *g = &s->group;
	struct schema next = {.interval_ms = g->schema.interval_ms, .start_ns = g->schema.start_ns};
	uint64_t *values = NULL;
	int rc;

	next.group = strdup(s->module->ops.name);
	if (!next.group)
		return -ENOMEM;
	rc = walk(s, put_schema, &next);
	if (!rc && !(values = calloc(next.n, sizeof(*values))))
		rc = -ENOMEM;
	if (rc) {
		schema_release(&next);
		return rc;
	}
	schema_release(&g->schema);
	free(g->values);
	g->schema = next;
	g->values = values;
	g->version++;
	return 0;
}

static bool has_run(const struct state *s, uint32_t cpu)
{
	const char *base = s->cpus + (size_t)cpu * s->module->cpu_size;

	for (size_t i = 0; i < s->module->nprograms; i++)
		if (cell_read(base, s->module->programs[i].own + offsetof(struct tally_own, runs)))
			return true;
	return false;
}

/*
 * Is there anything to show of a slot's k-th value of the metric's label? What has neither is always shown.
 */
static bool is_there(
	const struct state *s, const struct module_metric *m, uint32_t slot, uint32_t k)
{
	size_t at = k * m->stride;

	if (!m->label && !m->slotted)
		return true;
	if (slot && !slot_ready(s, slot))
		return false;
	/* values that are all 0 are in the first bucket */
	return cells_sum(s, m, slot, m->offset + at) ||
	       (m->type == METRIC_HISTOGRAM && cells_sum(s, m, slot, m->sum + at));
}

/* Looks for CPUs, slots and labels that have come. */
static int shown_update(struct state *s)
{
	bool *seen = s->seen, changed = !s->group.schema.n;
	uint32_t n = 0;

	for (uint32_t cpu = 0; cpu < s->ncpus; cpu++)
		if (has_run(s, cpu))
			s->shown[n++] = cpu;
	changed |= n != s->nshown;
	s->nshown = n;
	for (size_t i = 0; i < s->module->nmetrics; i++) {
		const struct module_metric *m = &s->module->metrics[i];
		uint32_t values = values_count(m), all = slots_count(s, m) * values;

		for (uint32_t k = 0; k < all; k++, seen++)
			if (!*seen && is_there(s, m, k / values, k % values))
				changed = *seen = true;
	}
	return changed ? group_rebuild(s) : 0;
}

/* --- loading ------------------------------------------------------------------------------------ */

static struct bpf_program *find_program(const struct state *s, size_t i)
{
	return bpf_object__find_program_by_name(s->object, s->module->programs[i].needs.module);
}

/* Bytes that the kernel has booked for a map, from the descriptor's own file. */
static uint64_t map_memory(const struct bpf_map *map)
{
	char path[64], line[128];
	unsigned long long bytes = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", bpf_map__fd(map));
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "memlock: %llu", &bytes) == 1)
			break;
	if (f)
		fclose(f);
	return bytes;
}

static struct bpf_map *find_map(const struct state *s, const char *part)
{
	char name[64];

	snprintf(name, sizeof(name), "%s_%s", s->module->slots->map, part);
	return bpf_object__find_map_by_name(s->object, name);
}

static int open_slots(struct state *s)
{
	const void *cells, *names;
	int rc;

	rc = load_map_view(find_map(s, "cells"),
		(size_t)s->ncpus * s->nslots * s->module->slots->size, &cells);
	if (rc)
		return rc;
	s->cells = cells;
	rc = load_map_view(find_map(s, "names"), s->nslots * name_size(s), &names);
	if (!rc)
		s->slots = names;
	return rc;
}

static int open_maps(struct state *s)
{
	struct bpf_map *map = bpf_object__find_map_by_name(s->object, s->module->cpu_map);
	const void *view;
	int rc;

	rc = load_map_view(map, s->ncpus * s->module->cpu_size, &view);
	if (rc)
		return rc;
	s->cpus = view;
	if (s->module->knobs_map)
		rc = load_map_knob(bpf_object__find_map_by_name(s->object, s->module->knobs_map),
			sizeof(*s->knobs), (void **)&s->knobs);
	if (!rc && s->module->slots)
		rc = open_slots(s);
	bpf_object__for_each_map(map, s->object) s->memory += map_memory(map);
	return rc;
}

/* What the programs can know only from us; they have no other constants. */
static int set_constants(struct state *s)
{
	struct tally_constants constants = {.slots = s->nslots};
	struct timespec tick;
	struct bpf_map *map;
	int rc = 0;

	/* the resolution of clocks that are as coarse as that */
	if (!clock_getres(CLOCK_MONOTONIC_COARSE, &tick))
		constants.tick_ns = (uint64_t)tick.tv_nsec;
	/* by its size: another one holds texts */
	bpf_object__for_each_map(map, s->object) if (!rc && strstr(bpf_map__name(map), ".rodata") &&
						     bpf_map__value_size(map) == sizeof(constants))
		rc = bpf_map__set_initial_value(map, &constants, sizeof(constants));
	return rc;
}

static int set_slots(struct state *s)
{
	int rc = bpf_map__set_max_entries(find_map(s, "cells"), s->ncpus * s->nslots);

	if (!rc)
		rc = bpf_map__set_max_entries(find_map(s, "names"), s->nslots);
	if (!rc)
		rc = bpf_map__set_max_entries(find_map(s, "find"), s->nslots);
	if (!rc)
		rc = bpf_map__set_max_entries(find_map(s, "taken"), s->nslots);
	return rc ? rc : set_constants(s);
}

static int load_object(struct state *s)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = s->module->ops.name);
	struct bpf_map *map;
	const void *elf;
	size_t size;
	int rc;

	elf = s->module->elf(&size);
	s->object = bpf_object__open_mem(elf, size, &options);
	if (!s->object)
		return -errno;
	map = bpf_object__find_map_by_name(s->object, s->module->cpu_map);
	rc = bpf_map__set_max_entries(map, s->ncpus);
	if (!rc && s->module->slots)
		rc = set_slots(s);
	if (!rc && s->module->prepare)
		rc = s->module->prepare(s->object, s->ncpus);
	for (size_t i = 0; i < s->module->nprograms && !rc; i++) {
		const char *renamed = s->module->programs[i].needs.renamed;

		rc = bpf_program__set_autoload(find_program(s, i), s->loaded[i]);
		/* fails, and changes nothing, where the kernel has the older name */
		if (renamed)
			bpf_program__set_attach_target(find_program(s, i), 0, renamed);
	}
	if (!rc)
		rc = bpf_object__load(s->object);
	if (!rc)
		return 0;
	bpf_object__close(s->object);
	s->object = NULL;
	return rc;
}

static int keep_maps(struct state *s)
{
	for (size_t i = 0; i < MODULE_KEPT_MAX && s->module->kept[i]; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(s->object, s->module->kept[i]);

		s->kept[i] = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0);
		if (s->kept[i] < 0 || bpf_map_freeze(s->kept[i]))
			return -errno;
	}
	return 0;
}

/* Keeps the descriptors of the programs. Maps live by the programs and by what is mapped. */
static int keep_programs(struct state *s)
{
	for (size_t i = 0; i < s->module->nprograms; i++) {
		if (!s->loaded[i])
			continue;
		s->programs[i] = fcntl(bpf_program__fd(find_program(s, i)), F_DUPFD_CLOEXEC, 0);
		if (s->programs[i] < 0)
			return -errno;
	}
	bpf_object__close(s->object);
	s->object = NULL;
	return 0;
}

/*
 * After a load that failed with rc: programs that lack something are left out. Returns 0 if it was that and there
 * are others, which are of use without them; else the error of the first, or the first of those that lack something.
 */
static int leave_out(struct state *s, int rc, struct errmsg *e)
{
	struct errmsg why[MODULE_PROGRAMS_MAX];
	size_t left = 0, out = 0, first = 0;
	int errors[MODULE_PROGRAMS_MAX];

	for (size_t i = 0; i < s->module->nprograms; i++) {
		errors[i] = load_explain(rc, &s->module->programs[i].needs, &why[i]);
		s->loaded[i] = errors[i] != -EOPNOTSUPP;
		left += s->loaded[i];
		out += !s->loaded[i];
	}
	if (!left || !out || s->module->whole) {
		while (out && s->loaded[first])
			first++;
		*e = why[first];
		return errors[first];
	}
	for (size_t i = 0; i < s->module->nprograms; i++)
		if (!s->loaded[i])
			diag_notice("producer %s: %s", s->module->ops.name, why[i].text);
	return 0;
}

static int load(struct state *s, struct errmsg *e)
{
	int rc;

	for (size_t i = 0; i < s->module->nprograms; i++)
		s->loaded[i] = true;
	rc = load_object(s);
	if (rc) {
		rc = leave_out(s, rc, e);
		if (rc)
			return rc;
		rc = load_object(s);
	}
	if (!rc)
		rc = open_maps(s);
	for (size_t i = 0; i < s->module->nmetrics && !rc; i++) {
		const struct module_metric *m = &s->module->metrics[i];

		if (m->values_enum)
			rc = load_enum_names(m->values_enum, m->values_prefix, m->n, &s->names[i]);
	}
	if (!rc)
		rc = keep_maps(s);
	if (!rc)
		rc = keep_programs(s);
	return rc ? err_set(e, rc, "%s: %s", s->module->ops.name, strerror(-rc)) : 0;
}

/* --- the interface ------------------------------------------------------------------------------ */

static void detach_program(struct state *s, size_t i)
{
	if (s->links[i] >= 0)
		close(s->links[i]);
	s->links[i] = -1;
}

static void detach(struct state *s)
{
	for (size_t i = 0; i < s->module->nprograms; i++)
		detach_program(s, i);
}

/* A link to a cgroup puts the program beside those of others. */
static int attach_program(struct state *s, size_t i)
{
	const char *hook = s->module->programs[i].needs.cgroup_hook;
	enum bpf_attach_type type;

	if (s->programs[i] < 0 || s->links[i] >= 0)
		return 0;
	if (hook && libbpf_attach_type_by_name(hook, &type))
		return -EINVAL;
	/* for tp_btf, fentry and fexit, which have in the program what they are attached to */
	s->links[i] = hook ? bpf_link_create(s->programs[i], s->cgroup, type, NULL)
			   : bpf_raw_tracepoint_open(NULL, s->programs[i]);
	return s->links[i] < 0 ? -errno : 0;
}

static bool is_attached(const struct state *s)
{
	for (size_t i = 0; i < s->module->nprograms; i++)
		if (s->programs[i] >= 0 && s->links[i] < 0)
			return false;
	return true;
}

/* every: one of so many events is to be looked at. */
static void turn_knobs(struct state *s, uint64_t every)
{
	if (!s->knobs || (s->knobs->every == every && is_attached(s)))
		return;
	__atomic_store_n(&s->knobs->attached_ns, clock_monotonic_ns(), __ATOMIC_RELAXED);
	__atomic_store_n(&s->knobs->every, every, __ATOMIC_RELAXED);
}

/* Those that begin something come last. All or none; the error is the first one's. */
static int attach(struct state *s, uint64_t every)
{
	int rc = 0;

	turn_knobs(s, every);
	for (int begins = 0; begins < 2; begins++)
		for (size_t i = 0; i < s->module->nprograms && !rc; i++)
			if (s->module->programs[i].begins == begins)
				rc = attach_program(s, i);
	if (rc)
		detach(s);
	return rc;
}

uint64_t module_programs_ns(const struct producer *p)
{
	const struct state *s = p->state;
	uint64_t ns = 0;

	for (size_t i = 0; i < s->module->nprograms; i++) {
		size_t at = s->module->programs[i].own + offsetof(struct tally_own, ns);

		for (uint32_t cpu = 0; cpu < s->ncpus; cpu++)
			ns += cell_read(s->cpus + (size_t)cpu * s->module->cpu_size, at);
	}
	return ns * TALLY_OWN_EVERY;
}

/*
 * Whether programs could not be attached again. Before Linux 5.19 a process without privileges is refused all of
 * bpf(2), unless the machine allows it everybody; to attach to a cgroup takes CAP_NET_ADMIN always, and that is gone.
 */
static bool must_stay(const struct state *s)
{
	for (size_t i = 0; i < s->module->nprograms; i++) {
		struct bpf_prog_info info = {0};
		uint32_t size = sizeof(info);

		if (s->module->programs[i].needs.cgroup_hook)
			return true;
		if (s->programs[i] >= 0)
			return bpf_obj_get_info_by_fd(s->programs[i], &info, &size) &&
			       errno == EPERM;
	}
	return false;
}

static void hold(struct state *s)
{
	bool any = false;

	if (s->module->pauses && must_stay(s)) {
		turn_knobs(s, 0);
		return;
	}
	for (size_t i = 0; i < s->module->nprograms; i++) {
		if (!s->module->programs[i].begins || s->links[i] < 0)
			continue;
		detach_program(s, i);
		any = true;
	}
	if (!any)
		detach(s);
}

int module_set_level(struct producer *p, enum budget_level level)
{
	struct state *s = p->state;

	if (level == BUDGET_HELD) {
		hold(s);
		return 0;
	}
	return attach(s, level == BUDGET_COARSE ? TALLY_COARSE_EVERY : 1);
}

int module_map(const struct producer *p, const char *name)
{
	const struct state *s = p->state;

	for (size_t i = 0; i < MODULE_KEPT_MAX && s->module->kept[i]; i++)
		if (!strcmp(s->module->kept[i], name))
			return s->kept[i];
	return -ENOENT;
}

int module_attach(struct producer *p, bool attached)
{
	if (attached)
		return attach(p->state, 1);
	detach(p->state);
	return 0;
}

static void state_free(struct state *s)
{
	detach(s);
	if (s->knobs)
		munmap(s->knobs, sizeof(*s->knobs));
	if (s->cpus)
		munmap((void *)s->cpus, s->ncpus * s->module->cpu_size);
	if (s->cells)
		munmap((void *)s->cells, (size_t)s->ncpus * s->nslots * s->module->slots->size);
	if (s->slots)
		munmap((void *)s->slots, s->nslots * name_size(s));
	bpf_object__close(s->object);
	if (s->cgroup >= 0)
		close(s->cgroup);
	for (size_t i = 0; i < MODULE_PROGRAMS_MAX; i++)
		if (s->programs[i] >= 0)
			close(s->programs[i]);
	for (size_t i = 0; i < MODULE_KEPT_MAX; i++)
		if (s->kept[i] >= 0)
			close(s->kept[i]);
	for (size_t i = 0; i < MODULE_METRICS_MAX; i++)
		free(s->names[i]);
	for (uint32_t i = 0; s->labels && i < s->nslots; i++)
		free(s->labels[i]);
	free(s->labels);
	group_release(&s->group);
	free(s->seen);
	free(s->shown);
	free(s);
}

/* -ENODEV if the number of possible CPUs is not known. */
static int state_new(const struct module *m, const struct provider_env *env, struct state **ret)
{
	int ncpus = libbpf_num_possible_cpus();
	size_t values = 0;
	struct state *s;

	if (ncpus <= 0)
		return -ENODEV;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->module = m;
	s->cgroup = -1;
	for (size_t i = 0; i < MODULE_PROGRAMS_MAX; i++)
		s->programs[i] = s->links[i] = -1;
	for (size_t i = 0; i < MODULE_KEPT_MAX; i++)
		s->kept[i] = -1;
	s->ncpus = (uint32_t)ncpus;
	s->nslots = m->slots ? 1 + m->slots->count() : 1;
	if (s->nslots > TALLY_SLOTS_MAX)
		s->nslots = TALLY_SLOTS_MAX;
	for (size_t i = 0; i < m->nmetrics; i++)
		values += slots_count(s, &m->metrics[i]) * values_count(&m->metrics[i]);
	s->shown = calloc(s->ncpus, sizeof(*s->shown));
	s->seen = calloc(values, sizeof(*s->seen));
	s->group.schema.interval_ms = (uint32_t)(env->interval_ns / NSEC_PER_MSEC);
	s->labels = calloc(s->nslots, sizeof(*s->labels));
	if (!s->shown || !s->seen || !s->labels) {
		state_free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

/* For programs that are attached to it, if the module has some. */
static int open_cgroup(struct state *s, const char *dir, struct errmsg *e)
{
	bool wanted = false;

	for (size_t i = 0; i < s->module->nprograms; i++)
		wanted |= s->module->programs[i].needs.cgroup_hook != NULL;
	if (!wanted)
		return 0;
	s->cgroup = cgroup_tree_open_v2(dir);
	return s->cgroup >= 0 ? 0
			      : err_set(e, -EOPNOTSUPP,
					"%s: there are no control groups of version 2 at %s; mount "
					"them there",
					s->module->ops.name, dir);
}

int module_open(struct producer *p, const struct provider_env *env, struct errmsg *e)
{
	const struct module *m = (const struct module *)p->ops;
	struct state *s;
	int rc = m->capability ? load_check_capability(
					 m->capability->number, m->capability->name, m->ops.name, e)
			       : 0;

	if (rc)
		return rc;
	rc = state_new(m, env, &s);
	if (rc)
		return err_set(e, rc,
			rc == -ENOMEM ? "%s: no memory"
				      : "%s: the CPUs are not readable at "
					"/sys/devices/system/cpu/possible; is /sys mounted?",
			m->ops.name);
	load_begin();
	rc = open_cgroup(s, env->cgroup_dir, e);
	if (!rc)
		rc = load(s, e);
	if (!rc) {
		rc = attach(s, 1);
		if (rc)
			load_explain(rc, &m->programs[0].needs, e);
	}
	load_end();
	if (rc) {
		state_free(s);
		return rc;
	}
	ask_kernel(s);
	s->group.schema.start_ns = (uint64_t)clock_realtime_ns();
	p->state = s;
	return 0;
}

int module_get_stats(struct producer *p, struct snapshot *snap)
{
	struct state *s = p->state;
	uint64_t begin, *out;
	int rc = shown_update(s);

	if (rc) {
		s->nshown = 0; /* so that the next poll tries again */
		return rc;
	}
	out = s->group.values;
	begin = clock_monotonic_ns();
	if (begin - s->asked_ns >= ASK_NS)
		ask_kernel(s);
	walk(s, put_value, &out);
	return snapshot_add(snap, &s->group, begin, clock_monotonic_ns());
}

void module_close(struct producer *p)
{
	state_free(p->state);
	p->state = NULL;
}
