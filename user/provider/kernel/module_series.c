/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The series of a module: which there are, and what they have come to. All of it is read in memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/tally/histogram.h"
#include "user/lib/sharedtext.h"
#include "user/provider/kernel/module_state.h"

/*
 * The first PER_PROGRAM are of each program: IN_CELLS with offsets in its struct tally_own, then what the kernel
 * tells of it. Then those of the module.
 */
enum { IN_CELLS = 2, ID = IN_CELLS, MISSES, PER_PROGRAM, MEMORY = PER_PROGRAM };
const struct module_metric module_own_metrics[] = {
	{MODULE_PROGRAM_RUNS, .offset = offsetof(struct tally_own, runs)},
	{MODULE_PROGRAM_SECONDS, .factor = TALLY_OWN_EVERY,
		.offset = offsetof(struct tally_own, ns)},
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

#define SLOTS_LAG   16u /* slots that are looked at beyond those that are told to be taken */
#define LOOK_AT_ALL 64u /* one of so many polls looks at all */

/* --- cells ------------------------------------------------------------------------------------- */

/* Where the struct begins that has the metric's cells. */
static const char *base_of(
	const struct module_state *s, const struct module_metric *m, uint32_t slot, uint32_t cpu)
{
	if (m->slotted)
		return s->cells + ((size_t)cpu * s->nslots + slot) * s->module->slots->size;
	return s->cpus + (size_t)cpu * s->module->cpu_size;
}

/* Adds n cells that are one after the other, of each CPU in [first, end). */
static void cells_add(const struct module_state *s, const struct module_metric *m, uint32_t slot,
	uint32_t first, uint32_t end, size_t offset, uint64_t *sums, size_t n)
{
	for (uint32_t cpu = first; cpu < end; cpu++) {
		const char *base = base_of(s, m, slot, cpu) + offset;

		for (size_t i = 0; i < n; i++)
			sums[i] += module_cell_read(base, i * sizeof(*sums));
	}
}

static bool any_in_cell(
	const struct module_state *s, const struct module_metric *m, uint32_t slot, size_t offset)
{
	uint64_t sum = 0;

	cells_add(s, m, slot, 0, s->ncpus, offset, &sum, 1);
	return sum;
}

/* --- the series, one after the other ------------------------------------------------------------ */

/* What one series is made of, or all those of a histogram's buckets. */
struct place {
	const struct module_metric *metric;
	enum series_part part;
	const char *value; /* of the metric's label */
	uint32_t slot, cpu, program;
	uint32_t cells; /* series, each of a cell */
	size_t offset; /* of the first cell */
};

/* Takes the next series, or its next ones; anything but 0 ends the walk. */
typedef int (*place_fn)(struct module_state *s, const struct place *p, void *arg);

static uint32_t values_count(const struct module_metric *m)
{
	return m->label ? m->n : 1;
}

static const char *value_name(
	const struct module_state *s, const struct module_metric *m, uint32_t k)
{
	if (!m->label)
		return NULL;
	return m->values ? m->values[k] : s->names[m - s->module->metrics][k];
}

static uint32_t slots_count(const struct module_state *s, const struct module_metric *m)
{
	return m->slotted ? s->nslots : 1;
}

static int walk_histogram(struct module_state *s, struct place *p, place_fn fn, void *arg)
{
	const struct module_metric *m = p->metric;
	int rc;

	p->part = SERIES_BUCKET;
	p->cells = TALLY_HISTOGRAM_BUCKETS(m->lo, m->hi);
	rc = fn(s, p, arg);
	p->part = SERIES_SUM;
	p->cells = 1;
	p->offset += m->sum - m->offset;
	return rc ? rc : fn(s, p, arg);
}

static int walk_metric(struct module_state *s, struct place p, place_fn fn, void *arg)
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

static int walk_programs(struct module_state *s, place_fn fn, void *arg)
{
	int rc = 0;

	for (size_t i = 0; i < PER_PROGRAM && !rc; i++)
		for (size_t k = 0; k < s->module->nprograms && !rc; k++) {
			const struct module_program *program = &s->module->programs[k];
			struct place p = {.metric = &module_own_metrics[i],
				.value = program->needs.module,
				.program = (uint32_t)k,
				.cells = 1,
				.offset = program->own + module_own_metrics[i].offset};

			if (s->loaded[k])
				rc = fn(s, &p, arg);
		}
	return rc;
}

/* Those of a metric in one slot; seen: of its values. */
static int walk_slot(struct module_state *s, const struct module_metric *m, uint32_t slot,
	const bool *seen, place_fn fn, void *arg)
{
	uint32_t n = values_count(m);
	int rc = 0;

	for (uint32_t k = 0; k < n && !rc; k++)
		if (seen[k])
			rc = walk_metric(s,
				(struct place){.metric = m,
					.value = value_name(s, m, k),
					.slot = slot,
					.cells = 1,
					.offset = m->offset + k * m->stride},
				fn, arg);
	return rc;
}

/* All series that are shown, in the order of the group. */
static int walk(struct module_state *s, place_fn fn, void *arg)
{
	const struct place memory = {
		.metric = &module_own_metrics[MEMORY], .value = s->module->ops.name, .cells = 1};
	const bool *seen = s->seen;
	int rc = 0;

	for (size_t i = 0; i < s->module->nmetrics && !rc; i++) {
		const struct module_metric *m = &s->module->metrics[i];
		uint32_t slots = slots_count(s, m);

		for (uint32_t slot = 0; slot < slots && !rc; slot++, seen += values_count(m))
			if (s->loaded[m->program])
				rc = walk_slot(s, m, slot, seen, fn, arg);
	}
	if (!rc)
		rc = walk_programs(s, fn, arg);
	return rc ? rc : fn(s, &memory, arg);
}

static int put_value(struct module_state *s, const struct place *p, void *arg)
{
	const struct module_metric *m = p->metric;
	uint64_t **out = arg, *v = *out;

	*out += p->cells;
	memset(v, 0, p->cells * sizeof(*v));
	if (m == &module_own_metrics[MEMORY])
		*v = s->memory;
	else if (m == &module_own_metrics[ID])
		*v = s->ids[p->program];
	else if (m == &module_own_metrics[MISSES])
		*v = s->misses[p->program];
	else
		cells_add(s, m, p->slot, m->per_cpu ? p->cpu : 0,
			m->per_cpu ? p->cpu + 1 : s->ncpus, p->offset, v, p->cells);
	if (m->factor && p->part != SERIES_BUCKET)
		*v *= m->factor;
	return 0;
}

/* --- the list of series ------------------------------------------------------------------------- */

/* A bucket's upper bound, as exact decimal text. */
static void bound_format(const struct module_metric *m, uint32_t bucket, char *out, size_t size)
{
	uint64_t bound = tally_histogram_upper(bucket, m->lo, m->hi);

	if (bound == UINT64_MAX)
		snprintf(out, size, "+Inf");
	else
		value_format(bound, VALUE_U64, m->scale, out, size);
}

static const void *slot_name(const struct module_state *s, uint32_t slot)
{
	return s->slots + slot * module_name_size(s);
}

/* Every name's struct begins with it. */
static bool slot_ready(const struct module_state *s, uint32_t slot)
{
	return __atomic_load_n((const uint64_t *)slot_name(s, slot), __ATOMIC_ACQUIRE);
}

static void text_labels(const void *name, struct slot_labels *ret)
{
	const struct tally_slot *slot = name;

	snprintf(ret->text, sizeof(ret->text), "%.*s", (int)sizeof(slot->name), slot->name);
	text_make_valid(ret->text);
	ret->values[ret->n++] = ret->text;
}

void module_number_labels(const void *name, struct slot_labels *ret)
{
	const struct tally_slot_number *slot = name;

	snprintf(ret->text, sizeof(ret->text), "%llu", (unsigned long long)slot->number);
	ret->values[ret->n++] = ret->text;
}

uint32_t module_count_ports(void)
{
	return 63;
}

static bool are_alike(const struct kept_labels *a, const struct slot_labels *b)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->n != b->n || strcmp(a->values[i], b->values[i]))
			return false;
	return true;
}

