/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Labels of slots that are cgroups: the path, and what systemd or a container's manager calls it. */
#include <stdio.h>
#include <string.h>

#include "bpf/module.h"
#include "user/lib/schema.h"
#include "user/provider/cgroup_names.h"
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

static void add_label(
	struct slot_labels *l, const char *name, char *room, const char *text, size_t n)
{
	snprintf(room, TALLY_CGROUP_NAME + 1, "%.*s", (int)n, text);
	l->names[l->n] = name;
	l->values[l->n++] = room;
}

void module_cgroup_labels(const void *name, struct slot_labels *ret)
{
	char *units = ret->text + MODULE_CGROUP_PATH, *ids = units + TALLY_CGROUP_NAME + 1;
	struct cgroup_names found;

	_Static_assert(MODULE_CGROUP_TEXT <= sizeof(ret->text), "room for all");
	cgroup_slot_path(name, ret->text);
	ret->names[ret->n] = "cgroup";
	ret->values[ret->n++] = ret->text;
	cgroup_names_find(ret->text, &found);
	if (found.unit)
		add_label(ret, "unit", units, found.unit, found.unit_len);
	if (found.container)
		add_label(ret, "container", ids, found.container, found.container_len);
}

uint32_t cgroup_count_slots(void)
{
	return TALLY_SLOTS_MAX - 1;
}

uint32_t cgroup_count_half(void)
{
	return TALLY_SLOTS_MAX / 2 - 1;
}
