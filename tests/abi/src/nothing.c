/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nothing [LIBRARY [lazy]]: counts, and prints what a process can see of itself: threads, descriptors, signals,
 * limits, allocations. With NO_TALLY it must print the same.
 *
 * malloc is the program's own. It counts its calls; and while it is "busy", as an interrupted one is, a
 * signal handler counts for the first time in its thread: a call from there is what kills real programs.
 *
 * With a LIBRARY (tests/abi/src/several.c, part 4), loaded by dlopen, all count in it. "lazy" knows that
 * the C library allocates thread-local memory of such an object at a thread's first use: malloc is never
 * busy then.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kinds.h"

/* --- an allocator that never frees --------------------------------------------------------------- */

static _Alignas(64) char arena[16 << 20];
static size_t arena_used;
static unsigned long allocations;
static __thread int busy;

static void *allocate(size_t align, size_t size)
{
	size_t at = __atomic_fetch_add(&arena_used, size + align + 16, __ATOMIC_RELAXED);

	__atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
	if (busy) {
		static const char text[] =
			"malloc was called in a handler that had interrupted it\n";

		_exit(write(1, text, sizeof(text) - 1) > 0 ? 4 : 5);
	}
	if (at + size + align + 16 > sizeof(arena))
		abort();
	at = (at + 16 + align - 1) / align * align;
	memcpy(arena + at - sizeof(size), &size, sizeof(size));
	return arena + at;
}

void *malloc(size_t size)
{
	return allocate(16, size);
}

void *calloc(size_t n, size_t size)
{
	return allocate(16, n * size); /* the arena is zero */
}

void *realloc(void *p, size_t size)
{
	void *q = allocate(16, size);
	size_t had = 0;

	if (p)
		memcpy(&had, (char *)p - sizeof(had), sizeof(had));
	if (p)
		memcpy(q, p, had < size ? had : size);
	return q;
}

void free(void *p)
{
	(void)p;
}

void *memalign(size_t align, size_t size)
{
	return allocate(align, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	return allocate(align, size);
}

int posix_memalign(void **ret, size_t align, size_t size)
{
	*ret = allocate(align, size);
	return 0;
}

/* --- counting -------------------------------------------------------------------------------------- */

static void count_here(void)
{
	kinds_use();
}

static void (*count)(void) = count_here;
static void (*library_use)(int n);

static void count_in_library(void)
{
	library_use(1);
}

static unsigned long before_all, in_attach, in_threads, in_handlers;

static void first_of_all(void)
{
	before_all = allocations;
}

__attribute__((used, section(".init_array.00050"))) static void (*const first[])(void) = {
	first_of_all};

static void on_signal(int sig)
{
	unsigned long before = allocations;

	(void)sig;
	errno = 4321;
	count();
	if (errno != 4321)
		_exit(6);
	__atomic_fetch_add(&in_handlers, allocations - before, __ATOMIC_RELAXED);
}

static void *thread_main(void *arg)
{
	unsigned long before = allocations;

	busy = arg && *(int *)arg == 0;
	if (arg)
		raise(SIGUSR1);
	for (int i = 0; i < 1000; i++)
		count();
	busy = 0;
	in_threads += allocations - before;
	return NULL;
}

static void run_thread(void *(*run)(void *), void *arg)
{
	pthread_t t;

	if (pthread_create(&t, NULL, run, arg) != 0)
		abort();
	pthread_join(t, NULL);
}

/* --- what can be seen ------------------------------------------------------------------------------ */

static void print_folder(const char *path)
{
	struct dirent *e;
	DIR *d = opendir(path);
	int n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	printf("%s: %d entries\n", path, n);
	if (d)
		closedir(d);
}

static void print_lines(const char *path, const char *wanted)
{
	FILE *f = fopen(path, "re");
	char line[512], name[64];

	while (f && fgets(line, sizeof(line), f))
		if (!wanted || (sscanf(line, "%63[^:]", name) == 1 && strstr(wanted, name)))
			printf("%s", line);
	if (f)
		fclose(f);
}

static void print_signals(void)
{
	struct sigaction sa;

	for (int i = 1; i < 65; i++)
		if (sigaction(i, NULL, &sa) == 0 && sa.sa_handler != SIG_DFL)
			printf("signal %d has a handler\n", i);
}

int main(int argc, char **argv)
{
	struct sigaction sa;
	unsigned long before;
	int lazy = argc > 2;
	void *library;

	in_attach = allocations - before_all; /* also of constructors that are not tally's */
	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_signal;
	sigaction(SIGUSR1, &sa, NULL);
	if (argc > 1) {
		library = dlopen(argv[1], RTLD_NOW);
		*(void **)&library_use = library ? dlsym(library, "several_use_4") : NULL;
		if (!library_use)
			return 3;
		count = count_in_library;
	}
	errno = 1234;
	before = allocations;
	for (int i = 0; i < 1000; i++)
		count();
	printf("errno %d, allocations at start %lu, in main %lu\n", errno, in_attach,
		allocations - before);
	run_thread(thread_main, NULL);
	run_thread(thread_main, &lazy);
	printf("in threads %lu, in handlers %lu\n", in_threads, in_handlers);
	print_folder("/proc/self/task");
	print_folder("/proc/self/fd");
	print_signals();
	print_lines("/proc/self/limits", NULL);
	print_lines("/proc/self/timers", NULL);
	print_lines("/proc/self/status", "Umask Threads SigPnd ShdPnd SigBlk SigIgn SigCgt VmLck "
					 "VmPin Seccomp NoNewPrivs CapEff");
	return 0;
}
