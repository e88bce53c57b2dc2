/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * At every instruction: tests/race/storm-step is stepped through by ptrace, and after step N, for every N,
 * it is killed, or struck by a signal whose handler counts. Killed: returned <= total <= started, and the
 * next run takes the file over and is exact. Struck: exact.
 *
 * A point is (c, j): j instructions after the c-th system call since the victim's start. What lies between
 * two system calls is short, so that reaching a point costs little, and no point of an earlier stretch is
 * stepped through again. Where there are thousands, `make check` takes about 200 of them, each time
 * others (TALLY_SEED), and `make check-long` as many times more as TALLY_STORM_SCALE says, or all.
 */
#include "tests/race/exact.h"

#include <errno.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>

#if defined(__x86_64__)

#define CALLS_MAX  400
#define INCREMENTS "3"

struct kind {
	const char *program, *mode;
	long from; /* the system call where points begin */
	bool adopt; /* the directory has a dead file already */
	int sig; /* what the victim is struck by */
};

struct plan {
	unsigned first, calls; /* points begin after this system call; how many there are */
	unsigned steps[CALLS_MAX]; /* instructions after each, before the next */
	unsigned points;
};

/* The process under test, and what it is a part of. */
struct traced {
	struct run *run;
	pid_t main, victim;
};

TestSuite(exact_step, .fini = remove_left);

/* Waits until pid stops; its status, which is that of an exit if it ended. */
static int wait_stop(pid_t pid)
{
	int status;

	cr_assert_eq(waitpid(pid, &status, __WALL), pid, "%s", strerror(errno));
	return status;
}

static bool is_call_stop(int status)
{
	return WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80);
}

/* Goes on to the next stop at a system call; false if the victim ended. Signals are passed on. */
static bool next_call_stop(pid_t pid)
{
	int status, sig = 0;

	do {
		cr_assert_eq(ptrace(PTRACE_SYSCALL, pid, 0, sig), 0);
		status = wait_stop(pid);
		sig = WIFSTOPPED(status) && WSTOPSIG(status) != SIGTRAP ? WSTOPSIG(status) : 0;
		if (is_call_stop(status))
			return true;
	} while (WIFSTOPPED(status));
	return false;
}

/* A child has been made by the main process when this returns; it is stopped, its parent is let go. */
static pid_t wait_child(pid_t pid)
{
	for (;;) {
		unsigned long child;
		int status, sig;

		status = wait_stop(pid);
		cr_assert(WIFSTOPPED(status), "ended before it had a child: %x", status);
		if (status >> 16 == 0) {
			sig = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
			cr_assert_eq(ptrace(PTRACE_CONT, pid, 0, sig), 0);
			continue;
		}
		cr_assert_eq(ptrace(PTRACE_GETEVENTMSG, pid, 0, &child), 0);
		cr_assert_eq(ptrace(PTRACE_DETACH, pid, 0, 0), 0);
		status = wait_stop((pid_t)child);
		cr_assert(WIFSTOPPED(status));
		return (pid_t)child;
	}
}

/* Starts the program, up to the first instruction of its victim: itself, its child or its grandchild. */
static void trace_start(struct traced *t, struct run *r, const struct kind *k)
{
	const long options = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD;
	int status, depth = 0;

	t->run = r;
	depth += strcmp(k->mode, "child") == 0;
	depth += 2 * (strcmp(k->mode, "vfork") == 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	r->pid = t->main = fork();
	cr_assert(t->main >= 0);
	if (t->main == 0) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("TALLY_DIR", r->seg, 1);
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execl(r->program, r->program, k->mode, r->oracle, INCREMENTS, NULL);
		_exit(127);
	}
	status = wait_stop(t->main);
	cr_assert(WIFSTOPPED(status));
	t->victim = t->main;
	for (int i = 0; i < depth; i++) {
		cr_assert_eq(ptrace(PTRACE_SETOPTIONS, t->victim, 0,
				     options | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
					     PTRACE_O_TRACECLONE),
			0);
		cr_assert_eq(ptrace(PTRACE_CONT, t->victim, 0, 0), 0);
		t->victim = wait_child(t->victim);
	}
	cr_assert_eq(ptrace(PTRACE_SETOPTIONS, t->victim, 0, options), 0);
}