/* Two functions of the kernel may have one name, and two long names one begin: series must not. */
static void make_distinct(const struct module_state *s, uint32_t slot, struct slot_labels *labels)
{
	bool alike = false;

	for (uint32_t i = 0; i < s->nslots && !alike; i++)
		alike = s->labels[i] && are_alike(s->labels[i], labels);
	if (!alike)
		return;
	snprintf(labels->distinct, sizeof(labels->distinct), "%.160s~%u", labels->values[0], slot);
	labels->values[0] = labels->distinct;
}

void module_free_labels(struct kept_labels *labels)
{
	for (size_t i = 0; labels && i < labels->n; i++)
		text_free(labels->values[i]);
	free(labels);
}

static struct kept_labels *keep_labels(const struct slot_labels *labels)
{
	struct kept_labels *kept = calloc(1, sizeof(*kept));

	for (size_t i = 0; kept && i < labels->n; i++) {
		kept->names[i] = labels->names[i];
		kept->values[kept->n++] = text_dup(labels->values[i]);
		if (kept->values[i])
			continue;
		module_free_labels(kept);
		return NULL;
	}
	return kept;
}

static struct kept_labels *make_labels(const struct module_state *s, uint32_t slot)
{
	const struct module_slots *slots = s->module->slots;
	struct slot_labels labels = {.names = {slots->label}};

