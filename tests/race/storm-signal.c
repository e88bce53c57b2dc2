/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signal handlers that count while what they interrupt counts, for tests/race/test_exact_signal.c.
 *
 * A handler has a slot of its own for each signal and thread, as two of them may be inside each other.
 */
#include "storm.h"

#include <setjmp.h>

static __thread struct slot *handler_slots[2]; /* SIGALRM and SIGUSR1, SIGUSR2 */

static void on_signal(int sig)
{
	struct slot **s = &handler_slots[sig == SIGUSR2];

	if (!*s)
		*s = new_slot();
	count_once(*s);
}

/* USR1 and ALRM keep each other out, as they share a slot; USR2 comes in between. */
static void handle(void (*handler)(int))
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = handler;
	sa.sa_flags = SA_RESTART;
	sigaddset(&sa.sa_mask, SIGUSR1);
	sigaddset(&sa.sa_mask, SIGALRM);
	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
}

static void set_timer(long us)
{
	struct itimerval every;

	memset(&every, 0, sizeof(every));
	every.it_interval.tv_usec = us;
	every.it_value.tv_usec = us;
	setitimer(ITIMER_REAL, &every, NULL);
}

/* Handlers that count, most of them inside of an increment; also before a thread's first. */
static void *signal_main(void *arg)
{
	raise(SIGUSR1);
	count_many(count);
	return arg;
}

static void mode_signals(void)
{
	pthread_t t[4];

	count *= storm_scale;
	handle(on_signal);
	set_timer(200);
	for (int i = 0; i < 4; i++)
		must(pthread_create(&t[i], NULL, signal_main, NULL) == 0);
	for (long i = 0; i < 2000 * storm_scale; i++) {
		pthread_kill(t[i % 4], i & 4 ? SIGUSR1 : SIGUSR2);
		usleep(50);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	set_timer(0);
}

/* The threads that are alive now, by their kernel's ids, for who showers them with signals. */
static volatile int targets[8], stop;

static void *shower_main(void *arg)
{
	for (unsigned i = 0; !stop; i++)
		if (targets[i % 8])
			syscall(SYS_tgkill, getpid(), targets[i % 8],
				i / 8 % 2 ? SIGUSR1 : SIGUSR2);
	return arg;
}

/* Short threads, struck from their first instruction on: most while they attach or claim a row. */
static void *short_main(void *arg)
{
	volatile int *me = (volatile int *)arg;

	*me = (int)syscall(SYS_gettid);
	count_many(count);
	*me = 0;
	return NULL;
}

static void mode_first(void)
{
	pthread_t shower[2];

	handle(on_signal);
	for (int i = 0; i < 2; i++)
		must(pthread_create(&shower[i], NULL, shower_main, NULL) == 0);
	for (long i = 0; i < 500 * storm_scale; i++) {
		pthread_t t[8];

		for (int k = 0; k < 8; k++)
			must(pthread_create(
				     &t[k], NULL, short_main, (void *)(uintptr_t)&targets[k]) == 0);
		for (int k = 0; k < 8; k++)
			pthread_join(t[k], NULL);
	}
	stop = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(shower[i], NULL);
}

/* The same for the first increment of forked children, which also draw their generation. */
static void mode_first_of_children(void)
{
	pthread_t shower;

	handle(on_signal);
	must(pthread_create(&shower, NULL, shower_main, NULL) == 0);
	set_timer(50);
	for (long i = 0; i < 300 * storm_scale; i++) {
		pid_t pid = fork();

		must(pid >= 0);
		if (pid == 0) {
			handler_slots[0] = handler_slots[1] = NULL;
			set_timer(30);
			count_many(count);
			_exit(0);
		}
		targets[0] = (int)syscall(SYS_gettid);
		kill(pid, SIGUSR2);
		count_many(count / 10);
		kill(pid, SIGUSR2);
		targets[0] = 0;
		while (waitpid(pid, NULL, 0) < 0)
			must(errno == EINTR);
	}
	set_timer(0);
	stop = 1;
	pthread_join(shower, NULL);
}

/* Handlers that leave by siglongjmp: what they interrupted never returns, yet may have counted. */
static __thread sigjmp_buf back;
static __thread volatile sig_atomic_t may_jump;

static void on_jump(int sig)
{
	on_signal(sig);
	if (may_jump) {
		may_jump = 0;
		siglongjmp(back, 1);
	}
}

static void *jump_main(void *arg)
{
	volatile long jumps = 0, left = 10;
	struct slot *s;

	/* a new slot after each jump: the old one's last increment stays in the air */
	if (sigsetjmp(back, 1))
		jumps = jumps + 1;
	s = new_slot();
	may_jump = 1;
	while (left > 0) {
		for (long i = 0; i < count; i++)
			count_once(s);
		left = left - 1;
	}
	may_jump = 0;
	return arg;
}

static void mode_jumps(void)
{
	handle(on_jump);
	for (long i = 0; i < 20 * storm_scale; i++) {
		pthread_t t[4];

		for (int k = 0; k < 4; k++)
			must(pthread_create(&t[k], NULL, jump_main, NULL) == 0);
		for (int k = 0; k < 400; k++) {
			pthread_kill(t[k % 4], k & 4 ? SIGUSR1 : SIGUSR2);
			if (i % 2)
				usleep(20);
		}
		for (int k = 0; k < 4; k++)
			pthread_join(t[k], NULL);
	}
}

/* Handlers that fork: the child counts and ends there, the interrupted code goes on in the parent only. */
static void on_fork(int sig)
{
	int error = errno;

	on_signal(sig);
	if (_Fork() == 0) {
		struct slot *s = new_slot();

		for (int i = 0; i < 100; i++)
			count_once(s);
		_exit(0);
	}
	errno = error;
}

static void *waiting_main(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	while (!stop)
		if (waitpid(-1, NULL, 0) < 0)
			usleep(100);
	return arg;
}

static void mode_fork_in_handler(void)
{
	pthread_t waiting, t[4];

	must(pthread_create(&waiting, NULL, waiting_main, NULL) == 0);
	handle(on_fork);
	for (long i = 0; i < 20 * storm_scale; i++) {
		for (int k = 0; k < 4; k++)
			must(pthread_create(&t[k], NULL, signal_main, NULL) == 0);
		for (int k = 0; k < 40; k++) {
			pthread_kill(t[k % 4], k & 4 ? SIGUSR1 : SIGUSR2);
			usleep(100);
		}
		for (int k = 0; k < 4; k++)
			pthread_join(t[k], NULL);
	}
	stop = 1;
	pthread_join(waiting, NULL);
	wait_all();
}

int main(int argc, char **argv)
{
	static const struct storm_mode modes[] = {
		{"signals", mode_signals},
		{"first", mode_first},
		{"first-of-children", mode_first_of_children},
		{"jumps", mode_jumps},
		{"fork-in-handler", mode_fork_in_handler},
	};

	return storm_main(argc, argv, modes, sizeof(modes) / sizeof(modes[0]));
}
