/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The folding process is killed at its N-th stop (before and after each system call), for N = 1, 2,
 * ... until it gets through. After each kill a new provider must find the exact total: nothing lost,
 * nothing twice, whatever stage the fold had reached.
 */
#include <criterion/criterion.h>
#include <pwd.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/lib/polling.h"
#include "tests/lib/segmaker.h"

#define DEAD 3

static char dir[64], segs[80], state[80];
static const struct segmaker_metric metric[] = {{"requests", TALLY_TYPE_COUNTER, 0}};

/* A shell command in which $D is this directory. */
static void run(const char *command, const char *d)
{
	char cmd[256];

	snprintf(cmd, sizeof(cmd), "D='%s'; %s", d, command);
	cr_assert_eq(system(cmd), 0);
}

/* A provider of its own: opens, polls `polls` times, closes. The total it sees, or -1. */
static long long provide(int polls)
{
	struct provider_env env = {
		.segment_dir = segs, .state_dir = state, .interval_ns = 1000000000, .boot_id = {1}};
	const struct passwd *pw = getpwuid(getuid());
	struct registry registry = {0};
	struct snapshot snap = {0};
	struct errmsg e = {""};
	long long total = -1;
	char name[256];

	snprintf(name, sizeof(name), "requests_total{program=\"web\",user=\"%s\"}",
		pw ? pw->pw_name : "?");
	if (registry_add(&registry, &producer_segments, &e) || registry_open(&registry, &env) != 1)
		return -1;
	for (int i = 0; i < polls; i++) {
		const char *text;

		polling_take(&registry.producers[0], &snap);
		text = polling_value(&snap, name);
		total = text[0] == '?' ? 0 : atoll(text);
	}
	registry_close(&registry);
	snapshot_release(&snap);
	return total;
}

/* Kills the provider at its stop number n. True if it got to its end before. */
static bool kill_at(int n)
{
	pid_t pid = fork();
	int status;

	cr_assert_geq(pid, 0);
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(provide(2) < 0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSTOPPED(status));
	ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
	for (int i = 0; i < n; i++) {
		cr_assert_eq(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status)) {
			cr_assert_eq(WEXITSTATUS(status), 0);
			return true;
		}
		cr_assert(WIFSTOPPED(status));
	}
	kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSIGNALED(status));
	return false;
}

static void make_dead(const char *name, uint64_t value)
{
	int fd = segmaker_make(segs, name, "web", metric, 1);

	segmaker_set(fd, 0, 0, value);
	close(fd);
}

/* A total of 1,000 that is folded already, DEAD segments with 10, 11, 12, and the living one's 5. */
static long long begin(int *ret_living)
{
	long long total = 1005;

	run("rm -rf \"$D\"/*", dir);
	cr_assert_eq(mkdir(segs, 0700) | mkdir(state, 0700), 0);
	make_dead("before", 1000);
	cr_assert_eq(provide(1), 1000);
	for (int i = 0; i < DEAD; i++) {
		char name[16];

		snprintf(name, sizeof(name), "dead%d", i);
		make_dead(name, 10 + (uint64_t)i);
		total += 10 + i;
	}
	*ret_living = segmaker_make(segs, "living", "web", metric, 1);
	segmaker_set(*ret_living, 0, 0, 5);
	return total;
}

/* A new process of the program takes over each dead file that is left, and counts one more. */
static int take_over(int fds[DEAD], long long *total)
{
	int n = 0;

	for (int i = 0; i < DEAD; i++) {
		char path[128];
		int fd;

		snprintf(path, sizeof(path), "%s/dead%d", segs, i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		cr_assert(segmaker_lock(fd));
		segmaker_set(fd, 1, 0, 1);
		++*total;
		fds[n++] = fd;
	}
	return n;
}

static void sweep(const char *prepare, bool adopted)
{
	bool through = false;
	int n, kills = 0, fds[DEAD];

	for (n = 1; !through; n++) {
		int living, taken = 0;
		long long total = begin(&living);

		if (prepare)
			run(prepare, state);
		through = kill_at(n);
		kills += !through;
		if (adopted)
			taken = take_over(fds, &total);
		cr_assert_eq(provide(2), total, "killed at stop %d", n);
		close(living);
		while (taken)
			close(fds[--taken]);
		cr_assert_eq(provide(1), total, "killed at stop %d, then all died", n);
		cr_assert_eq(provide(2), total, "killed at stop %d, then once more", n);
	}
	printf("%d kills\n", kills);
	cr_expect_gt(kills, 40);
}

static void setup(void)
{
	strcpy(dir, "/tmp/tally-foldkill-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(segs, sizeof(segs), "%s/seg", dir);
	snprintf(state, sizeof(state), "%s/state", dir);
}

static void teardown(void)
{
	run("rm -rf \"$D\"", dir);
}

TestSuite(fold_kill, .init = setup, .fini = teardown);

Test(fold_kill, folding)
{
	sweep(NULL, false);
}

/* The journal is rewritten at start, since its tail is torn. */
Test(fold_kill, rewriting)
{
	sweep("printf '\\377\\0\\0' >>\"$D/fold.journal\"", false);
}

Test(fold_kill, taken_over_after_the_kill)
{
	sweep(NULL, true);
}
