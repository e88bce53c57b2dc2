/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Labels of slots that are cgroups: the path, and what systemd or a container's manager calls it. */
#include <stdio.h>
#include <string.h>

#include "bpf/module.h"
#include "user/lib/schema.h"
#include "user/provider/kernel/modules.h"

/* The names of a path from its last to its first, put together the other way round. size >= the path's + 2. */
static void join_names(const struct tally_slot_cgroup *slot, char *out, size_t size)
{
	size_t begins[TALLY_CGROUP_LEVELS], n = 0, used = 0;
	size_t end = slot->size < sizeof(slot->names) ? slot->size : sizeof(slot->names);

	for (size_t at = 0; at < end && n < TALLY_CGROUP_LEVELS;
		at += strnlen(slot->names + at, end - at) + 1)
		begins[n++] = at;
	while (n--)
		used += (size_t)snprintf(out + used, size - used, "/%.*s", (int)(end - begins[n]),
			slot->names + begins[n]);
	if (!used)
		snprintf(out, size, "/");
	text_make_valid(out);
}

void cgroup_slot_path(const struct tally_slot_cgroup *slot, char *out)
{
	char path[MODULE_CGROUP_PATH];

	if (!slot->cut) {
		join_names(slot, out, MODULE_CGROUP_PATH);
		return;
	}
	/* what lacks its beginning is still told apart */
	join_names(slot, path, sizeof(path));
	snprintf(out, MODULE_CGROUP_PATH, "...%016llx%.*s", (unsigned long long)slot->identity,
		(int)(MODULE_CGROUP_PATH - 20), path);
}

static void add_label(struct slot_labels *l, const char *name, const char *value)
{
	if (!*value)
		return;
	l->names[l->n] = name;
	l->values[l->n++] = value;
}

void module_cgroup_labels(const void *name, struct slot_labels *ret)
{
	_Static_assert(MODULE_CGROUP_PATH <= sizeof(ret->text), "room for it");
	cgroup_slot_path(name, ret->text);
	cgroup_names_copy(ret->text, &ret->of_path);
	add_label(ret, "cgroup", ret->text);
	add_label(ret, "unit", ret->of_path.unit);
	add_label(ret, "container", ret->of_path.container);
}

uint32_t cgroup_count_slots(void)
{
	return TALLY_SLOTS_MAX - 1;
}

uint32_t cgroup_count_half(void)
{
	return TALLY_SLOTS_MAX / 2 - 1;
}
