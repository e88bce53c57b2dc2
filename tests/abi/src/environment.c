/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * environment MODE [ARGUMENT]: counts, changes what the process may do, and counts on.
 *
 *	plain           nothing is changed
 *	chroot DIR      after the first count
 *	setuid UID      after the first count, groups too
 *	seccomp         FILTER after the first count
 *	strict          threads that enter SECCOMP_MODE_STRICT after their first count, for each kind of
 *	                metric: one more system call is SIGKILL
 *
 * FILTER=PHASE:ERRNO:CALL,...: a seccomp filter that refuses these calls with this errno; "all" is all
 * of `calls` below. PHASE is "early", before tally's constructor, or "late", after main's first count.
 *
 * Threads, more than there are rows at first, count before and after, then a child, its child and their
 * threads. The oracle is a counter for each of them in memory that tally knows nothing of. If every
 * value is what the oracle says, the program prints "METRIC VALUE" for all that a segment must hold.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kinds.h"

enum { THREADS_MAX = 80, SLOTS = 512 };

struct oracle {
	uint64_t used;
	volatile uint64_t uses[SLOTS];
};

static struct oracle *oracle;
static uint64_t kind_uses[KINDS_N]; /* of one kind alone, beside those that `oracle` counts */
static uint64_t count = 1000;
static unsigned threads = THREADS_MAX;
static int forks = 1; /* children's counts can be seen: there is memory to share with them */
static pthread_barrier_t all_have_counted;

static volatile uint64_t *new_slot(void)
{
	uint64_t i = __atomic_fetch_add(&oracle->used, 1, __ATOMIC_RELAXED);

	if (i >= SLOTS)
		abort();
	return &oracle->uses[i];
}

static void use_many(volatile uint64_t *slot, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		kinds_use();
		*slot = *slot + 1;
	}
}

static void *thread_main(void *arg)
{
	volatile uint64_t *slot = new_slot();

	use_many(slot, 1);
	if (arg)
		pthread_barrier_wait((pthread_barrier_t *)arg);
	use_many(slot, count);
	return NULL;
}

