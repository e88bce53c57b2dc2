/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that loads objects that count (tests/race/storm-so.c) and unloads them again, for
 * tests/race/test_exact_dl.c. The objects are copies of storm-so.so, beside the oracle: each copy is an
 * object of its own, though all look the same.
 */
#include "storm.h"

#include <dlfcn.h>

#ifdef __cplusplus
#define STORM_SO "storm-so-cxx.so"
extern "C" struct slot *storm_dl_slot(void);
#else
#define STORM_SO "storm-so.so"
struct slot *storm_dl_slot(void);
#endif

typedef void (*count_fn)(struct slot *, long);
typedef void (*touch_fn)(void);

static __thread struct slot *own_slot;
static __thread pid_t own_pid;

/* Of this thread of this process; the objects ask for it, too. */
struct slot *storm_dl_slot(void)
{
	if (own_pid != getpid()) {
		own_pid = getpid();
		own_slot = new_slot();
	}
	return own_slot;
}

/* The nth copy of the shared object. */
static void copy_name(char *out, size_t size, int n)
{
	snprintf(out, size, "%s.%d.so", storm_argv[2], n);
}

static void make_copy(const char *name, int n)
{
	static char from[300], to[300], block[65536];
	const char *slash = strrchr(storm_argv[0], '/');
	ssize_t got;
	int in, out;

	must(slash != NULL);
	snprintf(from, sizeof(from), "%.*s/%s", (int)(slash - storm_argv[0]), storm_argv[0], name);
	copy_name(to, sizeof(to), n);
	in = open(from, O_RDONLY | O_CLOEXEC);
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	must(in >= 0 && out >= 0);
	while ((got = read(in, block, sizeof(block))) > 0)
		must(write(out, block, (size_t)got) == got);
	must(got == 0);
	close(in);
	close(out);
}

/* Copies 0 to n - 1. */
static void make_copies(int n)
{
	for (int i = 0; i < n; i++)
		make_copy(STORM_SO, i);
}

/* dlsym's result is data; a union makes a function of it. */
static void *symbol(void *lib, const char *name)
{
	void *p = dlsym(lib, name);

	must(p != NULL);
	return p;
}

static count_fn counter_of(void *lib)
{
	union {
		void *data;
		count_fn fn;
	} u;

	u.data = symbol(lib, "storm_so_count");
	return u.fn;
}

static touch_fn touch_of(void *lib)
{
	union {
		void *data;
		touch_fn fn;
	} u;

	u.data = symbol(lib, "storm_so_touch");
	return u.fn;
}

static void *load(int n)
{
	char path[300];
	void *lib;

	copy_name(path, sizeof(path), n);
	lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		fprintf(stderr, "%s\n", dlerror());
	must(lib != NULL);
	return lib;
}

/* dlclose must unload: else the test would be of nothing. */
static void unload(void *lib, int n)
{
	char path[300];

	must(dlclose(lib) == 0);
	if (n < 0)
		return;
	copy_name(path, sizeof(path), n);
	must(dlopen(path, RTLD_NOW | RTLD_NOLOAD) == NULL);
}

/* Loads, counts (two times of three) and unloads, 1,000 times. */
static void cycle(int n, long times)
{
	for (long i = 0; i < times; i++) {
		void *lib = load(n);

		if (i % 3)
			counter_of(lib)(storm_dl_slot(), count);
		unload(lib, n);
	}
}

static void note_before(void)
{
	note_holdings(NOTE_MAPS_BEFORE, NOTE_FILES_BEFORE, NOTE_SEGMENTS_BEFORE);
}

static void note_after(void)
{
	note_holdings(NOTE_MAPS_AFTER, NOTE_FILES_AFTER, NOTE_SEGMENTS_AFTER);
}

static void mode_cycles(void)
{
	make_copies(1);
	cycle(0, 10);
	note_before();
	cycle(0, 1000 * storm_scale);
	note_after();
}

