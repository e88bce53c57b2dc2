/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Producer "tasks": the figures of a busy process against those of /proc, what moves in and out of the top,
 * and the sum of all against /proc/stat.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define OPS_UNDER_TEST            (&producer_tasks)
#define NEEDS_FIRST_PID_NAMESPACE /* its ids are those */
#include "tests/lib/testcgroup.h"
#include "tests/lib/testdisk.h"
#include "tests/lib/testmodule.h"
#include "user/provider/kernel/tasks.h"

static uint64_t task(const char *name, pid_t pid)
{
	char labels[48];

	snprintf(labels, sizeof(labels), "pid=\"%d\"", (int)pid);
	return value(name, labels, SERIES_VALUE);
}

static bool is_shown(pid_t pid)
{
	return task("task_threads", pid) > 0;
}

static uint64_t others(const char *name)
{
	return value(name, "pid=\"other\"", SERIES_VALUE);
}

/* --- processes ------------------------------------------------------------------------------------ */

static void spin_for_ever(void)
{
	for (;;)
		;
}

static void *spin_thread(void *arg)
{
	spin_for_ever();
	return arg;
}

static void spin_in_threads(void)
{
	pthread_t t;

	for (int i = 0; i < 3; i++)
		if (pthread_create(&t, NULL, spin_thread, NULL))
			abort();
	spin_for_ever();
}

static size_t held_memory(void)
{
	return (clocks_are_real() ? 256u : 64u) << 20;
}

static void hold_memory(void)
{
	char *p = malloc(held_memory());

	memset(p, 1, held_memory());
	__asm__ volatile("" : : "r"(p) : "memory");
	for (;;)
		pause();
}

static pid_t start(void (*fn)(void))
{
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!clocks_are_real() && nice(19) == -1) /* there CPUs are slow, and few */
			abort();
		fn();
		_exit(0);
	}
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

static void poll_after_ms(unsigned ms)
{
	usleep(ms * 1000);
	poll_producer();
}

/* CPU time of a process and its threads by /proc/PID/task/.../schedstat. */
static uint64_t proc_cpu_ns(pid_t pid)
{
	unsigned long long ns, sum = 0;
	char command[100];
	FILE *f;

	snprintf(command, sizeof(command), "cat /proc/%d/task/*/schedstat", (int)pid);
	f = popen(command, "r");
	cr_assert_not_null(f);
	while (fscanf(f, "%llu %*u %*u", &ns) == 1)
		sum += ns;
	pclose(f);
	return sum;
}

/* --- tests ---------------------------------------------------------------------------------------- */

/* Each of our readings lies between two of /proc's; threads are summed. */
Test_together(tasks, figures_of_a_process)
{
	pid_t pid = start(spin_in_threads);
	uint64_t below, above, ours;

	poll_after_ms(300);
	poll_after_ms(300);
	below = proc_cpu_ns(pid);
	poll_producer();
	above = proc_cpu_ns(pid);
	ours = task("task_cpu_seconds", pid);
	printf("%lu <= %lu <= %lu, %lu threads\n", below, ours, above, task("task_threads", pid));
	end(pid);
	/* schedstat is brought up to date by reading it; ours is as of the last tick or switch */
	cr_assert_geq(ours + 4 * 20 * NSEC_PER_MSEC, below);
	cr_assert_leq(ours, above);
	cr_assert_eq(task("task_threads", pid), 4);
}

static char own_cgroup[96];

static void spin_in_memory_cgroup(void)
{
	if (memory_cgroup_write("cgroup.procs", "0"))
		spin_for_ever();
}

/* In the other one as well, where that is of version 1. */
static void spin_in_cgroup(void)
{
	memory_cgroup_write("cgroup.procs", "0");
	cgroup_enter(own_cgroup);
	spin_for_ever();
}

static void wait_until_in(const char *dir, pid_t pid)
{
	char command[300];
	int tries = 2000;

	snprintf(command, sizeof(command), "grep -q '^%d$' %s/cgroup.procs", (int)pid, dir);
	while (system(command) && tries--)
		usleep(10000);
}

static uint64_t threads_in(pid_t pid, const char *more)
{
	char labels[250];

	snprintf(labels, sizeof(labels), "pid=\"%d\",%s", (int)pid, more);
	return value("task_threads", labels, SERIES_VALUE);
}

