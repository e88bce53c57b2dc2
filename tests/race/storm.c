/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * storm MODE ORACLE COUNT: a program that counts in every way a program can, for tests/race.
 *
 * Compiled as applications are, strict C11 and C++17. Beside each TALLY_INC it writes what it did to
 * the file ORACLE, which shares no code or memory with tally: a word of slots in use, then a slot for
 * each counting thread of each process, in which only that thread writes:
 *
 *	started    before each increment         returned    after it
 *
 * so that returned <= true count <= started at every instant, and equality when nobody was killed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tally/tally.h>

TALLY_COUNTER(storm, "storm", "Increments of the storm");
TALLY_COUNTER_UNIT(storm_bytes, "storm_bytes", "bytes", "Seven for each increment");

#define SLOTS 65536

struct slot {
	volatile uint64_t started, returned;
};
struct oracle {
	uint64_t used;
	struct slot slots[SLOTS];
};

static struct oracle *oracle;
static long count;
static __thread struct slot *handler_slot;

static struct slot *new_slot(void)
{
	uint64_t i = __atomic_fetch_add(&oracle->used, 1, __ATOMIC_RELAXED);

	if (i >= SLOTS)
		abort();
	return &oracle->slots[i];
}

static inline void count_once(struct slot *s)
{
	s->started = s->started + 1;
	TALLY_INC(storm);
	s->returned = s->returned + 1;
	TALLY_ADD(storm_bytes, 7);
}

static void count_many(long n)
{
	struct slot *s = new_slot();

	for (long i = 0; i < n; i++)
		count_once(s);
}

static void *thread_main(void *arg)
{
	(void)arg;
	count_many(count);
	return NULL;
}

static void run_threads(int n)
{
	pthread_attr_t attr;
	pthread_t *t = (pthread_t *)calloc((size_t)n, sizeof(*t));

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (int i = 0; i < n; i++)
		if (pthread_create(&t[i], &attr, thread_main, NULL) != 0)
			abort();
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	free(t);
}

static void wait_all(void)
{
	while (wait(NULL) > 0)
		;
}

static void mode_threads(void)
{
	run_threads(8);
}

/* Far more threads in the course of time than there are rows. */
static void mode_churn(void)
{
	for (int i = 0; i < 300; i++)
		run_threads(8);
}

/* More threads at once than there are rows: all wait at a gate, so none has ended. */
static pthread_barrier_t gate;

static void *gate_main(void *arg)
{
	(void)arg;
	count_many(1);
	pthread_barrier_wait(&gate);
	count_many(count);
	return NULL;
}

static void mode_crowd(void)
{
	enum { N = 1300 };
	pthread_attr_t attr;
	static pthread_t t[N];

	pthread_barrier_init(&gate, NULL, N);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (int i = 0; i < N; i++)
		if (pthread_create(&t[i], &attr, gate_main, NULL) != 0)
			abort();
	for (int i = 0; i < N; i++)
		pthread_join(t[i], NULL);
}

/* A program with threads that forks while they count; children have threads and children too. */
static void mode_fork(void)
{
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, thread_main, NULL);
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

/* Children made by the bare system call: libc knows nothing of them. */
static void mode_clone(void)
{
	for (int i = 0; i < 40; i++) {
		long pid = syscall(SYS_clone, (long)SIGCHLD, 0l, 0l, 0l, 0l);

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

static void on_signal(int sig)
{
	(void)sig;
	if (!handler_slot)
		handler_slot = new_slot();
	count_once(handler_slot);
}

/* Handlers that count, most of them inside of an increment; also before a thread's first. */
static void *signal_main(void *arg)
{
	(void)arg;
	raise(SIGUSR1);
	count_many(count);
	return NULL;
}

static void mode_signals(void)
{
	struct itimerval every = {{0, 200}, {0, 200}};
	struct sigaction sa;
	pthread_t t[4];

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_signal;
	sa.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, signal_main, NULL);
	for (int i = 0; i < 2000; i++) {
		pthread_kill(t[i % 4], SIGUSR1);
		usleep(50);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	memset(&every, 0, sizeof(every));
	setitimer(ITIMER_REAL, &every, NULL);
}

/* exec from a thread's process: the next program of the same name goes on. */
static void mode_exec(char **argv)
{
	char left[24];

	count_many(count);
	if (atoi(argv[4]) == 0)
		return;
	snprintf(left, sizeof(left), "%d", atoi(argv[4]) - 1);
	argv[4] = left;
	execv(argv[0], argv);
	abort();
}

/* Until somebody kills it: threads, and processes that come and go. */
static void *forever_main(void *arg)
{
	struct slot *s = new_slot();

	(void)arg;
	for (;;)
		count_once(s);
	return NULL;
}

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
	static const struct {
		const char *name;
		void (*run)(void);
	} modes[] = {
		{"threads", mode_threads},
		{"churn", mode_churn},
		{"crowd", mode_crowd},
		{"fork", mode_fork},
		{"clone", mode_clone},
		{"vfork", mode_vfork},
		{"vfork-first", mode_vfork_first},
		{"signals", mode_signals},
		{"forever", mode_forever},
	};
	int fd = argc > 3 ? open(argv[2], O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0 || ftruncate(fd, sizeof(struct oracle)) < 0)
		return 2;
	oracle = (struct oracle *)mmap(
		NULL, sizeof(struct oracle), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (oracle == MAP_FAILED)
		return 2;
	count = atol(argv[3]);
	if (strcmp(argv[1], "exec") == 0 && argc > 4) {
		mode_exec(argv);
		return 0;
	}
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(argv[1], modes[i].name) == 0) {
			modes[i].run();
			return 0;
		}
	return 2;
}
