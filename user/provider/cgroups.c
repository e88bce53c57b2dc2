/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cgroups of contained programs. Looking through all processes costs some microseconds for each: it is
 * done at most once in SCAN_SHARE times as long as it took.
 */
#include "user/provider/cgroups.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/lib/schema.h"
#include "user/lib/util.h"
#include "user/provider/cgroup_names.h"

#define KNOWN_MAX  256u
#define SCAN_SHARE 100u
#define FILE_MAX   4096u

/*
 * What a user's cgroup namespace is rooted at, as we see it. A namespace's inode goes to another one when it
 * is gone: it is the one that is known as long as the process lives that was found in it.
 */
struct known {
	uid_t uid;
	uint32_t ns;
	char pid[24]; /* of that process, as we see it */
	uint64_t start_ticks;
	char path[CGROUP_PATH_MAX + 1];
};

struct cgroups {
	int proc;
	uint32_t own_ns; /* 0: unknown, then nobody is looked for */
	struct known *known; /* of KNOWN_MAX; NULL until there is one */
	size_t n, next; /* next: to be replaced when all are in use */
	uint64_t scan_after_ns;
};

struct cgroups *cgroups_new(const char *proc_dir)
{
	struct cgroups *c = calloc(1, sizeof(*c));
	struct stat st;

	if (!c)
		return NULL;
	c->proc = proc_dir ? open(proc_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (c->proc >= 0 && fstatat(c->proc, "self/ns/cgroup", &st, 0) == 0)
		c->own_ns = (uint32_t)st.st_ino;
	return c;
}

void cgroups_free(struct cgroups *c)
{
	if (!c)
		return;
	if (c->proc >= 0)
		close(c->proc);
	free(c->known);
	free(c);
}

/* A file of a process, ended by a zero; false if it has none. */
static bool read_proc(const struct cgroups *c, const char *pid, const char *file, char *out)
{
	char path[300];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", pid, file);
	fd = openat(c->proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, out, FILE_MAX - 1);
	close(fd);
	out[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* Field 22 of /proc/PID/stat; the name before it may hold anything but ends with the last bracket. */
static bool began_at(char *stat, uint64_t ticks)
{
	char *at = strrchr(stat, ')');

	for (int field = 2; at && field < 22; field++) {
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	return at && strtoull(at, NULL, 10) == ticks;
}

/* The last number of the line NSpid: the id in the innermost namespace. */
static bool has_inner_pid(const char *status, uint32_t pid)
{
	const char *line = strstr(status, "\nNSpid:"), *end, *at;

	if (!line)
		return false;
	end = strchr(line + 1, '\n');
	at = end ? end : line + strlen(line);
	while (at > line && at[-1] >= '0' && at[-1] <= '9')
		at--;
	return strtoul(at, NULL, 10) == pid;
}

/* The path of a text of /proc/PID/cgroup, "" if it is the root. */
static void path_of(char *text, char *out, size_t size)
{
	const char *path = cgroup_names_path(text, "name=systemd");
	size_t n = strlen(path);

	snprintf(out, size, "%s", n > 1 && n < size && text_valid(path, n) ? path : "");
}

/* Whether the process is the one that the segment speaks of. */
static bool is_process(const struct cgroups *c, const struct segfile *seg, const char *pid)
{
	const struct tally_segment *h = &seg->header;
	char text[FILE_MAX];
	struct stat st;

	return fstatat(c->proc, pid, &st, 0) == 0 && st.st_uid == seg->uid &&
	       read_proc(c, pid, "stat", text) && began_at(text, h->start_ticks) &&
	       read_proc(c, pid, "status", text) && has_inner_pid(text, h->pid);
}

/* The process that the segment speaks of, if it lives: its path and its id as we see them. */
static bool find_process(
	const struct cgroups *c, const struct segfile *seg, char *out, size_t size, char pid[24])
{
	DIR *proc = dir_open(c->proc, ".");
	const struct dirent *d;
	char text[FILE_MAX];
	bool found = false;

	while (proc && !found && (d = readdir(proc))) {
		if (d->d_name[0] < '1' || d->d_name[0] > '9' || !is_process(c, seg, d->d_name) ||
			!read_proc(c, d->d_name, "cgroup", text))
			continue;
		path_of(text, out, size);
		snprintf(pid, 24, "%.23s", d->d_name);
		found = true;
	}
	if (proc)
		closedir(proc);
	return found;
}

static struct known *find_known(struct cgroups *c, uid_t uid, uint32_t ns)
{
	char text[FILE_MAX];

	for (size_t i = 0; i < c->n; i++) {
		struct known *k = &c->known[i];

		if (k->uid != uid || k->ns != ns)
			continue;
		if (read_proc(c, k->pid, "stat", text) && began_at(text, k->start_ticks))
			return k;
		*k = c->known[--c->n];
		break;
	}
	return NULL;
}

static struct known *add_known(struct cgroups *c, uid_t uid, uint32_t ns)
{
	struct known *k;

	if (!c->known)
		c->known = calloc(KNOWN_MAX, sizeof(*c->known));
	if (!c->known)
		return NULL;
	k = c->n < KNOWN_MAX ? &c->known[c->n++] : &c->known[c->next++ % KNOWN_MAX];
	*k = (struct known){.uid = uid, .ns = ns};
	return k;
}

/* What the namespace is rooted at: our path without the end that the process sees itself. */
static struct known *scan(struct cgroups *c, const struct segfile *seg)
{
	uint64_t begin = clock_monotonic_ns(), end;
	char path[CGROUP_PATH_MAX + 1], pid[24], *inner;
	struct known *k = NULL;

	if (begin < c->scan_after_ns || !seg->header.start_ticks)
		return NULL;
	if (find_process(c, seg, path, sizeof(path), pid)) {
		inner = *seg->cgroup ? strstr(path, seg->cgroup) : NULL;
		if (inner)
			*inner = '\0';
		k = add_known(c, seg->uid, seg->header.cgroup_ns);
	}
	if (k) {
		snprintf(k->path, sizeof(k->path), "%s", path);
		snprintf(k->pid, sizeof(k->pid), "%s", pid);
		k->start_ticks = seg->header.start_ticks;
	}
	end = clock_monotonic_ns();
	c->scan_after_ns = end + SCAN_SHARE * (end - begin);
	return k;
}

void cgroups_find(struct cgroups *c, const struct segfile *seg, char *out, size_t size)
{
	uint32_t ns = seg->header.cgroup_ns;
	const struct known *k = NULL;

	if (c->own_ns && ns && ns != c->own_ns) {
		k = find_known(c, seg->uid, ns);
		if (!k)
			k = scan(c, seg);
	}
	if (snprintf(out, size, "%s%s", k ? k->path : "", seg->cgroup) >= (int)size)
		snprintf(out, size, "%s", k ? k->path : "");
}
