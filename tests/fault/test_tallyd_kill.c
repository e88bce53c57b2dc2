/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real tallyd, and the real program, stopped before and after each of their system calls.
 *
 *   tallyd      killed there, from its start until it has polled, folded and polled again. The next
 *               one must find the exact total: nothing lost, nothing twice, no file left.
 *   a program   that starts while a dead segment of its own lies there: killed there; and made to wait
 *               there while the provider folds.
 *
 * TALLY_STRIDE (17 for tallyd, 2 or 3 for programs): every how many points; 1 are all. Which ones, is drawn.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/lib/testdir.h"
#include "tests/lib/testrand.h"

#define DEAD 4
#define EACH 10

static char dir[PATH_MAX], segs[PATH_MAX + 8], state[PATH_MAX + 8], bin[PATH_MAX];

static void setup(void)
{
	char self[PATH_MAX - 32];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	/* BUILD/tests/fault/test_tallyd_kill -> BUILD */
	cr_assert_gt(n, 0);
	self[n] = '\0';
	for (int i = 0; i < 3; i++)
		*strrchr(self, '/') = '\0';
	strcpy(bin, self);
	/* In memory, where segments are, and where a sync costs nothing. */
	snprintf(dir, sizeof(dir), "%s/tally-kill-XXXXXX",
		access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(segs, sizeof(segs), "%s/seg", dir);
	snprintf(state, sizeof(state), "%s/state", dir);
}

static void teardown(void)
{
	test_dir_remove(dir);
}

TestSuite(tallyd_kill, .init = setup, .fini = teardown, .timeout = 3000);

static void begin(void)
{
	test_dir_remove(segs);
	test_dir_remove(state);
	cr_assert_eq(mkdir(segs, 0700), 0);
}

/* --- children --------------------------------------------------------------------------------- */

/* A child that waits for its tracer before it becomes the program. */
static pid_t start(const char *program, char *const *argv, bool traced)
{
	char path[PATH_MAX + 64];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%s", bin, program);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(null, 2);
		setenv("TALLY_DIR", segs, 1);
		if (traced) {
			ptrace(PTRACE_TRACEME, 0, NULL, NULL);
			raise(SIGSTOP);
		}
		execv(path, argv);
		_exit(127);
	}
	return pid;
}

static pid_t start_tallyd(bool traced)
{
	struct passwd *pw = getpwuid(getuid());
	char none[PATH_MAX + 8];
	char *argv[] = {"tallyd", "--foreground", "--state-dir", state, "--segment-dir", segs,
		"--furl-file", none, "--user", pw ? pw->pw_name : "root", "--producers", "segments",
		"--interval", "100ms", "--ring-size", "256K", NULL};

	snprintf(none, sizeof(none), "%s/none", dir);
	return start("bin/tallyd", argv, traced);
}

/* argv[0] is not what names it: that is the file that is executed. */
static pid_t start_life(const char *count, bool traced)
{
	char *argv[] = {"life", "count", (char *)count, NULL};

	return start("tests/race/life", argv, traced);
}

static void wait_ok(pid_t pid)
{
	int status;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
}

static int count_files(bool unfinished)
{
	const struct dirent *e;
	DIR *d = opendir(segs);
	int n = 0;

	cr_assert_not_null(d);
	while ((e = readdir(d))) {
		size_t len = strlen(e->d_name);

		n += e->d_name[0] != '.' &&
		     (len > 4 && !strcmp(e->d_name + len - 4, ".new")) == unfinished;
	}
	closedir(d);
	return n;
}

static void sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* A provider that nobody disturbs, until no segment is left. */
static void fold_all(void)
{
	pid_t pid = start_tallyd(false);
	int i;

	for (i = 0; i < 2000 && count_files(false); i++)
		sleep_ms(5);
	/* SIGTERM before it is ready would only end it. */
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	cr_assert_lt(i, 2000, "segments are left");
}

/* What `tallyd --once` says: the total of life_events, -1 if there is none. */
static long long total(void)
{
	char cmd[4 * PATH_MAX], line[512];
	long long value = -1;
	FILE *f;

	snprintf(cmd, sizeof(cmd),
		"'%s/bin/tallyd' --once --state-dir '%s' --segment-dir '%s' segments", bin, state,
		segs);
	f = popen(cmd, "r");
	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, "life_events_total{", 18)) {
			cr_assert_eq(value, -1, "two series");
			value = atoll(strrchr(line, ' '));
		}
	cr_assert_eq(pclose(f), 0);
	return value;
}

/* --- stepping --------------------------------------------------------------------------------- */

static void trace(pid_t pid)
{
	int status;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSTOPPED(status));
	ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
}

/* To the next stop before or after a system call. False if it has ended, with 0. */
static bool step(pid_t pid)
{
	int status, signal = 0;

	for (;;) {
		cr_assert_eq(ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)signal), 0);
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status)) {
			cr_assert_eq(WEXITSTATUS(status), 0);
			return false;
		}
		cr_assert(WIFSTOPPED(status), "status %x", status);
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			return true;
		signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
	}
}