/* Of version 2; and of the controller of memory, whose version 1 tells where that of 2 is the root. */
Test_together(tasks, cgroup_of_a_process)
{
	char own[64], inner[200], memory[200], dir[200];
	pid_t pid, in_memory;

	snprintf(own, sizeof(own), "/tally-tasks-%d", (int)getpid());
	snprintf(own_cgroup, sizeof(own_cgroup), "%s/in.scope", own);
	snprintf(inner, sizeof(inner), "cgroup=\"%s\",unit=\"in.scope\"", own_cgroup);
	cgroup_make(own);
	cgroup_make(own_cgroup);
	memory_cgroup_make("tally-tasks-memory", 64 << 20);
	snprintf(memory, sizeof(memory), "cgroup=\"%s\"", strrchr(memory_cgroup, '/'));
	pid = start(spin_in_cgroup);
	in_memory = start(spin_in_memory_cgroup);
	snprintf(dir, sizeof(dir), "%s%s", cgroup_root(), own_cgroup);
	wait_until_in(dir, pid);
	wait_until_in(memory_cgroup, in_memory);
	poll_after_ms(300);
	poll_after_ms(300);
	end(pid);
	end(in_memory);
	cgroup_remove(own_cgroup);
	cgroup_remove(own);
	memory_cgroup_remove();
	cr_assert_eq(threads_in(pid, inner), 1);
	cr_assert_eq(threads_in(in_memory, memory), 1);
}

Test_together(tasks, memory_of_a_process)
{
	pid_t pid = start(hold_memory);
	uint64_t bytes = 0;

	for (int i = 0; i < 100 && bytes < held_memory(); i++) {
		poll_after_ms(100);
		bytes = task("task_memory_bytes", pid);
	}
	end(pid);
	cr_assert_geq(bytes, held_memory());
	cr_assert_leq(bytes, held_memory() + (16u << 20));
}

/* --- a known amount of work ------------------------------------------------------------------------ */

enum { FAULTS = 5000, SLEEPS = 200, SPIN_MS = 400 };

/* What a worker says of its work, in memory that it shares with the test. */
static struct {
	struct rusage before, after;
	uint64_t delay_ns, cpu_ns, wall_ns;
} * done;
static void (*half)(void);
static struct disk disk;

static void fault_pages(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), size = FAULTS * page;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	madvise(p, size, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < size; i += page)
		*(volatile char *)(p + i) = 1;
	munmap(p, size);
}

static void sleep_often(void)
{
	for (int i = 0; i < SLEEPS; i++)
		usleep(clocks_are_real() ? 100 : 1000);
}

static void use_disk(void)
{
	move_bytes(&disk);
}

static void *half_in_thread(void *arg)
{
	half();
	return arg;
}

/* One half is of a thread that has ended: what it used is still the process's. */
static void work_and_stop(void)
{
	pthread_t t;

	getrusage(RUSAGE_SELF, &done->before);
	if (pthread_create(&t, NULL, half_in_thread, NULL) || pthread_join(t, NULL))
		abort();
	half();
	getrusage(RUSAGE_SELF, &done->after);
	raise(SIGSTOP);
}