static long call_number(pid_t pid)
{
	return ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, orig_rax), 0);
}

/* Is the next instruction a system call? */
static bool at_call(pid_t pid)
{
	long rip = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), 0);
	long text = ptrace(PTRACE_PEEKTEXT, pid, rip, 0);

	return (text & 0xffff) == 0x050f;
}

static void step(pid_t pid)
{
	int status;

	cr_assert_eq(ptrace(PTRACE_SINGLESTEP, pid, 0, 0), 0);
	status = wait_stop(pid);
	cr_assert(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP, "status %x", status);
}

/* Goes through the victim once, to know the points. */
static void make_plan(struct traced *t, const struct kind *k, struct plan *p)
{
	long number = -1;

	memset(p, 0, sizeof(*p));
	while (next_call_stop(t->victim)) {
		number = call_number(t->victim);
		p->calls++;
		cr_assert_lt(p->calls, CALLS_MAX);
		if (number == k->from && !p->first)
			p->first = p->calls;
		if (!next_call_stop(t->victim)) /* it does not return from its last one */
			break;
		for (; p->first && !at_call(t->victim); p->steps[p->calls]++)
			step(t->victim);
	}
	cr_assert(number == SYS_exit_group || number == SYS_exit, "last call %ld", number);
	cr_assert_gt(p->first, 0, "no system call %ld", k->from);
	p->calls--;
	for (unsigned c = p->first; c <= p->calls; c++)
		p->points += p->steps[c] + 1;
}

/* Takes the victim to its n-th point. */
static void go_to(struct traced *t, const struct plan *p, unsigned n)
{
	unsigned c = p->first;

	for (; n > p->steps[c]; c++)
		n -= p->steps[c] + 1;
	for (unsigned i = 0; i < 2 * c; i++)
		cr_assert(next_call_stop(t->victim));
	for (unsigned i = 0; i < n; i++)
		step(t->victim);
}

/* Waits for all that is left; the main process must have ended well, unless it was the victim. */
static void trace_end(struct traced *t, bool killed)
{
	int status = 0;

	if (t->victim != t->main || !killed) {
		cr_assert_eq(waitpid(t->main, &status, 0), t->main);
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
	}
	while (waitpid(-t->main, NULL, __WALL) > 0)
		;
}

static void strike(struct traced *t, int sig)
{
	int status;

	kill(t->victim, sig);
	if (sig != SIGKILL) {
		cr_assert_eq(ptrace(PTRACE_DETACH, t->victim, 0, 0), 0);
	} else {
		status = wait_stop(t->victim);
		cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%x", status);
	}
	trace_end(t, sig == SIGKILL);
}

/* A new oracle; and a new directory, unless the next run is to take over what is there. */
static void reset(struct run *r, const struct kind *k)
{
	cr_assert_eq(truncate(r->oracle, 0), 0);
	cr_assert_eq(truncate(r->oracle, sizeof(struct oracle)), 0);
	if (!k->adopt)
		remove_segments(r);
}

static void run_again(struct run *r, const struct kind *k)
{
	int status;

	run_start(r, k->mode, INCREMENTS, NULL);
	run_wait(r, &status);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
}