	if (!slot)
		labels.values[labels.n++] = "other";
	else
		(slots->labels ? slots->labels : text_labels)(slot_name(s, slot), &labels);
	make_distinct(s, slot, &labels);
	return keep_labels(&labels);
}

/* Appends a slot's labels to some. */
static int put_slot_labels(
	struct module_state *s, uint32_t slot, const char **names, const char **values, size_t *n)
{
	const struct kept_labels *labels;

	/* once, since what they are looked up in may be gone later */
	if (!s->labels[slot])
		s->labels[slot] = make_labels(s, slot);
	labels = s->labels[slot];
	if (!labels)
		return -ENOMEM;
	for (size_t i = 0; i < labels->n; i++, ++*n) {
		names[*n] = labels->names[i];
		values[*n] = labels->values[i];
	}
	return 0;
}

static int put_schema(struct module_state *s, const struct place *p, void *arg)
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
	size_t n = 0;
	int rc = 0;

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
	if (p->part != SERIES_BUCKET)
		return schema_add_labelled(arg, &series, n, names, values);
	names[n] = "le";
	values[n++] = bound;
	for (uint32_t bucket = 0; bucket < p->cells && !rc; bucket++) {
		bound_format(m, bucket, bound, sizeof(bound));
		rc = schema_add_labelled(arg, &series, n, names, values);
	}
	return rc;
}

/* Gives the group the series that are to be shown; on failure it stays as it was. */
static int group_rebuild(struct module_state *s)
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

static bool has_run(const struct module_state *s, uint32_t cpu)
{
	const char *base = s->cpus + (size_t)cpu * s->module->cpu_size;

	for (size_t i = 0; i < s->module->nprograms; i++)
		if (module_cell_read(
			    base, s->module->programs[i].own + offsetof(struct tally_own, runs)))
			return true;
	return false;
}

/*
 * Is there anything to show of a slot's k-th value of the metric's label? What has neither is always shown.
 */
static bool is_there(
	const struct module_state *s, const struct module_metric *m, uint32_t slot, uint32_t k)
{
	size_t at = k * m->stride;

	if (!m->label && !m->slotted)
		return true;
	/* values that are all 0 are in the first bucket */
	return any_in_cell(s, m, slot, m->offset + at) ||
	       (m->type == METRIC_HISTOGRAM && any_in_cell(s, m, slot, m->sum + at));
}

/*
 * Where the slots end that have names. How many are taken is in the first name, but may lag by what other CPUs took
 * while one was interrupted in the middle of that: all are looked at from time to time.
 */
static uint32_t ready_end(struct module_state *s)
{
	uint64_t end;

	if (s->nslots == 1 || s->finds++ % LOOK_AT_ALL == 0)
		return s->nslots;
	end = module_cell_read(slot_name(s, 0), 0) + SLOTS_LAG;
	return end < s->nslots ? (uint32_t)end : s->nslots;
}

int module_find_series(struct module_state *s)
{
	bool *seen = s->seen, changed = !s->group.schema.n;
	uint32_t n = 0, end = ready_end(s);

	for (uint32_t cpu = 0; cpu < s->ncpus; cpu++)
		if (has_run(s, cpu))
			s->shown[n++] = cpu;
	changed |= n != s->nshown;
	s->nshown = n;
	for (size_t i = 0; i < s->module->nmetrics; i++) {
		const struct module_metric *m = &s->module->metrics[i];
		uint32_t values = values_count(m), slots = slots_count(s, m);

		for (uint32_t slot = 0; slot < slots && slot < end; slot++) {
			bool *of_slot = seen + slot * values;

			if (slot && !slot_ready(s, slot))
				continue;
			for (uint32_t k = 0; k < values; k++)
				if (!of_slot[k] && is_there(s, m, slot, k))
					changed = of_slot[k] = true;
		}
		seen += slots * values;
	}
	return changed ? group_rebuild(s) : 0;
}

size_t module_count_values(const struct module_state *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->module->nmetrics; i++)
		n += slots_count(s, &s->module->metrics[i]) * values_count(&s->module->metrics[i]);
	return n;
}

void module_put_values(struct module_state *s)
{
	uint64_t *out = s->group.values;

	walk(s, put_value, &out);
}