/* Threads that come and go; four at once, each with an object of its own. */
static void *cycling_main(void *arg)
{
	int *next = (int *)arg;

	cycle(__atomic_fetch_add(next, 1, __ATOMIC_RELAXED) % 4, 250 * storm_scale);
	return NULL;
}

static void mode_cycles_of_threads(void)
{
	int next = 0;

	make_copies(4);
	cycle(0, 10);
	note_before();
	run_all(4, cycling_main, &next);
	note_after();
}

/* All threads load and unload the same object: it goes when the last of them lets it go. */
static void *sharing_main(void *arg)
{
	for (long i = 0; i < 1000 * storm_scale; i++) {
		void *lib = load(0);

		counter_of(lib)(storm_dl_slot(), count);
		if (i % 7 == 0)
			sched_yield();
		unload(lib, -1);
	}
	return arg;
}

static void mode_shared(void)
{
	make_copies(1);
	note_before();
	run_all(4, sharing_main, NULL);
	note_after();
}

/*
 * Threads that live on from cycle to cycle, and count in each: what they remember of the object that was,
 * and what it remembers of them, must not meet the object that is.
 */
enum { POOL = 4 };
static pthread_barrier_t begin, end;
static count_fn pool_count;
static int pool_over;

static void *pool_main(void *arg)
{
	for (;;) {
		pthread_barrier_wait(&begin);
		if (pool_over)
			return arg;
		pool_count(storm_dl_slot(), count);
		pthread_barrier_wait(&end);
	}
}

/* Children of some cycles live on and count in the object that their parent has unloaded. */
static void pool_child(void *lib, int n)
{
	if (fork() != 0)
		return;
	for (int i = 0; i < 50; i++) {
		counter_of(lib)(storm_dl_slot(), count);
		usleep(200);
	}
	unload(lib, n);
	cycle(n, 20);
	_exit(0);
}

static void run_pool(int children)
{
	pthread_t t[POOL];

	make_copies(1);
	pthread_barrier_init(&begin, NULL, POOL + 1);
	pthread_barrier_init(&end, NULL, POOL + 1);
	for (int i = 0; i < POOL; i++)
		must(pthread_create(&t[i], NULL, pool_main, NULL) == 0);
	cycle(0, 10);
	note_before();
	for (long i = 0; i < 1000 * storm_scale; i++) {
		void *lib = load(0);

		pool_count = counter_of(lib);
		if (i % 3) {
			pthread_barrier_wait(&begin);
			pool_count(storm_dl_slot(), count);
			if (children && i % 100 == 1)
				pool_child(lib, 0);
			pthread_barrier_wait(&end);
		}
		unload(lib, 0);
	}
	note_after();
	pool_over = 1;
	pthread_barrier_wait(&begin);
	for (int i = 0; i < POOL; i++)
		pthread_join(t[i], NULL);
	wait_all();
}

static void mode_pool(void)
{
	run_pool(0);
}

static void mode_pool_forks(void)
{
	run_pool(1);
}

/* Objects of the same looks, loaded at once, more than any table of them would have places. */
enum { MANY = 150 };
static void *many[MANY];

static void *many_main(void *arg)
{
	for (int k = 0; k < 10; k++)
		for (int i = 0; i < MANY; i++)
			counter_of(many[i])(storm_dl_slot(), count);
	return arg;
}

static void mode_many(void)
{
	make_copies(MANY);
	for (int i = 0; i < MANY; i++)
		many[i] = load(i);
	run_all(3, many_main, NULL);
	if (fork() == 0) {
		run_all(2, many_main, NULL);
		for (int i = 0; i < MANY; i += 2)
			unload(many[i], i);
		_exit(0);
	}
	for (int i = 0; i < MANY; i += 3)
		unload(many[i], i);
	for (int i = 0; i < MANY; i += 3)
		many[i] = load(i);
	run_all(3, many_main, NULL);
	wait_all();
	for (int i = 0; i < MANY; i++)
		unload(many[i], i);
}