/* One point: strikes, compares; runs the program once more, compares again. */
static void check_point(struct run *r, const struct kind *k, const struct plan *p, unsigned n,
	uint64_t *total, uint64_t *compared)
{
	uint64_t before = *total;
	struct result res, next;
	struct traced t;

	trace_start(&t, r, k);
	go_to(&t, p, n);
	strike(&t, k->sig);
	res = run_result(r);
	cr_assert_leq(res.returned, res.total - before, "point %u: %" PRIu64 " of %" PRIu64, n,
		res.total - before, res.returned);
	cr_assert_leq(res.total - before, res.started, "point %u: %" PRIu64 " of %" PRIu64, n,
		res.total - before, res.started);
	if (k->sig != SIGKILL)
		cr_assert_eq(res.returned, res.started, "point %u", n);
	run_again(r, k);
	next = run_result(r);
	cr_assert_eq(next.total - res.total, next.started - res.started,
		"point %u, next run: %" PRIu64 " of %" PRIu64, n, next.total - res.total,
		next.started - res.started);
	cr_assert_eq(next.files, 1, "point %u: %u files", n, next.files);
	cr_assert_eq(next.starts, res.starts + 1, "point %u: not taken over", n);
	*total = next.total;
	*compared += next.started;
}

static void check_points(const struct kind *k)
{
	uint64_t total = 0, compared = 0;
	unsigned points = 0, stride, n;
	struct plan plan;
	struct traced t;
	struct run r;

	test_rand_init();
	run_init(&r, k->program);
	if (k->adopt)
		run_again(&r, k);
	trace_start(&t, &r, k);
	make_plan(&t, k, &plan);
	trace_end(&t, true);
	total = run_result(&r).total;
	stride = plan.points / (unsigned)(200 * exact_scale());
	stride = plan.points < 1000 || stride < 1 ? 1 : stride;
	for (n = (unsigned)test_rand_below(stride); n < plan.points; n += stride, points++) {
		reset(&r, k);
		if (!k->adopt)
			total = 0;
		check_point(&r, k, &plan, n, &total, &compared);
	}
	fprintf(stderr, "%s %s: signal %d at %u points of %u, in %u system calls\n", k->program,
		k->mode, k->sig, points, plan.points, plan.calls - plan.first + 1);
	cr_expect_gt(points, 100);
	exact_log(k->program, k->mode, compared, k->sig == SIGKILL ? "bounded" : "equal");
	remove_left();
}

static void check_signal(const char *program, const char *mode, long from, bool adopt, int sig)
{
	const struct kind kind = {program, mode, from, adopt, sig};

	check_points(&kind);
}

Test(exact_step, killed_from_attaching_on)
{
	check_signal("storm-step", "alone", SYS_rt_sigprocmask, false, SIGKILL);
}

Test(exact_step, killed_from_taking_over_on)
{
	check_signal("storm-step", "alone", SYS_rt_sigprocmask, true, SIGKILL);
}

Test(exact_step, killed_from_taking_over_on_cxx)
{
	check_signal("storm-step-cxx", "alone", SYS_rt_sigprocmask, true, SIGKILL);
}

Test(exact_step, child_killed)
{
	check_signal("storm-step", "child", SYS_getpgid, true, SIGKILL);
}

Test(exact_step, vfork_child_killed)
{
	check_signal("storm-step", "vfork", SYS_getpgid, true, SIGKILL);
}

Test(exact_step, struck_by_a_signal_while_it_attaches)
{
	check_signal("storm-step", "alone", SYS_rt_sigprocmask, false, SIGUSR1);
}

Test(exact_step, struck_by_a_signal_while_it_takes_over)
{
	check_signal("storm-step-cxx", "alone", SYS_rt_sigprocmask, true, SIGUSR1);
}

Test(exact_step, struck_by_a_signal)
{
	check_signal("storm-step", "alone", SYS_getpgid, false, SIGUSR1);
}

Test(exact_step, child_struck_by_a_signal)
{
	check_signal("storm-step", "child", SYS_getpgid, true, SIGUSR1);
}

Test(exact_step, vfork_child_struck_by_a_signal)
{
	check_signal("storm-step-cxx", "vfork", SYS_getpgid, true, SIGUSR1);
}

#else

Test(exact_step, needs_x86_64)
{
	cr_skip_test("steps through x86-64 only");
}

#endif
