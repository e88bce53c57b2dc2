/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tally costs before the first count is there: a thread's first TALLY_INC, and programs that are
 * started with counters (start.c), beside the same program without. Lines are as loops.h says.
 */
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tally/tally.h>

enum { THREADS = 300, STARTS = 100 };

TALLY_COUNTER(first, "bench_first", "Counted once by each thread");

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void print(const char *name, const char *what, const double *us, int n)
{
	printf("%s%s\tus\t", name, what);
	for (int i = 0; i < n; i++)
		printf("%.6g%c", us[i], i + 1 < n ? ' ' : '\n');
}

/* --- a thread's first count --------------------------------------------------------------------- */

static pthread_barrier_t all_counted;

static void *first_count(void *us)
{
	double begin = now_us();

	TALLY_INC(first);
	*(double *)us = now_us() - begin;
	return NULL;
}

static void *first_count_and_stay(void *us)
{
	first_count(us);
	pthread_barrier_wait(&all_counted);
	return NULL;
}

/* One thread is started after the other; they end at once, or when all have counted. */
static void first_counts(const char *name, bool stay)
{
	static double us[THREADS];
	static pthread_t t[THREADS];

	pthread_barrier_init(&all_counted, NULL, THREADS);
	for (int i = 0; i < THREADS; i++) {
		if (pthread_create(
			    &t[i], NULL, stay ? first_count_and_stay : first_count, &us[i])) {
			perror("pthread_create");
			exit(1);
		}
		if (!stay)
			pthread_join(t[i], NULL);
	}
	for (int i = 0; stay && i < THREADS; i++)
		pthread_join(t[i], NULL);
	print(name, "", us, THREADS);
}

/* --- programs ------------------------------------------------------------------------------------- */

extern char **environ;
static char dir[256];

enum segment { SEGMENT_NEW, SEGMENT_ADOPTED, SEGMENT_NONE };

static const struct start {
	const char *name, *program;
	enum segment segment; /* found by the program */
} starts[] = {
	{"the same without tally", "start",
		SEGMENT_NONE}, /* first: its median is subtracted from the others */
	{"0 counters", "start-0", SEGMENT_NEW},
	{"100 counters, new segment", "start-100", SEGMENT_NEW},
	{"1,000 counters, new segment", "start-1000", SEGMENT_NEW},
	{"1,000 counters, last run's segment", "start-1000", SEGMENT_ADOPTED},
	{"1,000 counters, no directory", "start-1000", SEGMENT_NONE},
};
enum { NSTARTS = sizeof(starts) / sizeof(starts[0]) };

/* us from before the start to after the end; what it said that attaching took. */
static double start_program(const char *program, char *arg, double *attach_us)
{
	char path[512], said[32] = "", *argv[] = {path, arg, NULL};
	int status, out[2];
	ssize_t n;
	double us;
	pid_t pid;
	posix_spawn_file_actions_t actions;

	snprintf(path, sizeof(path), "%s/tests/bench/%s", getenv("B"), program);
	if (pipe(out)) {
		perror("pipe");
		exit(1);
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	us = now_us();
	if (posix_spawn(&pid, path, &actions, NULL, argv, environ) ||
		waitpid(pid, &status, 0) != pid || status) {
		fprintf(stderr, "%s did not run\n", path);
		exit(1);
	}
	us = now_us() - us;
	posix_spawn_file_actions_destroy(&actions);
	close(out[1]);
	n = read(out[0], said, sizeof(said) - 1);
	close(out[0]);
	if (n > 0 && attach_us)
		*attach_us = strtod(said, NULL) / 1e3;
	return us;
}

static void empty_dir(void)
{
	char command[300];

	snprintf(command, sizeof(command), "rm -f %s/*", dir);
	if (system(command))
		exit(1);
}

static void remove_dir(void)
{
	empty_dir();
	rmdir(dir);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* All in turn, so that what disturbs one disturbs all. A run of its own is asked how long attaching took. */
static void measure_starts(void)
{
	static double us[NSTARTS][STARTS], attach[NSTARTS][STARTS];

	snprintf(dir, sizeof(dir), "%s/start-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(dir)) {
		perror(dir);
		exit(1);
	}
	atexit(remove_dir);
	for (int round = 0; round < STARTS; round++)
		for (int i = 0; i < NSTARTS; i++) {
			const struct start *s = &starts[i];

			setenv("TALLY_DIR", s->segment == SEGMENT_NONE ? "/nonexistent" : dir, 1);
			if (s->segment == SEGMENT_NEW)
				empty_dir();
			us[i][round] = start_program(s->program, NULL, NULL);
			if (s->segment == SEGMENT_NEW)
				empty_dir();
			start_program(s->program, "attach", &attach[i][round]);
		}
	qsort(us[0], STARTS, sizeof(us[0][0]), compare);
	print("start to end of a program, ", starts[0].name, us[0], STARTS);
	for (int i = 1; i < NSTARTS; i++) {
		for (int round = 0; round < STARTS; round++)
			us[i][round] -= us[0][STARTS / 2];
		print("start to end of a program, above that: ", starts[i].name, us[i], STARTS);
	}
	for (int i = 2; i < NSTARTS; i++)
		print("attaching: ", starts[i].name, attach[i], STARTS);
}

/* One CPU for all, children too, and no one else there if that is permitted. */
static void pin(void)
{
	struct sched_param realtime = {.sched_priority = 1};
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	sched_setscheduler(0, SCHED_FIFO, &realtime);
}

int main(void)
{
	setenv("B", "build", 0);
	pin();
	first_counts("first TALLY_INC of a thread, others have ended", false);
	first_counts("first TALLY_INC of a thread, others go on", true);
	measure_starts();
	return 0;
}
