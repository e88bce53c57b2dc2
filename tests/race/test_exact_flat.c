/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What storms leave behind does not grow: mappings, descriptors and segments of objects that are loaded and
 * unloaded a thousand times, and the unfinished files of programs that were killed while they made them.
 */
#include "tests/race/exact.h"

#include <sys/ptrace.h>

TestSuite(exact_flat, .fini = remove_left);

/* After 1,000 cycles, with so many objects at the same time at most, nothing is left of most of them. */
static void check_flat(const char *mode, uint64_t objects)
{
	struct result res = check_equal("storm-dl", mode, "100", NULL);
	const uint64_t *n = res.notes;

	fprintf(stderr,
		"%s: %" PRIu64 " to %" PRIu64 " mappings, %" PRIu64 " to %" PRIu64
		" descriptors, %" PRIu64 " to %" PRIu64 " segments\n",
		mode, n[NOTE_MAPS_BEFORE], n[NOTE_MAPS_AFTER], n[NOTE_FILES_BEFORE],
		n[NOTE_FILES_AFTER], n[NOTE_SEGMENTS_BEFORE], n[NOTE_SEGMENTS_AFTER]);
	cr_expect_eq(n[NOTE_FILES_AFTER], n[NOTE_FILES_BEFORE]);
	/* an object has 6; arenas of malloc come with threads */
	cr_expect_leq(n[NOTE_MAPS_AFTER], n[NOTE_MAPS_BEFORE] + 20 * objects);
	cr_expect_leq(n[NOTE_SEGMENTS_AFTER], 1 + 2 * objects);
}

Test(exact_flat, nothing_grows_in_1000_cycles)
{
	check_flat("cycles", 1);
}

Test(exact_flat, nothing_grows_with_several_threads)
{
	check_flat("cycles-of-threads", 4);
}

Test(exact_flat, nothing_grows_where_threads_share)
{
	check_flat("shared", 1);
}

Test(exact_flat, nothing_grows_where_threads_live_on)
{
	check_flat("pool", 1);
}

/* Runs the program up to its n-th stop at a system call, and kills it there; false if it ended before. */
static bool kill_at_call(struct run *r, int n)
{
	int status;

	r->pid = fork();
	cr_assert(r->pid >= 0);
	if (r->pid == 0) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("TALLY_DIR", r->seg, 1);
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execl(r->program, r->program, "once", r->oracle, "10", NULL);
		_exit(127);
	}
	for (int i = 0; i <= n; i++) {
		cr_assert_eq(waitpid(r->pid, &status, 0), r->pid);
		if (!WIFSTOPPED(status))
			return false;
		cr_assert_eq(ptrace(PTRACE_SYSCALL, r->pid, 0, 0), 0);
	}
	run_kill(r);
	return true;
}

/*
 * What was killed while it made its file leaves it unfinished. The next run must get rid of it: nobody else
 * does where there is no provider.
 */
Test(exact_flat, unfinished_files_do_not_pile_up)
{
	struct result res;
	struct run r;
	int n = 0;

	run_init(&r, "storm");
	for (bool more = true; more; n++) {
		int status;

		more = kill_at_call(&r, n);
		run_start(&r, "once", "10", NULL);
		run_wait(&r, &status);
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
		res = run_result(&r);
		cr_assert_eq(res.unfinished, 0, "killed at stop %d: a file is left", n);
		remove_segments(&r); /* so that the next one makes a file, too */
	}
	cr_expect_gt(n, 50);
	remove_left();
}
