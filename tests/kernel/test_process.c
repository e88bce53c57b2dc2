/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "process": a known number of processes, threads, programs, ends and signals. Others on the machine
 * make some, too: never less may be counted, and exactly as much in one of the tries in which the kernel
 * counted no other process.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "bpf/process.h"
#define MODULE_UNDER_TEST module_process
#include "tests/lib/testmodule.h"

enum { TRIES = 20, OK = 40, FAILED = 30, KILLED = 20, THREADS = 50, EXECS = 10, SIGNALS = 1000 };

static uint64_t proc_processes(void)
{
	FILE *f = fopen("/proc/stat", "r");
	unsigned long long n = 0;
	char line[8192];

	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "processes %llu", &n) == 1)
			break;
	fclose(f);
	cr_assert_gt(n, 0);
	return n;
}

static void make_processes(int n, int code, int signal)
{
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();

		cr_assert_geq(pid, 0);
		if (!pid) {
			if (signal)
				raise(signal);
			_exit(code);
		}
		cr_assert_eq(waitpid(pid, NULL, 0), pid);
	}
}

static void *thread_main(void *arg)
{
	return arg;
}

static void make_threads(int n)
{
	pthread_t t;

	for (int i = 0; i < n; i++) {
		cr_assert_eq(pthread_create(&t, NULL, thread_main, NULL), 0);
		pthread_join(t, NULL);
	}
}

static void make_execs(int n)
{
	char *argv[] = {(char *)"true", NULL}, *envp[] = {NULL};
	pid_t pid;

	for (int i = 0; i < n; i++) {
		cr_assert_eq(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, envp), 0);
		cr_assert_eq(waitpid(pid, NULL, 0), pid);
	}
}

static void *wait_for_end(void *arg)
{
	pause();
	return arg;
}

/* Two threads, of which one ends the process: it ends once, by the code of the one. */
static void make_threaded_end(void)
{
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (!pid) {
		pthread_t t;

		pthread_create(&t, NULL, wait_for_end, NULL);
		_exit(7);
	}
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

enum { CROWD = 2 };

static uint32_t here;

/* Each comes on a CPU of its own, as far as there are some, and goes when all are there. */
static void *leave_with_others(void *arg)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((uintptr_t)arg % (size_t)sysconf(_SC_NPROCESSORS_ONLN), &one);
	sched_setaffinity(0, sizeof(one), &one);
	__atomic_add_fetch(&here, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&here, __ATOMIC_SEQ_CST) < CROWD)
		if (!clocks_are_real())
			sched_yield(); /* an emulated machine has one CPU */
	syscall(SYS_exit, 9);
	return arg;
}

/* Processes whose threads end at once: whichever of them is the last, each ends once. */
static void make_crowded_ends(int n)
{
	pthread_t t;

	for (int i = 0; i < n; i++) {
		pid_t pid = fork();

		cr_assert_geq(pid, 0);
		if (!pid) {
			for (uintptr_t k = 1; k < CROWD; k++)
				if (pthread_create(&t, NULL, leave_with_others, (void *)k))
					_exit(0);
			leave_with_others(NULL);
		}
		cr_assert_eq(waitpid(pid, NULL, 0), pid);
	}
}

struct figures {
	uint64_t processes, threads, execs, ok, failed, killed;
};

static struct figures read_figures(void)
{
	poll_producer();
	return (struct figures){
		.processes = value("process_starts", "kind=\"process\"", SERIES_VALUE),
		.threads = value("process_starts", "kind=\"thread\"", SERIES_VALUE),
		.execs = value("process_execs", NULL, SERIES_VALUE),
		.ok = value("process_ends", "how=\"success\"", SERIES_VALUE),
		.failed = value("process_ends", "how=\"failure\"", SERIES_VALUE),
		.killed = value("process_ends", "how=\"signal\"", SERIES_VALUE),
	};
}

