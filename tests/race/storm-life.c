/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Increments before main() and after it, for tests/race/test_exact_life.c: in functions that run before any
 * constructor, in constructors that run before tally's, in the destructors of everything that has some.
 *
 * A function of which nobody can tell whether it ran proves nothing: each leaves its bit in a note.
 */
#include "storm.h"

#include "storm-life.h"

#define EARLY_COUNT 100

/* Counts with a slot of its own, whoever calls it. */
static void count_at(enum place place)
{
	must(oracle != NULL);
	count_many(EARLY_COUNT);
	__atomic_fetch_or(&oracle->notes[NOTE_PROGRESS], (uint64_t)1 << place, __ATOMIC_RELAXED);
}

static void *early_main(void *arg)
{
	count_at(AT_EARLY_THREAD);
	return arg;
}

static void open_oracle(int argc, char **argv)
{
	if (argc < 4 || storm_open(argv) != 0)
		_exit(2);
}

/* Before all constructors, those of libraries too: libc has not set all of its variables yet. */
static void preinit(int argc, char **argv, char **envp)
{
	(void)envp;
	open_oracle(argc, argv);
	if (strcmp(argv[1], "preinit") == 0)
		count_at(AT_PREINIT);
}
typedef void (*preinit_fn)(int, char **, char **);
__attribute__((section(".preinit_array"), used)) static preinit_fn storm_preinit = preinit;

/* Numbers up to 100 are the implementation's; tally's constructor has 101. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wprio-ctor-dtor"
__attribute__((constructor(100))) static void first_constructor(int argc, char **argv, char **envp)
{
	(void)envp;
	open_oracle(argc, argv);
	count_at(AT_FIRST_CONSTRUCTOR);
	run_all(4, early_main, NULL);
	if (fork() == 0) {
		count_at(AT_EARLY_CHILD);
		_exit(0);
	}
	wait_all();
}

__attribute__((destructor(100))) static void last_destructor(void)
{
	count_at(AT_LAST_DESTRUCTOR);
}
#pragma GCC diagnostic pop

__attribute__((constructor(101))) static void equal_constructor(void)
{
	count_at(AT_EQUAL_CONSTRUCTOR);
}

__attribute__((constructor)) static void constructor(void)
{
	count_at(AT_CONSTRUCTOR);
}

__attribute__((destructor)) static void destructor(void)
{
	count_at(AT_DESTRUCTOR);
}

static void at_exit(void)
{
	count_at(AT_EXIT);
}

static void at_exit_status(int status, void *arg)
{
	(void)status;
	(void)arg;
	count_at(AT_ON_EXIT);
}

static void at_quick(void)
{
	count_at(AT_QUICK_EXIT);
}

#ifdef __cplusplus
struct counting {
	enum place constructed, destroyed;
	counting(enum place c, enum place d) : constructed(c), destroyed(d)
	{
		count_at(constructed);
	}
	~counting()
	{
		count_at(destroyed);
	}
	int touch() const
	{
		return 1;
	}
};
static counting global(AT_STATIC_CONSTRUCTOR, AT_STATIC_DESTRUCTOR);
static thread_local counting local(AT_THREAD_LOCAL_CONSTRUCTOR, AT_THREAD_LOCAL_DESTRUCTOR);
#endif

/* Keys: one whose destructor counts, one that sets itself again, so that it runs in later rounds too. */
static pthread_key_t key, key_again;

static void at_key(void *arg)
{
	(void)arg;
	count_at(AT_KEY);
}

static void at_key_again(void *arg)
{
	uintptr_t left = (uintptr_t)arg;

	count_at(AT_KEY_AGAIN);
	pthread_setspecific(key_again, (void *)(left - 1));
}

/* Odd threads count for the first time when they end. */
static void *dying_main(void *arg)
{
	static unsigned n;
	unsigned i = __atomic_fetch_add(&n, 1, __ATOMIC_RELAXED);

	pthread_setspecific(key, &key);
	pthread_setspecific(key_again, (void *)(uintptr_t)(i % 4));
#ifdef __cplusplus
	must(local.touch());
#endif
	if (i % 2 == 0)
		count_many(count);
	if (i % 3 == 0)
		pthread_exit(NULL);
	return arg;
}

static void run_dying(void)
{
	must(pthread_key_create(&key, at_key) == 0);
	must(pthread_key_create(&key_again, at_key_again) == 0);
	count_at(AT_MAIN);
	for (long i = 0; i < 50 * storm_scale; i++)
		run_all(8, dying_main, NULL);
#ifdef __cplusplus
	must(local.touch()); /* the first thread's */
#endif
	atexit(at_exit);
	on_exit(at_exit_status, NULL);
	at_quick_exit(at_quick);
}

static void mode_return(void)
{
	run_dying();
}

static void *exit_main(void *arg)
{
	count_many(count);
	exit(0);
	return arg;
}

/* exit() is called by a thread that is not the first, which waits. */
static void mode_exit_thread(void)
{
	run_dying();
	run_all(1, exit_main, NULL);
}

static void mode_quick_exit(void)
{
	run_dying();
	quick_exit(0);
}

/* A child goes through all of its parent's exit handlers, and the parent goes through them too. */
static void mode_child_exits(void)
{
	run_dying();
	for (int i = 0; i < 10; i++)
		if (fork() == 0)
			exit(0);
	wait_all();
}

static void mode_thread_last(void)
{
	run_dying();
	pthread_exit(NULL);
}

int main(int argc, char **argv)
{
	static const struct storm_mode modes[] = {
		{"return", mode_return},
		{"preinit", mode_return},
		{"exit-thread", mode_exit_thread},
		{"quick-exit", mode_quick_exit},
		{"child-exits", mode_child_exits},
		{"thread-last", mode_thread_last},
	};

	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(argv[1], modes[i].name) == 0) {
			modes[i].run();
			return 0;
		}
	return 2;
}