/* Has fn done by a process that stops then, so that its figures stand; they are polled. */
static pid_t start_until_stopped(void (*fn)(void))
{
	int status = 0;
	pid_t pid;

	done = mmap(NULL, sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(done, MAP_FAILED);
	poll_producer();
	pid = start(fn);
	cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
	cr_assert(WIFSTOPPED(status));
	poll_after_ms(10);
	return pid;
}

/* The nth number after a key at the begin of a line of /proc/PID/FILE. */
static uint64_t proc_number(pid_t pid, const char *file, const char *key, int nth)
{
	char path[64], line[256], *at = NULL;
	uint64_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	f = fopen(path, "r");
	cr_assert_not_null(f);
	while (!at && fgets(line, sizeof(line), f))
		at = strncmp(line, key, strlen(key)) ? NULL : line + strlen(key);
	fclose(f);
	cr_assert_not_null(at, "%s: no %s", path, key);
	while (nth--)
		n = strtoull(at, &at, 10);
	return n;
}

static uint64_t faults(const struct rusage *r)
{
	return (uint64_t)(r->ru_minflt + r->ru_majflt);
}

static uint64_t switches(const struct rusage *r)
{
	return (uint64_t)(r->ru_nvcsw + r->ru_nivcsw);
}

/* To stop after it has asked takes some more. */
static void check_last(uint64_t ours, uint64_t asked)
{
	cr_assert_geq(ours, asked);
	cr_assert_leq(ours, asked + 20);
}

Test_together(tasks, known_page_faults)
{
	uint64_t made, ours;
	pid_t pid;

	half = fault_pages;
	pid = start_until_stopped(work_and_stop);
	ours = task("task_page_faults", pid);
	end(pid);
	made = faults(&done->after) - faults(&done->before);
	printf("%lu faults, %lu of them for %d pages\n", ours, made, 2 * FAULTS);
	check_last(ours, faults(&done->after));
	cr_assert_geq(made, 2 * FAULTS);
	cr_assert_leq(made, 2 * FAULTS + FAULTS / 10);
}

Test_together(tasks, known_context_switches)
{
	uint64_t made, ours;
	pid_t pid;

	half = sleep_often;
	pid = start_until_stopped(work_and_stop);
	ours = task("task_context_switches", pid);
	end(pid);
	made = (uint64_t)(done->after.ru_nvcsw - done->before.ru_nvcsw);
	printf("%lu switches, %lu of its own will for %d sleeps\n", ours, made, 2 * SLEEPS);
	check_last(ours, switches(&done->after));
	/* a sleep may be over before the task has left its CPU, and an interrupt may take that from it on the way */
	cr_assert_geq(made, 2 * SLEEPS - SLEEPS / 10);
	cr_assert_leq(made, 2 * SLEEPS + SLEEPS / 10);
}

/* Of a disk of the test's own; beside it a process may have to read its own program. */
Test_together(tasks, known_bytes)
{
	uint64_t in, out, proc_in, proc_out;
	pid_t pid;

	make_space("8m");
	disk = make_disk(0, DISK_READ);
	half = use_disk;
	pid = start_until_stopped(work_and_stop);
	in = task("task_read_bytes", pid);
	out = task("task_written_bytes", pid);
	proc_in = proc_number(pid, "io", "read_bytes:", 1);
	proc_out = proc_number(pid, "io", "write_bytes:", 1);
	end(pid);
	remove_disk(&disk);
	remove_space();
	printf("%lu bytes read, %lu written\n", in, out);
	cr_assert_eq(in, proc_in);
	cr_assert_eq(out, proc_out);
	cr_assert_geq(in, 2 * DISK_READ);
	cr_assert_leq(in, 2 * DISK_READ + DISK_WRITTEN);
	cr_assert_eq(out, 2 * DISK_WRITTEN);
}

static void spin_on_first_cpu(void)
{
	stay_on_cpu(0);
	spin_for_ever();
}

static uint64_t delay_ns(pid_t pid)
{
	return proc_number(pid, "schedstat", "", 2);
}

static uint64_t own_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

/* Never waits for anything but the CPU: the time that it does not have it is its delay. */
static void spin_and_stop(void)
{
	stay_on_cpu(0);
	done->delay_ns = delay_ns(getpid());
	done->cpu_ns = own_cpu_ns();
	done->wall_ns = clock_monotonic_ns();
	while (clock_monotonic_ns() - done->wall_ns < SPIN_MS * NSEC_PER_MSEC)
		;
	done->cpu_ns = own_cpu_ns() - done->cpu_ns;
	done->wall_ns = clock_monotonic_ns() - done->wall_ns;
	raise(SIGSTOP);
}

Test_together(tasks, known_run_delay)
{
	pid_t other = start(spin_on_first_cpu), pid = start_until_stopped(spin_and_stop);
	uint64_t ours = task("task_run_delay_seconds", pid), theirs = delay_ns(pid), waited, slack;

	end(pid);
	end(other);
	waited = done->wall_ns - done->cpu_ns;
	slack = done->wall_ns / 20;
	printf("%lu us, %lu since the begin; %lu of %lu us it had no CPU\n", ours / 1000,
		(ours - done->delay_ns) / 1000, waited / 1000, done->wall_ns / 1000);
	cr_assert_eq(ours, theirs);
	cr_assert_gt(ours, done->delay_ns);
	if (!clocks_are_real())
		return;
	cr_assert_geq(waited, done->wall_ns / 4, "the other one was not in its way");
	cr_assert_geq(ours - done->delay_ns, waited - slack);
	cr_assert_leq(ours - done->delay_ns, waited + slack);
}

/* --- the top ---------------------------------------------------------------------------------------- */

/* It leaves the top when it sleeps, comes back, and its counters are never lower than they were. */
Test(tasks, in_and_out_of_the_top, .init = setup_unless_emulated, .fini = teardown)
{
	pid_t spinner = start(spin_for_ever);
	uint64_t before, comes = 0, goes = 0;
	bool shown;

	poll_after_ms(300);
	poll_after_ms(100);
	cr_assert(is_shown(spinner));
	for (int round = 0; round < (clocks_are_real() ? 3 : 1); round++) {
		before = task("task_cpu_seconds", spinner);
		cr_assert_gt(before, 0);
		kill(spinner, SIGSTOP);
		for (unsigned i = 0; i < TASKS_STAY + 30 && is_shown(spinner); i++)
			poll_after_ms(20);
		shown = is_shown(spinner);
		goes += !shown;
		kill(spinner, SIGCONT);
		poll_after_ms(300);
		poll_after_ms(100);
		cr_assert(is_shown(spinner));
		comes += !shown;
		cr_assert_gt(task("task_cpu_seconds", spinner), before);
	}
	printf("left %lu times, came back %lu times\n", goes, comes);
	end(spinner);
}

/* The sum of what grows: of those that are shown at two polls, and of the others. */
static uint64_t grown(const char *name, uint64_t *last, pid_t *pids, size_t *n)
{
	uint64_t sum = 0, now[SNAPSHOT_GROUPS];
	pid_t ids[SNAPSHOT_GROUPS];
	size_t count = 0;

	for (size_t k = 0; k < snapshot.n; k++) {
		const struct group *g = snapshot.groups[k];

		for (size_t i = 0; i < g->schema.n; i++) {
			char pid[32] = "";

			if (strcmp(g->schema.series[i].name, name))
				continue;
			labels_get(g->schema.series[i].labels, "pid", pid, sizeof(pid));
			ids[count] = strcmp(pid, "other") ? atoi(pid) : -1;
			now[count] = g->values[i];
			for (size_t j = 0; j < *n; j++)
				if (pids[j] == ids[count]) {
					cr_assert_geq(now[count], last[j], "%s of %d went back",
						name, (int)pids[j]);
					sum += now[count] - last[j];
				}
			count++;
		}
	}
	memcpy(last, now, count * sizeof(*now));
	memcpy(pids, ids, count * sizeof(*ids));
	*n = count;
	return sum;
}

static uint64_t busy_ns(void)
{
	unsigned long long t[8] = {0};
	FILE *f = fopen("/proc/stat", "r");

	cr_assert_not_null(f);
	cr_assert_eq(fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2],
			     &t[3], &t[4], &t[5], &t[6], &t[7]),
		8);
	fclose(f);
	return (t[0] + t[1] + t[2]) * (NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
}