Test_together(process, known_work)
{
	const struct figures want = {.processes = OK + FAILED + KILLED + EXECS + 1,
		.threads = THREADS + 1,
		.execs = EXECS,
		.ok = OK + EXECS,
		.failed = FAILED + 1,
		.killed = KILLED};
	bool exact = false;
	int quiet = 0;

	for (int i = 0; i < TRIES && !exact; i++) {
		uint64_t all = proc_processes();
		struct figures a = read_figures(), b;

		make_processes(OK, 0, 0);
		make_processes(FAILED, 3, 0);
		make_processes(KILLED, 0, SIGKILL);
		make_threads(THREADS);
		make_execs(EXECS);
		make_threaded_end();
		b = read_figures();
		quiet += proc_processes() - all == want.processes + want.threads;
		cr_assert_geq(b.processes - a.processes, want.processes);
		cr_assert_geq(b.threads - a.threads, want.threads);
		cr_assert_geq(b.execs - a.execs, want.execs);
		cr_assert_geq(b.ok - a.ok, want.ok);
		cr_assert_geq(b.failed - a.failed, want.failed);
		cr_assert_geq(b.killed - a.killed, want.killed);
		exact = b.processes - a.processes == want.processes &&
			b.threads - a.threads == want.threads && b.execs - a.execs == want.execs &&
			b.ok - a.ok == want.ok && b.failed - a.failed == want.failed &&
			b.killed - a.killed == want.killed;
	}
	printf("known work: %d quiet tries\n", quiet);
	cr_assert(exact || !quiet, "in none of %d tries", TRIES);
}

/* Others that fail meanwhile are counted as well: in one of some tries there are none. */
Test_together(process, threads_that_end_at_once)
{
	const uint64_t n = clocks_are_real() ? 1000 : 20;
	uint64_t failed = 0;

	for (int i = 0; i < TRIES && failed != n; i++) {
		struct figures a = read_figures();

		make_crowded_ends((int)n);
		failed = read_figures().failed - a.failed;
		printf("%lu processes of %d threads ended, %lu counted\n", n, CROWD, failed);
		cr_assert_geq(failed, n);
	}
	cr_assert_eq(failed, n, "in none of %d tries", TRIES);
}

static uint64_t living_processes(void)
{
	DIR *d = opendir("/proc");
	const struct dirent *e;
	uint64_t n = 0;

	cr_assert_not_null(d);
	while ((e = readdir(d)))
		n += e->d_name[0] >= '1' && e->d_name[0] <= '9';
	closedir(d);
	return n;
}

/* However many threads end, no more processes can than there were or came. */
Test_together(process, threads_are_no_processes)
{
	uint64_t living = living_processes(), ends;
	struct figures a = read_figures(), b;

	make_threads(20 * THREADS + (int)living);
	b = read_figures();
	ends = b.ok + b.failed + b.killed - a.ok - a.failed - a.killed;
	printf("%lu living, %lu came, %lu ended\n", living, b.processes - a.processes, ends);
	cr_assert_geq(b.threads - a.threads, 20 * THREADS + living);
	cr_assert_leq(ends, living + b.processes - a.processes);
}

/* Each of our readings lies between two of the kernel's. */
Test_together(process, starts_are_those_of_proc_stat)
{
	const int n = clocks_are_real() ? 200 : 50;
	uint64_t outer = proc_processes(), inner, ours;

	poll_producer();
	ours = value("process_starts", NULL, SERIES_VALUE);
	inner = proc_processes();
	make_processes(n, 0, 0);
	make_threads(n);
	inner = proc_processes() - inner;
	poll_producer();
	ours = value("process_starts", NULL, SERIES_VALUE) - ours;
	outer = proc_processes() - outer;
	printf("starts: %lu <= %lu <= %lu\n", inner, ours, outer);
	cr_assert_geq(ours, inner);
	cr_assert_leq(ours, outer);
}

