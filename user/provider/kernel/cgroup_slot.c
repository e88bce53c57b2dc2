/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Labels of slots that are cgroups: the path, and what systemd or a container's manager calls it, as far as the
 * path tells.
 *
 *     /system.slice/docker-<64 digits>.scope    unit="docker-<64 digits>.scope", container="<64 digits>"
 *     /kubepods/besteffort/pod.../<64 digits>   container="<64 digits>"
 *     /user.slice/user-1.slice/session-2.scope  unit="session-2.scope"
 */
#include <stdio.h>
#include <string.h>

#include "bpf/module.h"
#include "user/lib/schema.h"
#include "user/provider/kernel/module.h"

#define CONTAINER_DIGITS 64u

/* The names of a path from its last to its first, put together the other way round. size >= the path's + 2. */
static void path_of(const struct tally_slot_cgroup *slot, char *out, size_t size)
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
}

static bool ends_with(const char *name, size_t n, const char *end)
{
	size_t k = strlen(end);

	return n > k && !memcmp(name + n - k, end, k);
}

static bool is_unit(const char *name, size_t n)
{
	return ends_with(name, n, ".service") || ends_with(name, n, ".scope") ||
	       ends_with(name, n, ".mount") || ends_with(name, n, ".socket") ||
	       ends_with(name, n, ".swap");
}

/* Where 64 hexadecimal digits are, and no more; NULL: nowhere. */
static const char *find_digits(const char *name, size_t n)
{
	for (size_t i = 0, run; i < n; i += run + 1) {
		run = strspn(name + i, "0123456789abcdef");
		if (run == CONTAINER_DIGITS)
			return name + i;
	}
	return NULL;
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
	enum { PATH = TALLY_CGROUP_PATH + 32 };
	const struct tally_slot_cgroup *slot = name;
	char path[PATH], *units = ret->text + PATH, *ids = units + TALLY_CGROUP_NAME + 1;
	const char *unit = NULL, *id = NULL, *at;
	size_t unit_n = 0, n;

	_Static_assert(PATH + 2 * (TALLY_CGROUP_NAME + 1) <= sizeof(ret->text), "room for all");
	path_of(slot, path, sizeof(path));
	for (char *c = path; !text_valid(path, strlen(path)) && *c; c++)
		*c = *c < ' ' || *c > '~' ? '?' : *c;
	/* what lacks its beginning is still told apart */
	if (slot->cut)
		snprintf(ret->text, PATH, "...%016llx%.*s", (unsigned long long)slot->identity,
			(int)(PATH - 20), path);
	else
		snprintf(ret->text, PATH, "%s", path);
	ret->values[ret->n++] = ret->text;
	for (at = path; *at == '/'; at += n) {
		n = strcspn(++at, "/");
		if (!unit && is_unit(at, n)) {
			unit = at;
			unit_n = n;
		}
		id = find_digits(at, n) ? find_digits(at, n) : id;
	}
	if (unit)
		add_label(ret, "unit", units, unit, unit_n);
	if (id)
		add_label(ret, "container", ids, id, CONTAINER_DIGITS);
}
