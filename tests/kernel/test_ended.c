/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Producer "ended": processes that end, a known number of them, against what wait(2) and the cgroup's own
 * accounting say.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define OPS_UNDER_TEST (&producer_ended)
#include "tests/lib/testcgroup.h"
#include "tests/lib/testdisk.h"
#include "tests/lib/testmodule.h"

#define SHORT_MS 3u
#define REPEATS  (clocks_are_real() ? 20 : 4)

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static void spin_ms(unsigned ms)
{
	while (clock_ns(CLOCK_PROCESS_CPUTIME_ID) < ms * NSEC_PER_MSEC)
		;
}

static uint64_t ends(const char *labels)
{
	return value("ended_processes", labels, SERIES_VALUE);
}

/* --- the 10,000 ------------------------------------------------------------------------------- */

/* A cgroup with CPU accounting of its own, of whichever version there is. */
struct accounted {
	char dir[200];
	bool v2;
};

static bool make_cgroup(struct accounted *a)
{
	static const char *const roots[] = {"/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/cpu,cpuacct",
		"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		char path[300];

		a->v2 = i >= 2;
		snprintf(a->dir, sizeof(a->dir), "%s/tally-ended-%d", roots[i], (int)getpid());
		if (mkdir(a->dir, 0755))
			continue;
		snprintf(path, sizeof(path), "%s/%s", a->dir, a->v2 ? "cpu.stat" : "cpuacct.usage");
		if (!access(path, R_OK))
			return true;
		rmdir(a->dir);
	}
	return false;
}

static void enter_cgroup(const struct accounted *a)
{
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "%s/cgroup.procs", a->dir);
	f = fopen(path, "w");
	if (!f || fprintf(f, "0") < 0 || fclose(f))
		abort();
}

static uint64_t usage_ns(const struct accounted *a)
{
	unsigned long long n = 0;
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", a->dir, a->v2 ? "cpu.stat" : "cpuacct.usage");
	f = fopen(path, "r");
	cr_assert_not_null(f);
	cr_assert_eq(fscanf(f, a->v2 ? "usage_usec %llu" : "%llu", &n), 1);
	fclose(f);
	return a->v2 ? n * 1000 : n;
}

static void run_short(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		pid_t pid = fork();

		if (!pid) {
			spin_ms(SHORT_MS);
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			abort();
	}
}

struct driver {
	pid_t pid;
	int ready, go; /* pipes: from it, and to it */
	uint64_t cpu_ns; /* that it had when all were ready */
};

/* A process in the cgroup that makes n of SHORT_MS, one after the other, when it is told so, and ends by itself. */
static void start_driver(struct driver *d, const struct accounted *a, unsigned n)
{
	int ready[2], go[2];
	char c = 0;

	cr_assert_eq(pipe(ready) || pipe(go), 0);
	d->pid = fork_named("tally-short");
	if (!d->pid) {
		enter_cgroup(a);
		close(go[1]);
		if (write(ready[1], &c, 1) != 1 || read(go[0], &c, 1) != 1)
			abort();
		run_short(n);
		_exit(0);
	}
	close(ready[1]);
	close(go[0]);
	d->ready = ready[0];
	d->go = go[1];
	cr_assert_eq(read(d->ready, &c, 1), 1);
}

/* By the scheduler's clock, exact while it sleeps. */
static uint64_t process_cpu_ns(pid_t pid)
{
	unsigned long long ns = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
	f = fopen(path, "r");
	cr_assert_not_null(f);
	cr_assert_eq(fscanf(f, "%llu", &ns), 1);
	fclose(f);
	return ns;
}

/* As exact as the cgroup's own books, in which drivers are too: from when they sleep, in it, until all have ended. */
Test(ended, sums_are_those_of_the_cgroup, .init = setup, .fini = teardown)
{
	enum { DRIVERS = 2 };
	const unsigned n = clocks_are_real() ? 10000 : 200;
	struct driver drivers[DRIVERS];
	struct accounted a;
	uint64_t ours, theirs;

	if (!make_cgroup(&a))
		cr_skip_test("no cgroup with CPU accounting can be made here");
	for (int i = 0; i < DRIVERS; i++)
		start_driver(&drivers[i], &a, n / DRIVERS);
	usleep(200000);
	theirs = usage_ns(&a);
	for (int i = 0; i < DRIVERS; i++)
		drivers[i].cpu_ns = process_cpu_ns(drivers[i].pid);
	for (int i = 0; i < DRIVERS; i++)
		cr_assert_eq(write(drivers[i].go, "", 1), 1);
	for (int i = 0; i < DRIVERS; i++)
		while (waitpid(drivers[i].pid, NULL, WNOHANG) == 0) {
			poll_producer();
			usleep(200000);
		}
	usleep(100000); /* the last one may be in its last microseconds */
	poll_producer();
	theirs = usage_ns(&a) - theirs;
	rmdir(a.dir);
	ours = value("ended_cpu_seconds", "comm=\"tally-short\"", SERIES_VALUE);
	for (int i = 0; i < DRIVERS; i++)
		ours -= drivers[i].cpu_ns;
	printf("%lu ended, %lu ns; the cgroup says %lu ns (%+.4f %%)\n",
		ends("comm=\"tally-short\""), ours, theirs,
		((double)ours / (double)theirs - 1) * 100);
	cr_assert_eq(value("ended_dropped_rows", NULL, SERIES_VALUE), 0);
	cr_assert_eq(ends("comm=\"tally-short\",how=\"success\""), n + DRIVERS);
	cr_assert_eq(ends("comm=\"tally-short\""), n + DRIVERS);
	cr_assert_geq(theirs, n * SHORT_MS * NSEC_PER_MSEC);
	cr_assert_leq(ours, theirs + theirs / 1000);
	cr_assert_geq(ours, theirs - theirs / 1000);
}

