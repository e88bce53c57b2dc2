/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * life MODE ARGS: a program that is born, counts and dies, for the lifecycle tests. Compiled as
 * applications are. What it counts is known from its arguments, or stands in an oracle file that shares
 * nothing with tally.
 *
 *	count N [MS]			counts N, lives MS milliseconds, ends with 0
 *	gate N				counts N, says "counted", ends when its standard input does
 *	steady ORACLE			counts for ever, with a pause now and then, so that it can be watched
 *	crowd THREADS N			says "attached"; when a line comes, THREADS threads live at once
 *					and count N each; says "counted"; ends when its standard input does
 *	prefork ORACLE WORKERS ROUNDS [PID]
 *					a server that forks WORKERS, kills one and forks another ROUNDS
 *					times; with PID each gets the first free number from there on
 *	namesake ORACLE			a process with the number of its ancestor, and a vfork child of it
 *
 * The oracle is 64 bytes with the number of slots, then a slot of 64 for each that counts: `started` is written
 * before each increment, `returned` after it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tally/tally.h>

TALLY_COUNTER(events, "life_events", "What happened in a life");
TALLY_GAUGE(alive, "life_alive", "1 while it lives");

#define SLOTS 16384

struct slot {
	volatile uint64_t started, returned;
	uint64_t pad[6]; /* a cache line of its own */
};
struct oracle {
	uint64_t used, pad[7];
	struct slot slots[SLOTS];
};

static void die(const char *what)
{
	perror(what);
	_exit(1);
}

static struct oracle *open_oracle(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	void *p;

	if (fd < 0 || ftruncate(fd, sizeof(struct oracle)) < 0)
		die(path);
	p = mmap(NULL, sizeof(struct oracle), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		die(path);
	close(fd);
	return (struct oracle *)p;
}

static struct slot *new_slot(struct oracle *o)
{
	uint64_t i = __atomic_fetch_add(&o->used, 1, __ATOMIC_RELAXED);

	if (i >= SLOTS)
		abort();
	return &o->slots[i];
}

static void count_in(struct slot *s)
{
	s->started = s->started + 1;
	TALLY_INC(events);
	s->returned = s->returned + 1;
}

static void count_many(long n)
{
	for (long i = 0; i < n; i++)
		TALLY_INC(events);
}

static void sleep_us(long us)
{
	struct timespec t = {us / 1000000, us % 1000000 * 1000};

	nanosleep(&t, NULL);
}

static void say(const char *line)
{
	if (write(1, line, strlen(line)) < 0)
		die("standard output");
}

/* A line of standard input; its end does as well. */
static void wait_for_line(void)
{
	char c;

	while (read(0, &c, 1) == 1 && c != '\n')
		;
}

static void wait_for_end(void)
{
	char c;

	while (read(0, &c, 1) == 1)
		;
}

static void mode_steady(const char *path)
{
	struct slot *s = new_slot(open_oracle(path));

	TALLY_GAUGE_SET(alive, 1);
	for (;;) {
		for (int i = 0; i < 50; i++)
			count_in(s);
		sleep_us(1000);
	}
}

/* --- crowd ------------------------------------------------------------------------------------ */

static pthread_barrier_t gate;
static long each;

static void *crowd_main(void *arg)
{
	(void)arg;
	TALLY_INC(events);
	pthread_barrier_wait(&gate);
	count_many(each - 1);
	pthread_barrier_wait(&gate);
	return NULL;
}

static void mode_crowd(int n)
{
	pthread_attr_t attr;
	pthread_t *t = (pthread_t *)calloc((size_t)n, sizeof(*t));

	say("attached\n");
	wait_for_line();
	pthread_barrier_init(&gate, NULL, (unsigned)n);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (int i = 0; i < n; i++)
		if (pthread_create(&t[i], &attr, crowd_main, NULL) != 0)
			die("pthread_create");
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	free(t);
	say("counted\n");
	wait_for_end();
}

/* --- prefork ---------------------------------------------------------------------------------- */

static pid_t fork_worker(struct oracle *o, long number)
{
	FILE *f = number ? fopen("/proc/sys/kernel/ns_last_pid", "w") : NULL;
	pid_t pid;

	if (number && (!f || fprintf(f, "%ld", number - 1) < 0 || fclose(f)))
		die("ns_last_pid");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		struct slot *s = new_slot(o);

		for (;;)
			count_in(s);
	}
	return pid;
}

