/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loading a module's programs. What the running kernel lacks costs those that need it, with one message. */
#include <bpf/bpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "user/lib/diag.h"
#include "user/provider/kernel/module_state.h"

static struct bpf_program *find_program(const struct module_state *s, size_t i)
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

static struct bpf_map *find_map(const struct module_state *s, const char *part)
{
	char name[64];

	snprintf(name, sizeof(name), "%s_%s", s->module->slots->map, part);
	return bpf_object__find_map_by_name(s->object, name);
}

static int open_slots(struct module_state *s)
{
	const void *cells, *names;
	int rc;

	rc = load_map_view(find_map(s, "cells"),
		(size_t)s->ncpus * s->nslots * s->module->slots->size, &cells);
	if (rc)
		return rc;
	s->cells = cells;
	rc = load_map_view(find_map(s, "names"), s->nslots * module_name_size(s), &names);
	if (!rc)
		s->slots = names;
	return rc;
}

static int open_maps(struct module_state *s)
{
	struct bpf_map *map = bpf_object__find_map_by_name(s->object, s->module->cpu_map);
	const void *view;
	char name[64];
	int rc;

	rc = load_map_view(map, s->ncpus * s->module->cpu_size, &view);
	if (rc)
		return rc;
	s->cpus = view;
	if (s->module->knobs_map) {
		snprintf(name, sizeof(name), ".data.%s", s->module->knobs_map);
		rc = load_map_knob(bpf_object__find_map_by_name(s->object, name), sizeof(*s->knobs),
			(void **)&s->knobs);
	}
	if (!rc && s->module->slots)
		rc = open_slots(s);
	bpf_object__for_each_map(map, s->object) s->memory += map_memory(map);
	return rc;
}

/* What the programs can know only from us; they have no other constants. */
static int set_constants(struct module_state *s)
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

static int set_slots(struct module_state *s)
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

static int load_object(struct module_state *s)
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

static int keep_maps(struct module_state *s)
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
static int keep_programs(struct module_state *s)
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
static int leave_out(struct module_state *s, int rc, struct errmsg *e)
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

int module_load(struct module_state *s, struct errmsg *e)
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