/* --- rows that are not read in time --------------------------------------------------------------- */

/* All on one CPU. What is overwritten is counted, and is among the others: nothing is missing in the sum. */
Test(ended, overwritten_rows_are_others, .init = setup_unless_emulated, .fini = teardown)
{
	const unsigned n = 4096 / (unsigned)libbpf_num_possible_cpus() + 600;
	uint64_t named, lost, others;

	stay_on_cpu(sched_getcpu());
	poll_producer();
	others = ends("comm=\"other\"");
	for (unsigned i = 0; i < n; i++) {
		pid_t pid = vfork(); /* many, also where copying the memory of one takes 10 ms */

		cr_assert_geq(pid, 0);
		if (!pid) {
			prctl(PR_SET_NAME, "tally-many");
			_exit(0);
		}
		cr_assert_eq(waitpid(pid, NULL, 0), pid);
	}
	usleep(100000);
	poll_producer();
	named = ends("comm=\"tally-many\"");
	lost = value("ended_dropped_rows", NULL, SERIES_VALUE);
	others = ends("comm=\"other\"") - others;
	printf("%lu named, %lu overwritten, %lu others\n", named, lost, others);
	cr_assert_gt(lost, 0);
	cr_assert_lt(named, n);
	cr_assert_geq(named + others, n);
	cr_assert_geq(others, lost);
	cr_assert(!named || named + lost >= n, "some are nowhere");
}

/* --- how processes end ----------------------------------------------------------------------------- */

