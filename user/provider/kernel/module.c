/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Producers made from tables: see module.h. A poll reads memory that the kernel's programs write, and takes
 * no system call but the two readings of the clock that every group has.
 *
 * Programs and maps live by descriptors alone and end with the process.
 */
#include <bpf/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "user/lib/util.h"
#include "user/provider/cgroup_tree.h"
#include "user/provider/kernel/module_state.h"

#define ASK_NS (60 * NSEC_PER_SEC)

/* --- attaching ---------------------------------------------------------------------------------- */

static void detach_program(struct module_state *s, size_t i)
{
	if (s->links[i] >= 0)
		close(s->links[i]);
	s->links[i] = -1;
}

static void detach(struct module_state *s)
{
	for (size_t i = 0; i < s->module->nprograms; i++)
		detach_program(s, i);
}

/* A link to a cgroup puts the program beside those of others. */
static int attach_program(struct module_state *s, size_t i)
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

static bool is_attached(const struct module_state *s)
{
	for (size_t i = 0; i < s->module->nprograms; i++)
		if (s->programs[i] >= 0 && s->links[i] < 0)
			return false;
	return true;
}

/* every: one of so many events is to be looked at. */
static void turn_knobs(struct module_state *s, uint64_t every)
{
	if (!s->knobs || (s->knobs->every == every && is_attached(s)))
		return;
	__atomic_store_n(&s->knobs->attached_ns, clock_monotonic_ns(), __ATOMIC_RELAXED);
	__atomic_store_n(&s->knobs->every, every, __ATOMIC_RELAXED);
}

/* Those that begin something come last. All or none; the error is the first one's. */
static int attach(struct module_state *s, uint64_t every)
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
	const struct module_state *s = p->state;
	uint64_t ns = 0;

	for (size_t i = 0; i < s->module->nprograms; i++) {
		size_t at = s->module->programs[i].own + offsetof(struct tally_own, ns);

		for (uint32_t cpu = 0; cpu < s->ncpus; cpu++)
			ns += module_cell_read(s->cpus + (size_t)cpu * s->module->cpu_size, at);
	}
	return ns * TALLY_OWN_EVERY;
}

/*
 * Whether programs could not be attached again. Before Linux 5.19 a process without privileges is refused all of
 * bpf(2), unless the machine allows it everybody; to attach to a cgroup takes CAP_NET_ADMIN always, and that is gone.
 */
static bool must_stay(const struct module_state *s)
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

static void hold(struct module_state *s)
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
	struct module_state *s = p->state;

	if (level == BUDGET_HELD) {
		hold(s);
		return 0;
	}
	return attach(s, level == BUDGET_COARSE ? TALLY_COARSE_EVERY : 1);
}

/* --- the rest of the interface -------------------------------------------------------------------- */

int module_map(const struct producer *p, const char *name)
{
	const struct module_state *s = p->state;

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

static void state_free(struct module_state *s)
{
	detach(s);
	if (s->knobs)
		munmap(s->knobs, sizeof(*s->knobs));
	if (s->cpus)
		munmap((void *)s->cpus, s->ncpus * s->module->cpu_size);
	if (s->cells)
		munmap((void *)s->cells, (size_t)s->ncpus * s->nslots * s->module->slots->size);
	if (s->slots)
		munmap((void *)s->slots, s->nslots * module_name_size(s));
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
		module_free_labels(s->labels[i]);
	free(s->labels);
	group_release(&s->group);
	free(s->seen);
	free(s->shown);
	free(s);
}

/* -ENODEV if the number of possible CPUs is not known. */
static int state_new(
	const struct module *m, const struct provider_env *env, struct module_state **ret)
{
	int ncpus = libbpf_num_possible_cpus();
	struct module_state *s;

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
	s->shown = calloc(s->ncpus, sizeof(*s->shown));
	s->seen = calloc(module_count_values(s), sizeof(*s->seen));
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
static int open_cgroup(struct module_state *s, const char *dir, struct errmsg *e)
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

/*
 * What the kernel alone knows of the programs. Once no privileges are left, kernels before 5.19 may refuse: then
 * the figures stand.
 */
static void ask_kernel(struct module_state *s)
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

int module_open(struct producer *p, const struct provider_env *env, struct errmsg *e)
{
	const struct module *m = (const struct module *)p->ops;
	struct module_state *s;
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
		rc = module_load(s, e);
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
	struct module_state *s = p->state;
	uint64_t begin;
	int rc = module_find_series(s);

	if (rc) {
		s->nshown = 0; /* so that the next poll tries again */
		return rc;
	}
	begin = clock_monotonic_ns();
	if (begin - s->asked_ns >= ASK_NS)
		ask_kernel(s);
	module_put_values(s);
	return snapshot_add(snap, &s->group, begin, clock_monotonic_ns());
}

void module_close(struct producer *p)
{
	state_free(p->state);
	p->state = NULL;
}