static void run_short(unsigned n, unsigned us)
{
	for (unsigned i = 0; i < n; i++) {
		pid_t pid = fork();

		cr_assert_geq(pid, 0);
		if (!pid) {
			struct timespec a, b;

			clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
			do
				clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
			while ((b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000 <
				us);
			_exit(0);
		}
		cr_assert_eq(waitpid(pid, NULL, 0), pid);
	}
}

/*
 * All CPU time is in some series: of a busy process, and of many that live for less than a poll, which only
 * the others can have.
 */
Test_together(tasks, nothing_is_missing)
{
	static uint64_t last[SNAPSHOT_GROUPS];
	static pid_t pids[SNAPSHOT_GROUPS];
	const unsigned each = clocks_are_real() ? 50 : 5;
	size_t n = 0;
	uint64_t sum = 0, busy, rest;
	pid_t spinner = start(spin_for_ever);

	poll_producer();
	poll_producer();
	grown("task_cpu_seconds", last, pids, &n);
	busy = busy_ns();
	rest = others("task_cpu_seconds");
	for (int i = 0; i < 20; i++) {
		run_short(each, 2000);
		poll_producer();
		sum += grown("task_cpu_seconds", last, pids, &n);
	}
	busy = busy_ns() - busy;
	rest = others("task_cpu_seconds") - rest;
	end(spinner);
	printf("grew by %lu ns, others by %lu; /proc/stat has %lu\n", sum, rest, busy);
	cr_assert_geq(rest, 20 * each * 2000 * 1000ull);
	if (!clocks_are_real())
		return;
	cr_assert_geq(sum, busy - busy / 10 - NSEC_PER_SEC / 10);
	cr_assert_leq(sum, busy + busy / 10 + NSEC_PER_SEC / 10);
}

/* No counter of anything that is shown goes back, while processes come, work, sleep and go. */
Test(tasks, never_backwards, .init = setup_unless_emulated, .fini = teardown)
{
	static const char *const names[] = {"task_cpu_seconds", "task_run_delay_seconds",
		"task_read_bytes", "task_written_bytes", "task_page_faults",
		"task_context_switches"};
	enum { NAMES = sizeof(names) / sizeof(names[0]) };
	static uint64_t last[NAMES][SNAPSHOT_GROUPS];
	static pid_t pids[NAMES][SNAPSHOT_GROUPS];
	size_t n[NAMES] = {0};

	for (int i = 0; i < (clocks_are_real() ? 30 : 6); i++) {
		pid_t a = start(spin_in_threads), b = start(spin_for_ever);

		run_short(5, 1000);
		poll_after_ms(20);
		for (size_t k = 0; k < NAMES; k++)
			grown(names[k], last[k], pids[k], &n[k]);
		end(a);
		end(b);
	}
}

/* However many processes there are, as many are shown as there are seats for. */
Test(tasks, bounded, .init = setup_unless_emulated, .fini = teardown)
{
	enum { N = 60 };
	pid_t pids[N];

	for (int i = 0; i < N; i++)
		pids[i] = start(spin_for_ever);
	poll_after_ms(100);
	poll_after_ms(500);
	for (int i = 0; i < N; i++)
		end(pids[i]);
	printf("%lu of %lu shown\n", value("tasks_shown", NULL, SERIES_VALUE),
		value("tasks_processes", NULL, SERIES_VALUE));
	cr_assert_geq(value("tasks_processes", NULL, SERIES_VALUE), N);
	cr_assert_leq(value("tasks_shown", NULL, SERIES_VALUE), TASKS_TOP_DEFAULT * TASKS_CRITERIA);
	cr_assert_geq(value("tasks_shown", NULL, SERIES_VALUE), TASKS_TOP_DEFAULT);
}

static int sleep_for_ever(void *arg)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
	return arg != NULL;
}