/* Parent and child both unload what they share, load it again and count, at the same time. */
static void mode_forks(void)
{
	make_copies(2);
	for (long i = 0; i < 100 * storm_scale; i++) {
		void *lib = load(0);

		counter_of(lib)(storm_dl_slot(), count);
		if (fork() == 0) {
			if (i % 2)
				counter_of(lib)(storm_dl_slot(), count);
			unload(lib, 0);
			cycle(0, 3);
			cycle(1, 3);
			_exit(0);
		}
		if (i % 3)
			counter_of(lib)(storm_dl_slot(), count);
		unload(lib, 0);
		cycle((int)(i % 2), 3);
		if (i % 4 == 0)
			wait_all();
	}
	wait_all();
}

/*
 * Signals whose handler counts in an object, while others come and go, and count. The handler's has static
 * TLS: glibc's dynamic one is not for signal handlers, whoever uses it (__tls_get_addr calls malloc and free).
 */
static count_fn handler_count;
static __thread struct slot *handler_slot;

static void on_signal(int sig)
{
	(void)sig;
	handler_count(handler_slot, 1);
}

static void *struck_main(void *arg)
{
	sigset_t alarms;

	handler_slot = new_slot();
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
	cycle(__atomic_fetch_add((int *)arg, 1, __ATOMIC_RELAXED), 200 * storm_scale);
	for (long i = 0; i < 100; i++)
		handler_count(storm_dl_slot(), count);
	pthread_sigmask(SIG_BLOCK, &alarms, NULL);
	return NULL;
}

static void mode_signals(void)
{
	struct itimerval every = {{0, 100}, {0, 100}};
	void *lib;
	struct sigaction sa;
	sigset_t alarms;
	int copy = 0;

	make_copies(2);
	make_copy("storm-so-ie.so", 2);
	lib = load(2);
	handler_count = counter_of(lib);
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarms, NULL);
	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_signal;
	sa.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	run_all(2, struck_main, &copy);
	memset(&every, 0, sizeof(every));
	setitimer(ITIMER_REAL, &every, NULL);
	unload(lib, -1);
}

/*
 * Each in a namespace of its own, with a libc of its own. There is no second round: a libc that is unloaded
 * does not give its static TLS back.
 */
static void mode_namespaces(void)
{
	enum { SPACES = 8 };
	void *lib[SPACES];
	char path[300];

	make_copies(1);
	copy_name(path, sizeof(path), 0);
	for (int i = 0; i < SPACES; i++) {
		lib[i] = dlmopen(LM_ID_NEWLM, path, RTLD_NOW);
		must(lib[i] != NULL);
	}
	for (int k = 0; k < 10; k++)
		for (int i = 0; i < SPACES; i++)
			counter_of(lib[i])(storm_dl_slot(), count * storm_scale);
	for (int i = 0; i < SPACES; i++)
		must(dlclose(lib[i]) == 0);
}

/* Thread-local objects of a shared object count when their thread ends, after it was let go. */
static void *touching_main(void *arg)
{
	void *lib = load(0);

	touch_of(lib)();
	counter_of(lib)(storm_dl_slot(), count);
	unload(lib, -1);
	return arg;
}

static void mode_thread_local(void)
{
	make_copies(1);
	for (long i = 0; i < 100 * storm_scale; i++)
		run_all(4, touching_main, NULL);
}

int main(int argc, char **argv)
{
	static const struct storm_mode modes[] = {
		{"cycles", mode_cycles},
		{"cycles-of-threads", mode_cycles_of_threads},
		{"shared", mode_shared},
		{"pool", mode_pool},
		{"pool-forks", mode_pool_forks},
		{"many", mode_many},
		{"forks", mode_forks},
		{"signals", mode_signals},
		{"namespaces", mode_namespaces},
		{"thread-local", mode_thread_local},
	};

	return storm_main(argc, argv, modes, sizeof(modes) / sizeof(modes[0]));
}