/* All at once, so that each needs a row of its own. */
static void run_threads(unsigned n)
{
	pthread_t t[THREADS_MAX];
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	pthread_barrier_init(&all_have_counted, NULL, n);
	for (unsigned i = 0; i < n; i++)
		if (pthread_create(&t[i], &attr, thread_main, &all_have_counted) != 0)
			abort();
	for (unsigned i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

/*
 * The first count of a thread is that of its vfork child, on its memory and in its name; it goes on
 * itself while others start and want rows.
 */
static int others_are_done;

static void *vfork_first_main(void *arg)
{
	volatile uint64_t *slot = new_slot();
	int status = 0;
	pid_t pid = vfork();

	if (pid == 0) {
		use_many(slot, 1);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		abort();
	do
		use_many(slot, 100);
	while (!__atomic_load_n(&others_are_done, __ATOMIC_RELAXED));
	return arg;
}

static void wait_child(void)
{
	int status;

	if (wait(&status) < 0 || status != 0) {
		printf("a child ended with status %x\n", (unsigned)status);
		exit(1);
	}
}

/*
 * All count at the same time, on rows of their own if they have any. The grandchild counts, its parent
 * never did: whose memory it has is not known from the pid alone.
 */
static void run_children(volatile uint64_t *slot)
{
	if (fork() == 0) {
		if (fork() == 0) {
			use_many(new_slot(), count);
			run_threads(2);
			_exit(0);
		}
		wait_child();
		_exit(0);
	}
	if (fork() == 0) {
		use_many(new_slot(), count);
		run_threads(2);
		_exit(0);
	}
	use_many(slot, count);
	wait_child();
	wait_child();
}

static int report(void)
{
	uint64_t uses = 0;
	int failed = 0;

	for (uint64_t i = 0; i < oracle->used; i++)
		uses += oracle->uses[i];
	for (int i = 0; i < KINDS_N; i++) {
		uint64_t got = kinds[i].value(),
			 want = kinds_expected(&kinds[i], uses + kind_uses[i]);

		if (got != want) {
			printf("%s: %" PRIu64 ", not %" PRIu64 "\n", kinds[i].name, got, want);
			failed = 1;
		} else if (kinds[i].metric[0]) {
			printf("%s %" PRIu64 "\n", kinds[i].metric, want);
		}
	}
	return failed;
}

/* --- seccomp ----------------------------------------------------------------------------------- */

/* What tally calls. Where the C library needs the same call, a bit of an argument tells them apart. */
static const struct call {
	const char *name;
	uint32_t nr;
	int arg; /* -1: refused whatever its arguments are */
	uint32_t bits; /* of this argument, all of which must be set */
} calls[] = {
	{"openat", SYS_openat, -1, 0},
	{"close", SYS_close, -1, 0},
	{"statx", SYS_statx, -1, 0},
	{"fcntl", SYS_fcntl, -1, 0},
	{"fchmod", SYS_fchmod, -1, 0},
	{"fallocate", SYS_fallocate, -1, 0},
	{"pwrite64", SYS_pwrite64, -1, 0},
	{"pread64", SYS_pread64, -1, 0},
	{"read", SYS_read, -1, 0},
	{"ftruncate", SYS_ftruncate, -1, 0},
	{"prlimit64", SYS_prlimit64, -1, 0},
	{"renameat2", SYS_renameat2, -1, 0},
	{"linkat", SYS_linkat, -1, 0},
	{"unlinkat", SYS_unlinkat, -1, 0},
	{"mmap", SYS_mmap, 3, MAP_SHARED},
	{"munmap", SYS_munmap, -1, 0},
	{"madvise", SYS_madvise, -1, 0},
	{"futex", SYS_futex, 1, 4}, /* FUTEX_WAKE_OP, FUTEX_CMP_REQUEUE */
	{"getpid", SYS_getpid, -1, 0},
	{"gettid", SYS_gettid, -1, 0},
	{"getppid", SYS_getppid, -1, 0},
	{"geteuid", SYS_geteuid, -1, 0},
	{"tgkill", SYS_tgkill, -1, 0},
	{"kcmp", SYS_kcmp, -1, 0},
	{"prctl", SYS_prctl, -1, 0},
	{"getrandom", SYS_getrandom, -1, 0},
	{"clock_gettime", SYS_clock_gettime, -1, 0},
	{"sched_yield", SYS_sched_yield, -1, 0},
	{"nanosleep", SYS_nanosleep, -1, 0},
	{"rt_sigprocmask", SYS_rt_sigprocmask, -1, 0},
};

enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

/* Is the name one of the list's? */
static int listed(const char *list, const char *name)
{
	size_t len = strlen(name);

	if (strcmp(list, "all") == 0)
		return 1;
	for (const char *at = list; (at = strstr(at, name)); at += len)
		if ((at == list || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
			return 1;
	return 0;
}

static void put(struct sock_fprog *prog, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	prog->filter[prog->len++] = (struct sock_filter){code, yes, no, k};
}

static void put_load(struct sock_fprog *prog, size_t offset)
{
	put(prog, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void put_call(struct sock_fprog *prog, const struct call *c, uint32_t refusal)
{
	put_load(prog, offsetof(struct seccomp_data, nr));
	if (c->arg < 0) {
		put(prog, BPF_JMP | BPF_JEQ | BPF_K, c->nr, 0, 1);
	} else {
		put(prog, BPF_JMP | BPF_JEQ | BPF_K, c->nr, 0, 4);
		put_load(prog, offsetof(struct seccomp_data, args) + 8 * (size_t)c->arg);
		put(prog, BPF_ALU | BPF_AND | BPF_K, c->bits, 0, 0);
		put(prog, BPF_JMP | BPF_JEQ | BPF_K, c->bits, 0, 1);
	}
	put(prog, BPF_RET | BPF_K, refusal, 0, 0);
}

/* FILTER, if this is its phase. */
static void filter(const char *phase)
{
	static struct sock_filter filters[6 * CALLS + 1];
	struct sock_fprog prog = {0, filters};
	const char *spec = getenv("FILTER");
	char *list;
	uint32_t refusal;
	int n = 0;

	if (!spec || strncmp(spec, phase, strlen(phase)) != 0)
		return;
	refusal = SECCOMP_RET_ERRNO | (uint32_t)strtoul(spec + strlen(phase) + 1, &list, 10);
	list++;
	for (int i = 0; i < CALLS; i++)
		if (listed(list, calls[i].name)) {
			put_call(&prog, &calls[i], refusal);
			n++;
		}
	put(&prog, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	if (n == 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) != 0)
		_exit(3);
	/* Without shared memory each child has its own counts. */
	if (strcmp(phase, "early") == 0 && listed(list, "mmap"))
		forks = 0;
}

/* Before tally's constructor, whose priority is 101. */
static void first_of_all(void)
{
	oracle = (struct oracle *)mmap(
		NULL, sizeof(*oracle), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (oracle == MAP_FAILED)
		_exit(3);
	filter("early");
}

__attribute__((used, section(".init_array.00050"))) static void (*const first[])(void) = {
	first_of_all};

/* The first use is of one kind, those in the sandbox of all or of the same. */
struct strict {
	const struct kind *kind;
	int all;
	volatile uint64_t *slot;
};

static int strict_done;

/* Only read, write, exit of a thread and sigreturn are left. */
static void *strict_main(void *arg)
{
	struct strict *s = (struct strict *)arg;
	ptrdiff_t k = s->kind - kinds;

	s->kind->use();
	__atomic_fetch_add(&kind_uses[k], 1, __ATOMIC_RELAXED);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
		abort();
	if (s->all)
		use_many(s->slot, count);
	for (uint64_t i = 0; i < count; i++)
		s->kind->use();
	__atomic_fetch_add(&kind_uses[k], count, __ATOMIC_RELAXED);
	__atomic_fetch_add(&strict_done, 1, __ATOMIC_RELEASE);
	syscall(SYS_exit, 0);
	return NULL;
}

/* A child of vfork in a thread that never counted has no row to claim, nor one call more to make. */
static void *strict_vfork_main(void *arg)
{
	volatile uint64_t *slot = new_slot();
	int status = 0;
	pid_t pid = vfork();

	if (pid == 0) {
		use_many(slot, 1);
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
			_exit(3);
		use_many(slot, count);
		syscall(SYS_exit, 0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0 || *slot != count + 1) {
		printf("a child of vfork ended with status %x\n", (unsigned)status);
		exit(1);
	}
	use_many(slot, count);
	return arg;
}

static void run_strict(void)
{
	struct strict s[2 * KINDS_N];
	pthread_t t[2 * KINDS_N];

	for (int i = 0; i < 2 * KINDS_N; i++) {
		s[i].kind = &kinds[i / 2];
		s[i].all = i == 0; /* a counter was used first */
		s[i].slot = new_slot();
		if (pthread_create(&t[i], NULL, strict_main, &s[i]) != 0)
			abort();
	}
	/* A thread that was killed ends as quietly as one that was done; and musl can't join either. */
	for (int i = 0; i < 1000 && __atomic_load_n(&strict_done, __ATOMIC_ACQUIRE) < 2 * KINDS_N;
		i++)
		usleep(10000);
	if (__atomic_load_n(&strict_done, __ATOMIC_ACQUIRE) != 2 * KINDS_N) {
		puts("a thread made a system call while it counted");
		exit(1);
	}
	if (pthread_create(&t[0], NULL, strict_vfork_main, NULL) != 0)
		abort();
	pthread_join(t[0], NULL);
}

static void change(const char *mode, const char *argument)
{
	id_t id = (id_t)strtoul(argument, NULL, 10);

	if (strcmp(mode, "chroot") == 0 && (chroot(argument) != 0 || chdir("/") != 0))
		exit(3);
	if (strcmp(mode, "setuid") == 0 &&
		(setgroups(0, NULL) != 0 || setgid(id) != 0 || setuid(id) != 0 || setuid(0) == 0))
		exit(3);
	if (strcmp(mode, "seccomp") == 0)
		filter("late");
	if (strcmp(mode, "strict") == 0)
		run_strict();
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "plain";
	pthread_t vfork_first;
	volatile uint64_t *slot = new_slot();

	if (getenv("COUNT"))
		count = strtoull(getenv("COUNT"), NULL, 10);
	if (getenv("THREADS") && atoi(getenv("THREADS")) < THREADS_MAX)
		threads = (unsigned)atoi(getenv("THREADS"));
	use_many(slot, 1);
	if (strcmp(mode, "plain") != 0)
		run_threads(2);
	change(mode, argc > 2 ? argv[2] : "");
	use_many(slot, count);
	if (pthread_create(&vfork_first, NULL, vfork_first_main, NULL) != 0)
		abort();
	run_threads(threads);
	__atomic_store_n(&others_are_done, 1, __ATOMIC_RELAXED);
	pthread_join(vfork_first, NULL);
	if (forks)
		run_children(slot);
	use_many(slot, count);
	return report();
}
