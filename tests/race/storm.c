/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads and processes that count in every way a program can make them, for tests/race/test_exact.c.
 * What a mode does is said where it is; storm.h has the oracle and the arguments.
 */
#include "storm.h"

#include <spawn.h>

static void mode_threads(void)
{
	count *= storm_scale;
	run_threads(8);
}

static void mode_once(void)
{
	count_many(count);
}

/* Far more threads in the course of time than there are rows. */
static void mode_churn(void)
{
	for (long i = 0; i < 300 * storm_scale; i++)
		run_threads(8);
}

/*
 * More threads at once than there are rows: all wait at a gate, so none has ended. The gate is shared by
 * processes, too.
 */
static pthread_barrier_t *gate;

static void make_gate(unsigned n)
{
	pthread_barrierattr_t attr;
	void *p = mmap(
		NULL, sizeof(*gate), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	must(p != MAP_FAILED);
	gate = (pthread_barrier_t *)p;
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	must(pthread_barrier_init(gate, &attr, n) == 0);
}

static void *gate_main(void *arg)
{
	struct slot *s = new_slot();

	count_once(s);
	pthread_barrier_wait(gate);
	for (long i = 0; i < count; i++)
		count_once(s);
	return arg;
}

static void mode_crowd(void)
{
	enum { N = 1300 };

	make_gate(N);
	for (long i = 0; i < storm_scale; i++)
		run_all(N, gate_main, NULL);
}

/* The same crowd, in 26 processes of one family. */
static void mode_crowd_fork(void)
{
	enum { PROCESSES = 26, THREADS = 50 };

	make_gate(PROCESSES * THREADS);
	for (long i = 0; i < storm_scale; i++) {
		for (int p = 0; p < PROCESSES; p++)
			if (fork() == 0) {
				run_all(THREADS, gate_main, NULL);
				_exit(0);
			}
		count_many(count);
		wait_all();
	}
}

/* A program with threads that forks while they count; children have threads and children too. */
static void mode_fork(void)
{
	pthread_t t[3];

	count *= storm_scale;
	for (int i = 0; i < 3; i++)
		must(pthread_create(&t[i], NULL, thread_main, NULL) == 0);
	for (int i = 0; i < 40; i++) {
		if (fork() == 0) {
			count_many(count / 40);
			if (i % 8 == 0)
				run_threads(2);
			if (i % 8 == 1 && fork() == 0)
				count_many(count / 40);
			wait_all();
			_exit(0);
		}
		count_many(count / 40);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	wait_all();
}

/* All threads fork, each while the others count, fork and wait. Every other child is _Fork's. */
static void *forking_main(void *arg)
{
	struct slot *s = new_slot();

	for (long i = 0; i < 50 * storm_scale; i++) {
		pid_t pid = i % 2 ? _Fork() : fork();

		must(pid >= 0);
		if (pid == 0) {
			count_many(count);
			_exit(0);
		}
		for (long k = 0; k < count; k++)
			count_once(s);
		must(waitpid(pid, NULL, 0) == pid);
	}
	return arg;
}

static void mode_forks(void)
{
	run_all(4, forking_main, NULL);
}

/* _Fork runs no handlers of pthread_atfork: tally must not need any. */
static void mode_bare_fork(void)
{
	count *= storm_scale;
	for (int i = 0; i < 40; i++) {
		pid_t pid = _Fork();

		must(pid >= 0);
		if (pid == 0) {
			count_many(count / 40);
			_exit(0);
		}
		count_many(count / 40);
	}
	wait_all();
}

/* A child of a child of a child; each counts before, while and after its own does. */
static void mode_chain(void)
{
	enum { DEPTH = 100 };
	int depth = 0;
	pid_t pid = 0;

	count *= storm_scale;
	while (depth < DEPTH && pid == 0) {
		struct slot *s = new_slot();

		for (long i = 0; i < count / DEPTH; i++)
			count_once(s);
		pid = fork();
		must(pid >= 0);
		depth++;
	}
	count_many(count / DEPTH);
	wait_all();
	count_many(count / DEPTH);
	if (depth > 1 || pid == 0)
		_exit(0);
}

/* Daemons: what counts on is no child of anybody who counted. */
static void mode_daemons(void)
{
	count *= storm_scale;
	for (int i = 0; i < 20; i++) {
		if (fork() == 0) {
			if (i % 2)
				count_many(count / 20);
			if (fork() == 0)
				count_many(count / 20);
			_exit(0);
		}
		count_many(count / 20);
		if (i % 4 == 0)
			wait_all();
	}
	wait_all();
}

/* Children made by the bare system call: libc knows nothing of them. */
static void mode_clone(void)
{
	count *= storm_scale;
	for (int i = 0; i < 40; i++) {
		long pid = syscall(SYS_clone, (long)SIGCHLD, 0l, 0l, 0l, 0l);

		must(pid >= 0);
		if (pid == 0) {
			count_many(count / 40);
			_exit(0);
		}
		count_many(count / 40);
	}
	wait_all();
}

/* First the child counts, on memory that is its parent's, then both do, in turn. */
static void mode_vfork(void)
{
	count *= storm_scale;
	for (volatile int i = 0; i < 40; i = i + 1) {
		if (vfork() == 0) {
			count_many(count / 40);
			_exit(0);
		}
		if (i > 3)
			count_many(count / 40);
	}
	wait_all();
}

/*
 * The first count of forked children and grandchildren is their vfork child's. They go on counting
 * while relatives start so many threads that rows are wanted.
 */
static void vfork_first(void)
{
	if (vfork() == 0) {
		count_many(10);
		_exit(0);
	}
	wait_all(); /* a zombie would still own its row */
	count_many(40000 * count);
}

static void mode_vfork_first(void)
{
	for (int i = 0; i < 4; i++)
		if (fork() == 0) {
			if (i % 2 && fork() > 0) /* its child is left to whoever takes orphans */
				_exit(0);
			vfork_first();
			_exit(0);
		}
	for (int i = 0; i < 100; i++)
		run_threads(8);
	wait_all();
}

static __thread struct slot *handler_slot;

static void on_signal(int sig)
{
	(void)sig;
	count_once(handler_slot);
}

/* Runs this program once more, in mode "once", from a child of vfork. */
static void vfork_exec(void)
{
	char mode[] = "once";
	char *argv[] = {storm_argv[0], mode, storm_argv[2], storm_argv[3], NULL};

	if (vfork() == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
}

/*
 * Three threads vfork, while others count and fork: children that count, that are struck by a signal whose
 * handler counts, that fork in their turn, and that exec. Every other thread's first count is its child's.
 */
static void *vforking_main(void *arg)
{
	struct slot *s = new_slot();
	volatile pid_t pid;

	handler_slot = new_slot();
	for (volatile long i = 0; i < 40 * storm_scale; i = i + 1) {
		pid = vfork();
		if (pid == 0) {
			for (long k = 0; k < count; k++)
				count_once(s);
			if (i % 4 == 1)
				syscall(SYS_tgkill, getpid(), (long)syscall(SYS_gettid), SIGUSR1);
			if (i % 4 == 2 && syscall(SYS_clone, (long)SIGCHLD, 0l, 0l, 0l, 0l) == 0)
				count_many(count);
			_exit(0);
		}
		must(pid > 0);
		if (i % 20 == 3)
			vfork_exec();
		if ((i & 3) != 0)
			for (long k = 0; k < count; k++)
				count_once(s);
	}
	return arg;
}

static void mode_vfork_threads(void)
{
	struct sigaction sa;
	pthread_t t;
	int rounds = 30;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_signal;
	sigaction(SIGUSR1, &sa, NULL);
	must(pthread_create(&t, NULL, thread_main, NULL) == 0);
	for (int i = 0; i < rounds; i++)
		if (i % 2 == 0 && fork() == 0) {
			count_many(count);
			run_all(3, vforking_main, NULL);
			wait_all();
			_exit(0);
		} else {
			run_all(3, vforking_main, NULL);
			wait_all();
		}
	pthread_join(t, NULL);
	wait_all();
}

/* Programs of the same name, started by threads that count. */
static void *spawning_main(void *arg)
{
	char mode[] = "once";
	char *argv[] = {storm_argv[0], mode, storm_argv[2], storm_argv[3], NULL};
	pid_t pids[30];
	struct slot *s = new_slot();

	for (int i = 0; i < 30; i++) {
		must(posix_spawn(&pids[i], argv[0], NULL, NULL, argv, environ) == 0);
		for (long k = 0; k < count; k++)
			count_once(s);
	}
	for (int i = 0; i < 30; i++) {
		int status;

		must(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
	}
	return arg;
}

static void mode_spawn(void)
{
	for (long i = 0; i < storm_scale; i++)
		run_all(3, spawning_main, NULL);
}

/* Counts before and after its standard input ends. */
static void mode_waiting(void)
{
	char c;

	count_many(count);
	__atomic_fetch_add(&oracle->notes[NOTE_PROGRESS], 1, __ATOMIC_RELEASE);
	must(read(0, &c, 1) == 0);
	count_many(count);
}

/* Ninety programs of the same name that live at once: more than there are names that are tried in order. */
static void mode_spawn_waiting(void)
{
	char mode[] = "waiting";
	char *argv[] = {storm_argv[0], mode, storm_argv[2], storm_argv[3], NULL};
	posix_spawn_file_actions_t actions;
	int status, fds[2];
	pid_t pid;

	must(pipe2(fds, O_CLOEXEC) == 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[0], 0);
	for (int i = 0; i < 90; i++) {
		must(posix_spawn(&pid, argv[0], &actions, NULL, argv, environ) == 0);
		count_many(count);
	}
	while (oracle->notes[NOTE_PROGRESS] < 90)
		usleep(1000);
	close(fds[1]);
	while (wait(&status) > 0)
		must(status == 0);
}

/* argv[4] says how often to exec: each time the next program goes on. */
static void exec_again(void)
{
	char left[24];

	if (!storm_argv[4] || atoi(storm_argv[4]) == 0)
		return;
	snprintf(left, sizeof(left), "%d", atoi(storm_argv[4]) - 1);
	storm_argv[4] = left;
	execv(storm_argv[0], storm_argv);
	abort();
}

static void mode_exec(void)
{
	count_many(count);
	exec_again();
}

/* exec from a thread that is not the first: the others, which are not in an increment, end. */
static void *exec_main(void *arg)
{
	count_many(count);
	exec_again();
	return arg;
}

static void *idle_main(void *arg)
{
	count_many(count);
	pthread_barrier_wait(gate);
	pause();
	return arg;
}

static void mode_exec_thread(void)
{
	pthread_t t[3];

	make_gate(4);
	for (int i = 0; i < 3; i++)
		must(pthread_create(&t[i], NULL, idle_main, NULL) == 0);
	count_many(count);
	pthread_barrier_wait(gate);
	run_all(1, exec_main, NULL);
}

static void *forever_main(void *arg)
{
	struct slot *s = new_slot();

	for (;;)
		count_once(s);
	return arg;
}

/* The same, while the others count: they end in mid-air. */
static void mode_exec_in_air(void)
{
	pthread_t t;

	for (int i = 0; i < 3; i++)
		must(pthread_create(&t, NULL, forever_main, NULL) == 0);
	run_all(1, exec_main, NULL);
}

/* exit() while other threads count: they end in mid-air. */
static void mode_exit_in_air(void)
{
	pthread_t t;

	for (int i = 0; i < 3; i++)
		must(pthread_create(&t, NULL, forever_main, NULL) == 0);
	count_many(count);
}

/* Threads that are cancelled anywhere, also where they claim their row. */
static void *cancelled_main(void *arg)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	return forever_main(arg);
}

static void mode_cancel(void)
{
	for (long i = 0; i < 300 * storm_scale; i++) {
		pthread_t t[4];

		for (int k = 0; k < 4; k++)
			must(pthread_create(&t[k], NULL, cancelled_main, NULL) == 0);
		if (i % 3)
			usleep((useconds_t)(i % 100));
		for (int k = 0; k < 4; k++)
			pthread_cancel(t[k]);
		for (int k = 0; k < 4; k++)
			pthread_join(t[k], NULL);
		count_many(count);
	}
}

/* The first thread ends, the process goes on: its id is that of a zombie now. */
static void *successor_main(void *arg)
{
	usleep(1000);
	count_many(count);
	for (int i = 0; i < 30; i++) {
		run_threads(8);
		if (fork() == 0) {
			count_many(count);
			_exit(0);
		}
	}
	wait_all();
	exit(0);
	return arg;
}

static void mode_leader_gone(void)
{
	pthread_t t;

	count *= storm_scale;
	count_many(count);
	must(pthread_create(&t, NULL, successor_main, NULL) == 0);
	pthread_exit(NULL);
}

/* Until somebody kills it: threads, and processes that come and go. */
static void mode_forever(void)
{
	pthread_t t;

	for (int i = 0; i < 2; i++)
		if (fork() == 0) {
			pthread_create(&t, NULL, forever_main, NULL);
			forever_main(NULL);
		}
	pthread_create(&t, NULL, forever_main, NULL);
	for (int i = 0; i < 20000; i++)
		if (fork() == 0) {
			count_many(count);
			_exit(0);
		} else {
			wait(NULL);
		}
	pause();
}

int main(int argc, char **argv)
{
	static const struct storm_mode modes[] = {
		{"threads", mode_threads},
		{"once", mode_once},
		{"churn", mode_churn},
		{"crowd", mode_crowd},
		{"crowd-fork", mode_crowd_fork},
		{"fork", mode_fork},
		{"forks", mode_forks},
		{"bare-fork", mode_bare_fork},
		{"chain", mode_chain},
		{"daemons", mode_daemons},
		{"clone", mode_clone},
		{"vfork", mode_vfork},
		{"vfork-first", mode_vfork_first},
		{"vfork-threads", mode_vfork_threads},
		{"spawn", mode_spawn},
		{"waiting", mode_waiting},
		{"spawn-waiting", mode_spawn_waiting},
		{"exec", mode_exec},
		{"exec-thread", mode_exec_thread},
		{"exec-in-air", mode_exec_in_air},
		{"exit-in-air", mode_exit_in_air},
		{"cancel", mode_cancel},
		{"leader-gone", mode_leader_gone},
		{"forever", mode_forever},
	};

	return storm_main(argc, argv, modes, sizeof(modes) / sizeof(modes[0]));
}