/* They share the test's memory, so that there can be so many. */
static void start_many(pid_t *pids, size_t n)
{
	enum { STACK = 4096 };
	char *stacks =
		mmap(NULL, n * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(stacks, MAP_FAILED);
	for (size_t i = 0; i < n; i++) {
		pids[i] = clone(sleep_for_ever, stacks + (i + 1) * STACK, CLONE_VM | SIGCHLD, NULL);
		if (pids[i] < 0) {
			while (i--)
				end(pids[i]);
			cr_skip_test("there can't be %zu more processes here", n);
		}
	}
}

/* One that has gone since the poll before keeps its place for another: exact in one of the tries. */
Test(tasks, more_than_can_be_shown, .init = setup_unless_emulated, .fini = teardown)
{
	enum { N = TASKS_TRACKED_MAX + 100 };
	static pid_t pids[N];
	uint64_t processes, untracked;
	int tries = 0;

	poll_producer();
	cr_assert_eq(value("tasks_untracked", NULL, SERIES_VALUE), 0);
	start_many(pids, N);
	do {
		poll_producer();
		processes = value("tasks_processes", NULL, SERIES_VALUE);
		untracked = value("tasks_untracked", NULL, SERIES_VALUE);
	} while (untracked != processes - TASKS_TRACKED_MAX && ++tries < 50);
	for (size_t i = 0; i < N; i++)
		end(pids[i]);
	printf("%lu of %lu can't be shown, after %d tries\n", untracked, processes, tries);
	cr_assert_geq(processes, N);
	cr_assert_eq(untracked, processes - TASKS_TRACKED_MAX);
	poll_producer();
	poll_producer();
	cr_assert_eq(value("tasks_untracked", NULL, SERIES_VALUE), 0);
}
