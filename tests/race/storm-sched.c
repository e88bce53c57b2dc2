/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that count while the scheduler does its worst to them, for tests/race/test_exact_sched.c: moved
 * from CPU to CPU, put into cpusets, stopped for long.
 */
#include "storm.h"

/* Counts until somebody has done enough to us. */
static void count_until_enough(void)
{
	struct slot *s = new_slot();

	while (!oracle->notes[NOTE_ENOUGH])
		for (long i = 0; i < count; i++)
			count_once(s);
}

static volatile int targets[3];

static void *moved_main(void *arg)
{
	volatile int *me = (volatile int *)arg;

	*me = (int)syscall(SYS_gettid);
	count_until_enough();
	return NULL;
}

/* The nth CPU of those that we may run on; n goes round. */
static void nth_cpu(const cpu_set_t *all, unsigned n, cpu_set_t *one)
{
	unsigned left = n % (unsigned)CPU_COUNT(all);

	CPU_ZERO(one);
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, all) && left-- == 0)
			CPU_SET(cpu, one);
}

/* All threads are moved to another CPU as fast as can be. */
static void mode_migrate(void)
{
	uint64_t moves = 0;
	cpu_set_t all, one;
	pthread_t t[3];

	must(sched_getaffinity(0, sizeof(all), &all) == 0);
	for (int i = 0; i < 3; i++)
		must(pthread_create(&t[i], NULL, moved_main, (void *)(uintptr_t)&targets[i]) == 0);
	for (unsigned i = 0; moves < 1000 * (uint64_t)storm_scale; i++) {
		nth_cpu(&all, i / 3, &one);
		if (targets[i % 3])
			moves += sched_setaffinity(targets[i % 3], sizeof(one), &one) == 0;
	}
	oracle->notes[NOTE_ENOUGH] = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
}

/* Threads move themselves, and fork where they are; the children may run everywhere again. */
static void *wandering_main(void *arg)
{
	const cpu_set_t *all = (const cpu_set_t *)arg;
	struct slot *s = new_slot();
	cpu_set_t one;

	for (unsigned i = 0; i < 400 * (unsigned)storm_scale; i++) {
		nth_cpu(all, i, &one);
		must(sched_setaffinity(0, sizeof(one), &one) == 0);
		for (long k = 0; k < count; k++)
			count_once(s);
		if (i % 10 == 0 && fork() == 0) {
			count_many(count);
			sched_setaffinity(0, sizeof(*all), all);
			count_many(count);
			_exit(0);
		}
	}
	return NULL;
}

static void mode_wander(void)
{
	cpu_set_t all;

	must(sched_getaffinity(0, sizeof(all), &all) == 0);
	run_all(4, wandering_main, &all);
	wait_all();
}

/* Two processes with two threads each: the test moves them from cpuset to cpuset, or stops them. */
static void *pair_main(void *arg)
{
	count_until_enough();
	return arg;
}

static void mode_pair(void)
{
	pid_t pid = fork();

	must(pid >= 0);
	if (pid > 0)
		oracle->notes[NOTE_PROGRESS] = (uint64_t)pid;
	run_all(2, pair_main, NULL);
	if (pid == 0)
		_exit(0);
	wait_all();
}

/*
 * A child is stopped, whatever its threads are doing, the first rounds as early as can be; meanwhile its
 * family starts more threads than there are rows. It lives, so its rows are its own: when it goes on, all
 * count at the same time.
 */
enum { CROWD = 1100 };
static pthread_barrier_t gate, go;

static void *gate_main(void *arg)
{
	struct slot *s = new_slot();

	count_once(s);
	pthread_barrier_wait(&gate);
	pthread_barrier_wait(&go);
	for (long i = 0; i < count / 10; i++)
		count_once(s);
	return arg;
}

static void *crowd_main(void *arg)
{
	run_all(CROWD, gate_main, NULL);
	return arg;
}

static void *churning_main(void *arg)
{
	struct slot *s = new_slot();

	for (long i = 0; i < 10; i++)
		count_once(s);
	oracle->notes[NOTE_PROGRESS] = oracle->notes[NOTE_PROGRESS] + 1;
	for (long i = 0; i < count; i++)
		count_once(s);
	return arg;
}

static void mode_stopped(void)
{
	pthread_barrier_init(&gate, NULL, CROWD + 1);
	pthread_barrier_init(&go, NULL, CROWD + 1);
	for (long round = 0; round < 8 * storm_scale; round++) {
		uint64_t before = oracle->notes[NOTE_PROGRESS];
		pthread_t crowd;
		int status;
		pid_t pid = fork();

		must(pid >= 0);
		if (pid == 0) {
			do
				run_all(3, churning_main, NULL);
			while (oracle->notes[NOTE_ENOUGH] <= (uint64_t)round);
			_exit(0);
		}
		while (round % 2 && oracle->notes[NOTE_PROGRESS] == before)
			sched_yield();
		usleep((useconds_t)(100 * round % 2000));
		kill(pid, SIGSTOP);
		must(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
		must(pthread_create(&crowd, NULL, crowd_main, NULL) == 0);
		pthread_barrier_wait(&gate);
		for (int i = 0; i < 20; i++)
			run_threads(8);
		if (round == 0)
			sleep(1);
		kill(pid, SIGCONT);
		pthread_barrier_wait(&go);
		pthread_join(crowd, NULL);
		oracle->notes[NOTE_ENOUGH] = (uint64_t)round + 1;
		must(waitpid(pid, &status, 0) == pid && status == 0);
	}
}

int main(int argc, char **argv)
{
	static const struct storm_mode modes[] = {
		{"migrate", mode_migrate},
		{"wander", mode_wander},
		{"pair", mode_pair},
		{"stopped", mode_stopped},
	};

	return storm_main(argc, argv, modes, sizeof(modes) / sizeof(modes[0]));
}