/* Nobody else sends these. */
Test_together(process, signals)
{
	uint64_t xfsz, rt;

	signal(SIGXFSZ, SIG_IGN);
	signal(SIGRTMIN + 5, SIG_IGN);
	poll_producer();
	xfsz = value("process_signals", "signal=\"XFSZ\"", SERIES_VALUE);
	rt = value("process_signals", "signal=\"RT\"", SERIES_VALUE);
	for (int i = 0; i < SIGNALS; i++) {
		raise(SIGXFSZ);
		raise(SIGRTMIN + 5);
	}
	poll_producer();
	cr_assert_eq(value("process_signals", "signal=\"XFSZ\"", SERIES_VALUE) - xfsz, SIGNALS);
	cr_assert_eq(value("process_signals", "signal=\"RT\"", SERIES_VALUE) - rt, SIGNALS);
}

static uint64_t fatal_signals(const char *comm, const char *signal)
{
	char labels[64];

	snprintf(labels, sizeof(labels), "comm=\"%s\"%s%s%s", comm, signal ? ",signal=\"" : "",
		signal ? signal : "", signal ? "\"" : "");
	return value("process_fatal_signals", labels, SERIES_VALUE);
}

static void *thread_that_aborts(void *arg)
{
	prctl(PR_SET_NAME, "some thread");
	abort();
	return arg;
}

/* A process of that name that gets a signal by itself, ABRT from a thread of another name; or waits for one. */
static void end_by(const char *comm, int own, int from_outside)
{
	int ready[2];
	pid_t pid;
	char c;

	cr_assert_eq(pipe(ready), 0);
	pid = fork_named(comm);
	if (!pid) {
		pthread_t t;

		if (own == SIGABRT && pthread_create(&t, NULL, thread_that_aborts, NULL) == 0)
			pause();
		if (own)
			raise(own);
		if (write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	if (from_outside) {
		cr_assert_eq(read(ready[0], &c, 1), 1);
		kill(pid, from_outside);
	}
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	close(ready[0]);
	close(ready[1]);
}

Test_together(process, fatal_signals)
{
	struct rlimit none = {0, 0};
	uint64_t other;

	setrlimit(RLIMIT_CORE, &none);
	poll_producer();
	other = fatal_signals("other", NULL);
	for (int i = 0; i < 3; i++) {
		end_by("tally-hit", SIGSEGV, 0);
		end_by("tally-hit", 0, SIGKILL);
		end_by("tally-term", 0, SIGTERM);
	}
	end_by("tally-hit", SIGABRT, 0);
	end_by("tally-term", SIGUSR1, 0);
	poll_producer();
	cr_assert_eq(fatal_signals("tally-hit", "SEGV"), 3);
	cr_assert_eq(fatal_signals("tally-hit", "KILL"), 3);
	cr_assert_eq(fatal_signals("tally-hit", "ABRT"), 1);
	cr_assert_eq(fatal_signals("tally-hit", NULL), 7);
	cr_assert_eq(fatal_signals("tally-term", "TERM"), 3);
	cr_assert_eq(fatal_signals("tally-term", NULL), 3);
	cr_assert_eq(fatal_signals("other", NULL), other);
}

/* The first names have series of their own, and what the others get is not lost. */
Test(process, more_names_than_slots, .init = setup_unless_emulated, .fini = teardown)
{
	enum { NAMES = PROCESS_NAMES + 20 };
	uint64_t named = 0, all;
	char comm[16];

	poll_producer();
	all = value("process_fatal_signals", NULL, SERIES_VALUE);
	for (int i = 0; i < NAMES; i++) {
		snprintf(comm, sizeof(comm), "tally-n%d", i);
		end_by(comm, SIGILL, 0);
	}
	poll_producer();
	for (int i = 0; i < NAMES; i++) {
		snprintf(comm, sizeof(comm), "tally-n%d", i);
		named += fatal_signals(comm, "ILL");
	}
	printf("%lu of %d with a name\n", named, NAMES);
	cr_assert_geq(value("process_fatal_signals", NULL, SERIES_VALUE) - all, NAMES);
	cr_assert_geq(fatal_signals("other", "ILL"), NAMES - named);
	cr_assert_eq(fatal_signals("tally-n0", "ILL"), 1);
}