static void run_named(const char *name, int code, int sig, size_t touch)
{
	pid_t pid = fork_named(name);

	if (!pid) {
		char *p = touch ? malloc(touch) : NULL;

		if (touch)
			memset(p, 1, touch);
		__asm__ volatile("" : : "r"(p) : "memory");
		free(p);
		if (sig)
			raise(sig);
		_exit(code);
	}
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

Test_together(ended, codes_and_memory)
{
	const size_t mib = 1u << 20;

	for (int i = 0; i < 40; i++)
		run_named("tally-codes", 0, 0, 0);
	for (int i = 0; i < 30; i++)
		run_named("tally-codes", 3, 0, 0);
	for (int i = 0; i < 20; i++)
		run_named("tally-codes", 0, SIGKILL, 0);
	run_named("tally-memory", 0, 0, 64 * mib);
	run_named("tally-memory", 0, 0, 0);
	usleep(100000);
	poll_producer();
	cr_assert_eq(ends("comm=\"tally-codes\",how=\"success\""), 40);
	cr_assert_eq(ends("comm=\"tally-codes\",how=\"failure\""), 30);
	cr_assert_eq(ends("comm=\"tally-codes\",how=\"signal\""), 20);
	cr_assert_geq(
		value("ended_peak_memory_bytes", "comm=\"tally-memory\"", SERIES_VALUE), 64 * mib);
	cr_assert_leq(
		value("ended_peak_memory_bytes", "comm=\"tally-memory\"", SERIES_VALUE), 96 * mib);
}

static void end_in(const char *path, const char *comm)
{
	pid_t pid = fork_named(comm);

	if (!pid) {
		cgroup_enter(path);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

static size_t series_count(const char *name, const char *labels)
{
	size_t n = 0;

	for (size_t k = 0; k < snapshot.n; k++)
		for (size_t i = 0; i < snapshot.groups[k]->schema.n; i++)
			n += !strcmp(snapshot.groups[k]->schema.series[i].name, name) &&
			     has_labels(snapshot.groups[k]->schema.series[i].labels, labels);
	return n;
}

/* By the whole path: two cgroups may have the same last name, and one that is made again is the same. */
Test_together(ended, by_cgroup)
{
	char outer[2][64], inner[2][96], labels[300], comm[] = "tally-\xff-in";

	for (int i = 0; i < 2; i++) {
		snprintf(outer[i], sizeof(outer[i]), "/tally-ended-%d-%c", (int)getpid(), 'a' + i);
		snprintf(inner[i], sizeof(inner[i]), "%s/inner.service", outer[i]);
	}
	for (int again = 0; again < 2; again++) {
		comm[6] = again ? '\xfe' : '\xff';
		for (int i = 0; i < 2; i++) {
			cgroup_make(outer[i]);
			cgroup_make(inner[i]);
			for (int k = 0; k <= i; k++)
				end_in(inner[i], comm);
		}
		usleep(100000);
		for (int i = 0; i < 2; i++) {
			cgroup_remove(inner[i]);
			cgroup_remove(outer[i]);
		}
		poll_producer();
		for (uint64_t i = 0; i < 2; i++) {
			snprintf(labels, sizeof(labels),
				"comm=\"tally-?-in\",cgroup=\"%s\",unit=\"inner.service\",how="
				"\"success\"",
				inner[i]);
			cr_assert_eq(ends(labels), ((uint64_t)again + 1) * (i + 1), "%s", labels);
			cr_assert_eq(series_count("ended_processes", labels), 1);
		}
	}
}

/* What a process has read of a disk of its own, and written to it; else it may have read its own program. */
Test_together(ended, known_bytes)
{
	uint64_t in, out;
	struct disk disk;
	pid_t pid;

	make_space("8m");
	disk = make_disk(0, DISK_READ);
	pid = fork_named("tally-bytes");
	if (!pid) {
		move_bytes(&disk);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	usleep(100000);
	poll_producer();
	remove_disk(&disk);
	remove_space();
	in = value("ended_read_bytes", "comm=\"tally-bytes\"", SERIES_VALUE);
	out = value("ended_written_bytes", "comm=\"tally-bytes\"", SERIES_VALUE);
	printf("%lu bytes read, %lu written\n", in, out);
	cr_assert_eq(ends("comm=\"tally-bytes\",how=\"success\""), 1);
	cr_assert_geq(in, DISK_READ);
	cr_assert_leq(in, DISK_READ + DISK_WRITTEN / 2);
	cr_assert_eq(out, DISK_WRITTEN);
}

/* --- threads ---------------------------------------------------------------------------------------- */

static void *spin_thread(void *arg)
{
	uint64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + (uint64_t)(uintptr_t)arg * NSEC_PER_MSEC;

	while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
		;
	return NULL;
}

/* Ends with threads that are gone, and with threads that are at work or asleep. */
static void threads_joined(void)
{
	pthread_t t[8];

	for (int i = 0; i < 8; i++)
		if (pthread_create(&t[i], NULL, spin_thread, (void *)10))
			abort();
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
}

static void threads_left(void)
{
	pthread_t t;

	for (int i = 0; i < 8; i++)
		if (pthread_create(&t, NULL, spin_thread, (void *)100000))
			abort();
	usleep(50000);
}

/* The first thread ends before all others. */
static void first_thread_leaves(void)
{
	pthread_t t;

	for (int i = 0; i < 4; i++)
		if (pthread_create(&t, NULL, spin_thread, (void *)10))
			abort();
	syscall(SYS_exit, 0); /* pthread_exit() needs a library that emulated machines lack */
}

/* Runs fn in n processes of this name; returns the CPU time that wait(2) has for them. */
static uint64_t run_threaded(const char *name, void (*fn)(void), int n)
{
	struct rusage before, after;

	getrusage(RUSAGE_CHILDREN, &before);
	for (int i = 0; i < n; i++) {
		pid_t pid = fork_named(name);

		if (!pid) {
			fn();
			_exit(0);
		}
		cr_assert_eq(waitpid(pid, NULL, 0), pid);
	}
	getrusage(RUSAGE_CHILDREN, &after);
	usleep(100000);
	poll_producer();
	return (uint64_t)(after.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_utime.tv_sec -
			  before.ru_stime.tv_sec) *
		       NSEC_PER_SEC +
	       (uint64_t)(after.ru_utime.tv_usec + after.ru_stime.tv_usec -
			  before.ru_utime.tv_usec - before.ru_stime.tv_usec) *
		       1000;
}

/* Each process ends once, with the time of all of its threads; wait(2) lacks their last microseconds. */
static void check_threaded(const char *name, void (*fn)(void), int n)
{
	uint64_t waited = run_threaded(name, fn, n), ours;
	char labels[64];

	snprintf(labels, sizeof(labels), "comm=\"%s\"", name);
	ours = value("ended_cpu_seconds", labels, SERIES_VALUE);
	printf("%s: %lu ended, %lu ns, wait(2) has %lu; %lu late threads\n", name, ends(labels),
		ours, waited, value("ended_late_threads", NULL, SERIES_VALUE));
	cr_assert_eq(ends(labels), (uint64_t)n);
	cr_assert_geq(ours, waited - waited / 100);
	cr_assert_leq(ours, waited + waited / 20 + (uint64_t)n * 9 * NSEC_PER_MSEC / 2);
}

Test_together(ended, threads_joined)
{
	check_threaded("tally-joined", threads_joined, REPEATS);
}

Test_together(ended, threads_left)
{
	check_threaded("tally-left", threads_left, REPEATS);
}

Test_together(ended, first_thread_leaves)
{
	check_threaded("tally-first", first_thread_leaves, REPEATS);
}
