/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The path of a process's control group, and what systemd or a container's manager calls it. */
#include "user/provider/cgroup_names.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define CONTAINER_DIGITS 64u

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

void cgroup_names_find(const char *path, struct cgroup_names *ret)
{
	const char *digits;
	size_t n;

	*ret = (struct cgroup_names){0};
	for (const char *at = path + strcspn(path, "/"); *at; at += n) {
		n = strcspn(++at, "/");
		if (!ret->unit && is_unit(at, n)) {
			ret->unit = at;
			ret->unit_len = n;
		}
		digits = find_digits(at, n);
		if (digits) {
			ret->container = digits;
			ret->container_len = CONTAINER_DIGITS;
		}
	}
}

void cgroup_names_copy(const char *path, struct cgroup_names_text *ret)
{
	struct cgroup_names found;

	cgroup_names_find(path, &found);
	snprintf(ret->unit, sizeof(ret->unit), "%.*s", (int)found.unit_len,
		found.unit ? found.unit : "");
	snprintf(ret->container, sizeof(ret->container), "%.*s", (int)found.container_len,
		found.container ? found.container : "");
}

const char *cgroup_names_path(char *text, const char *v1_controller)
{
	static const char gone[] = " (deleted)";
	char *line, *v2 = "/", *v1 = "/", *path;

	while ((line = strsep(&text, "\n"))) {
		char *controllers, *name;

		strsep(&line, ":");
		controllers = strsep(&line, ":");
		if (!line)
			continue;
		if (!*controllers)
			v2 = line;
		while ((name = strsep(&controllers, ",")))
			v1 = strcmp(name, v1_controller) ? v1 : line;
	}
	path = strcmp(v2, "/") ? v2 : v1;
	if (strlen(path) >= sizeof(gone) && !strcmp(path + strlen(path) - strlen(gone), gone))
		path[strlen(path) - strlen(gone)] = '\0';
	return path;
}