static void kill_traced(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int stride(int usual)
{
	const char *text = getenv("TALLY_STRIDE");

	return text ? atoi(text) : usual;
}

/* --- tallyd ----------------------------------------------------------------------------------- */

/* DEAD segments of dead programs: they can't be adopted, since all lived at the same time. */
static void make_dead(void)
{
	pid_t pids[DEAD];

	for (int i = 0; i < DEAD; i++) {
		pids[i] = start_life("10", true);
		trace(pids[i]);
		/* Until it has counted, and ends. */
		while (count_files(false) <= i)
			cr_assert(step(pids[i]));
	}
	for (int i = 0; i < DEAD; i++) {
		while (step(pids[i]))
			;
	}
	cr_assert_eq(count_files(false), DEAD);
}

/*
 * Kills tallyd at its n-th stop. False if it came to its end before: that is the stop after the first
 * sleep that follows on the removal of all files, and one more poll.
 */
static bool kill_tallyd_at(long n)
{
	pid_t pid = start_tallyd(true);
	long empty_for = 0;

	trace(pid);
	for (long i = 0; i < n; i++) {
		cr_assert(step(pid), "it ended by itself at stop %ld", i);
		/* Two polls are some 60 stops; looking at the directory is the slow part. */
		empty_for = i > 200 && !count_files(false) ? empty_for + 1 : 0;
		if (empty_for > 120) {
			kill_traced(pid);
			return false;
		}
	}
	kill_traced(pid);
	return true;
}

/* With a total of 1,000 that is folded before, so that there is a journal. */
static void check_point(long n, bool *ret_reached)
{
	begin();
	wait_ok(start_life("1000", false));
	fold_all();
	cr_assert_eq(total(), 1000);
	make_dead();
	*ret_reached = kill_tallyd_at(n);
	cr_assert_eq(total(), 1000 + DEAD * EACH, "killed at stop %ld", n);
	/* What was folded and not removed may be taken over. */
	if (n % 2) {
		wait_ok(start_life("7", false));
		cr_assert_eq(total(), 1007 + DEAD * EACH, "killed at stop %ld, then a run", n);
	}
	fold_all();
	cr_assert_eq(
		total(), 1000 + 7 * (n % 2) + DEAD * EACH, "killed at stop %ld, then folded", n);
}

Test(tallyd_kill, at_each_system_call)
{
	long points = 0, n;
	int every = stride(17);
	bool reached = true;

	test_rand_init();
	for (n = 1 + (long)test_rand_below((uint64_t)every); reached; n += every) {
		check_point(n, &reached);
		points += reached;
	}
	printf("tallyd killed at %ld of about %ld points\n", points, n - every);
	/* It is killed at the stops of its start, too. */
	cr_expect_gt(points * every, 600);
}

/* --- programs --------------------------------------------------------------------------------- */

/* One that is killed while it starts, or counts, takes nothing away from what was there. */
Test(tallyd_kill, programs_that_start)
{
	int every = stride(3);
	bool through = false;
	long n, points = 0;

	test_rand_init();
	for (n = 1 + (long)test_rand_below((uint64_t)every); !through; n += every) {
		long long value;
		pid_t pid;

		begin();
		if (n % 3) /* else it makes a file, and does not adopt one */
			wait_ok(start_life("1000", false));
		pid = start_life("10", true);
		trace(pid);
		for (long i = 0; i < n && !through; i++)
			through = !step(pid);
		if (!through)
			kill_traced(pid);
		wait_ok(start_life("7", false));
		cr_assert_leq(count_files(false), 1, "stop %ld: files are left", n);
		value = total() - 7 - (n % 3 ? 1000 : 0);
		cr_assert(value == 0 || value == 10, "killed at stop %ld: %lld of 10", n, value);
		cr_assert(!through || value == 10);
		fold_all();
		cr_assert_eq(total(), value + 7 + (n % 3 ? 1000 : 0), "killed at stop %ld", n);
		points += !through;
	}
	printf("a program killed at %ld of %ld points\n", points, n - every);
	cr_expect_gt(n, 60);
}

/* It has opened, locked, or mapped a dead file, and now the provider folds that file. */
Test(tallyd_kill, programs_that_start_while_the_dead_are_folded)
{
	int every = stride(2);
	bool through = false;
	long n, points = 0, adopted = 0;

	test_rand_init();
	for (n = 1 + (long)test_rand_below((uint64_t)every); !through; n += every) {
		pid_t pid, provider;

		begin();
		wait_ok(start_life("1000", false));
		pid = start_life("10", true);
		trace(pid);
		for (long i = 0; i < n && !through; i++)
			through = !step(pid);
		if (!through) {
			/* The dead file goes away, unless the program holds it already. */
			provider = start_tallyd(false);
			for (int i = 0; i < 40 && count_files(false); i++)
				sleep_ms(5);
			adopted += count_files(false);
			kill(provider, SIGKILL);
			waitpid(provider, NULL, 0);
			while (step(pid))
				;
		}
		cr_assert_eq(total(), 1010, "folded at stop %ld", n);
		fold_all();
		cr_assert_eq(total(), 1010, "folded at stop %ld, and then all", n);
		points += !through;
	}
	printf("folded at %ld of %ld points of a program's start, %ld of them after it adopted\n",
		points, n - every, adopted);
	cr_expect_gt(n, 60);
	cr_expect_gt(adopted, 0);
}