static void mode_prefork(const char *path, int workers, int rounds, long number)
{
	struct oracle *o = open_oracle(path);
	pid_t *pid = (pid_t *)calloc((size_t)workers, sizeof(*pid));

	TALLY_GAUGE_SET(alive, 1);
	for (int i = 0; i < workers; i++)
		pid[i] = fork_worker(o, number);
	for (int i = 0; i < rounds; i++) {
		int victim = i % workers;

		sleep_us(2000);
		kill(pid[victim], SIGKILL);
		waitpid(pid[victim], NULL, 0);
		pid[victim] = fork_worker(o, number);
	}
	for (int i = 0; i < workers; i++) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
	}
	free(pid);
}

/* --- namesake --------------------------------------------------------------------------------- */

/*
 * Process numbers come again. The first, number 1 of its namespace, counts. Its child is number 1 of a
 * namespace in it, and makes a vfork child that counts before itself has: that one finds in getppid()
 * the number of the process that counted last, and must not take its parent for that one. Then the child
 * counts, and a crowd of threads of a grandchild, which are in want of rows: were the child's own row
 * one of a dead owner, they would take it, and counts would be lost.
 */
#define NAMESAKES 200 /* threads: more than there are rows at first */

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static struct slot *child_slot;

static void *namesake_thread(void *arg)
{
	struct slot *s = new_slot((struct oracle *)arg);

	count_in(s);
	pthread_barrier_wait(&gate);
	/* One at a time, each until the child has counted a lot meanwhile. */
	pthread_mutex_lock(&turn);
	for (uint64_t until = child_slot->returned + 20000; child_slot->returned < until;)
		count_in(s);
	pthread_mutex_unlock(&turn);
	return NULL;
}

/* Child and grandchild must count at the same time, on CPUs of their own. */
static void pin(size_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void namesake_grandchild(struct oracle *o)
{
	pthread_t t[NAMESAKES];

	pin(1);
	pthread_barrier_init(&gate, NULL, NAMESAKES);
	for (int i = 0; i < NAMESAKES; i++)
		if (pthread_create(&t[i], NULL, namesake_thread, o) != 0)
			die("pthread_create");
	for (int i = 0; i < NAMESAKES; i++)
		pthread_join(t[i], NULL);
	_exit(0);
}

static void namesake_child(struct oracle *o)
{
	struct slot *s = child_slot = new_slot(o);
	pid_t pid;
	int status = 0;

	if (getpid() != 1)
		die("pid");
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#endif
	pid = vfork();
	if (pid == 0) {
		count_in(s);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	pid = fork();
	if (pid == 0)
		namesake_grandchild(o);
	pin(0);
	while (waitpid(pid, &status, WNOHANG) == 0)
		for (int i = 0; i < 10000; i++)
			count_in(s);
	_exit(status != 0);
}

static int mode_namesake(const char *path)
{
	struct oracle *o = open_oracle(path);
	pid_t pid;
	int status = 1;

	count_in(new_slot(o));
	if (getpid() != 1 || unshare(CLONE_NEWPID) < 0)
		die("it must be the first process of a pid namespace");
	pid = fork();
	if (pid == 0)
		namesake_child(o);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("fork");
	return status != 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	if (!strcmp(mode, "count") && argc >= 3) {
		count_many(atol(argv[2]));
		TALLY_GAUGE_SET(alive, 1);
		if (argc > 3)
			sleep_us(1000 * atol(argv[3]));
	} else if (!strcmp(mode, "gate") && argc == 3) {
		count_many(atol(argv[2]));
		TALLY_GAUGE_SET(alive, 1);
		say("counted\n");
		wait_for_end();
	} else if (!strcmp(mode, "steady") && argc == 3) {
		mode_steady(argv[2]);
	} else if (!strcmp(mode, "crowd") && argc == 4) {
		each = atol(argv[3]);
		mode_crowd(atoi(argv[2]));
	} else if (!strcmp(mode, "prefork") && argc >= 5) {
		mode_prefork(argv[2], atoi(argv[3]), atoi(argv[4]), argc > 5 ? atol(argv[5]) : 0);
	} else if (!strcmp(mode, "namesake") && argc == 3) {
		return mode_namesake(argv[2]);
	} else {
		fprintf(stderr, "usage: life MODE ARGS, see the source\n");
		return 2;
	}
	return 0;
}
