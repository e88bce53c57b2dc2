/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the storm programs share: opening the oracle, counting with it, and the table of modes. They are
 * compiled as applications are, strict C11 and C++17, with nothing of ours but the header that is tested.
 *
 *	storm-NAME MODE ORACLE COUNT [MORE]
 *
 * COUNT says how often a thread counts, and TALLY_STORM_SCALE (1 if it is not set) how many times more of
 * everything a long run wants: storm_scale is for counts or for rounds, not for both.
 */
#ifndef TALLY_TESTS_RACE_STORM_H
#define TALLY_TESTS_RACE_STORM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
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

#include "oracle.h"

TALLY_COUNTER(storm, "storm", "Increments of the storm");
TALLY_COUNTER_UNIT(storm_bytes, "storm_bytes", "bytes", "Seven for each increment");

struct storm_mode {
	const char *name;
	void (*run)(void);
};

static struct oracle *oracle;
static long count, storm_scale = 1;
static char **storm_argv;

static inline struct slot *new_slot(void)
{
	uint64_t i = __atomic_fetch_add(&oracle->used, 1, __ATOMIC_RELAXED);

	if (i >= ORACLE_SLOTS)
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

static inline void count_many(long n)
{
	struct slot *s = new_slot();

	for (long i = 0; i < n; i++)
		count_once(s);
}

/* What must not fail here: the storm ends with a signal, and its test says so. */
static inline void must(int good)
{
	if (!good)
		abort();
}

static inline void wait_all(void)
{
	while (wait(NULL) > 0)
		;
}

/* Starts n threads with small stacks and waits for all. */
static inline void run_all(int n, void *(*run)(void *), void *arg)
{
	pthread_t *t = (pthread_t *)calloc((size_t)n, sizeof(*t));
	pthread_attr_t attr;

	must(t != NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (int i = 0; i < n; i++)
		must(pthread_create(&t[i], &attr, run, arg) == 0);
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	free(t);
}

static inline void *thread_main(void *arg)
{
	(void)arg;
	count_many(count);
	return NULL;
}

static inline void run_threads(int n)
{
	run_all(n, thread_main, NULL);
}

/* Entries of a directory, without those that begin with a dot; -1 if it can't be read. */
static inline long count_entries(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	long n = 0;

	if (!d)
		return -1;
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/* What the process holds now: notes[maps], notes[files], notes[segments] begin at maps, which differs. */
static inline void note_holdings(int maps, int files, int segments)
{
	FILE *f = fopen("/proc/self/maps", "r");
	uint64_t lines = 0;
	int c;

	must(f != NULL);
	while ((c = getc(f)) != EOF)
		lines += c == '\n';
	fclose(f);
	oracle->notes[maps] = lines;
	oracle->notes[files] = (uint64_t)count_entries("/proc/self/fd");
	oracle->notes[segments] = (uint64_t)count_entries(getenv("TALLY_DIR"));
}

/* 0, or 2 if the oracle cannot be had. */
static inline int storm_open(char **argv)
{
	const char *scale = getenv("TALLY_STORM_SCALE");
	int fd = open(argv[2], O_RDWR | O_CLOEXEC);
	void *p;

	if (fd < 0 || ftruncate(fd, sizeof(struct oracle)) < 0)
		return 2;
	p = mmap(NULL, sizeof(struct oracle), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return 2;
	oracle = (struct oracle *)p;
	count = atol(argv[3]);
	if (scale && atol(scale) > 1)
		storm_scale = atol(scale);
	storm_argv = argv;
	return 0;
}

static inline int storm_main(int argc, char **argv, const struct storm_mode *modes, size_t n)
{
	if (argc < 4 || storm_open(argv) != 0)
		return 2;
	for (size_t i = 0; i < n; i++)
		if (strcmp(argv[1], modes[i].name) == 0) {
			modes[i].run();
			return 0;
		}
	return 2;
}

#endif
