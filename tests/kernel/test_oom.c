/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "oom": processes that ask for more memory than their cgroup may have, and are killed. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#define MODULE_UNDER_TEST module_oom
#include "tests/lib/testcgroup.h"
#include "tests/lib/testmodule.h"

enum { VICTIMS = 3 };

static void make_cgroup(void)
{
	memory_cgroup_make("tally-oom", 16 << 20);
	memory_cgroup_write("memory.swap.max", "0");
}

/* A process of that name in the cgroup that takes so much memory; with hold it keeps it until it is killed. */
static pid_t begin(const char *name, size_t bytes, bool hold)
{
	int ready[2];
	pid_t pid;
	char c;

	cr_assert_eq(pipe(ready), 0);
	pid = fork_named(name);
	if (!pid) {
		volatile char *p;

		if (!memory_cgroup_write("cgroup.procs", "0"))
			_exit(1);
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (size_t i = 0; i < bytes; i += 4096)
			p[i] = 1;
		if (hold && write(ready[1], "", 1) == 1)
			pause();
		_exit(0);
	}
	if (hold)
		cr_assert_eq(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

/* Its wait(2) status. */
static int end(pid_t pid)
{
	int status;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static int run(const char *name, size_t bytes)
{
	return end(begin(name, bytes, false));
}

/* path: of the cgroup, NULL: any */
static uint64_t kills_in(const char *path, const char *name)
{
	char labels[200];

	snprintf(labels, sizeof(labels), path ? "comm=\"%s\",cgroup=\"%s\"" : "comm=\"%s\"", name,
		path);
	return value("oom_kills", labels, SERIES_VALUE);
}

static uint64_t kills(const char *name)
{
	return kills_in(NULL, name);
}

Test_together(oom, victims_by_name)
{
	uint64_t other;

	make_cgroup();
	poll_producer();
	other = kills("other");
	for (int i = 0; i < VICTIMS; i++) {
		int status = run("tally-victim", 64 << 20);

		cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%d", status);
	}
	cr_assert_eq(run("tally-modest", 1 << 20), 0);
	memory_cgroup_remove();
	poll_producer();
	printf("%lu victims\n", kills("tally-victim"));
	cr_assert_eq(kills("tally-victim"), VICTIMS);
	cr_assert_eq(kills("tally-modest"), 0);
	cr_assert_eq(kills("other"), other);
}

/* Victims of one name in two cgroups, and one whose name is no text. */
Test_together(oom, victims_by_cgroup)
{
	char paths[2][64];

	for (int i = 0; i < 2; i++) {
		memory_cgroup_make(i ? "tally-oom-b" : "tally-oom-a", 16 << 20);
		memory_cgroup_write("memory.swap.max", "0");
		snprintf(paths[i], sizeof(paths[i]), "%s", strrchr(memory_cgroup, '/'));
		for (int k = 0; k <= i; k++)
			run("tally-namesake", 64 << 20);
		if (i)
			run("no\xfftext\n", 64 << 20);
		memory_cgroup_remove();
	}
	poll_producer();
	for (int i = 0; i < 2; i++)
		printf("%s: %lu victims\n", paths[i], kills_in(paths[i], "tally-namesake"));
	cr_assert_eq(kills_in(paths[0], "tally-namesake"), 1);
	cr_assert_eq(kills_in(paths[1], "tally-namesake"), 2);
	cr_assert_eq(kills("tally-namesake"), 3);
	cr_assert_eq(kills_in(paths[1], "no?text?"), 1);
}

/* The largest is killed, not the one that asks. Older kernels tell only its number: it is among the others. */
Test_together(oom, victim_is_another_one)
{
	int major = 0, minor = 0, status, asks;
	struct utsname uts;
	pid_t large;

	uname(&uts);
	sscanf(uts.release, "%d.%d", &major, &minor);
	make_cgroup();
	poll_producer();
	large = begin("tally-large", 11 << 20, true);
	status = run("tally-asks", 8 << 20);
	poll_producer();
	printf("%lu large, %lu that asked, %lu others\n", kills("tally-large"), kills("tally-asks"),
		kills("other"));
	/* and the one that asks, too, if the memory of the large one is not free soon enough */
	asks = WIFSIGNALED(status);
	status = end(large);
	memory_cgroup_remove();
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%d", status);
	cr_assert_eq(kills("tally-asks"), asks);
	if (major > 6 || (major == 6 && minor >= 9))
		cr_assert_eq(kills("tally-large"), 1);
	else
		cr_assert_eq(kills("tally-large") + kills("other"), 1);
}
