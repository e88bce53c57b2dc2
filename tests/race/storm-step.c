/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small, static programs that tests/race/test_exact_step.c goes through instruction by instruction. What it
 * steps through ends at the process's exit; where it begins, is marked by a system call that nothing else
 * here makes: getpgid, or the start of tally's own first one, which blocks signals.
 */
#include "storm.h"

static struct slot *handler_slot;

static void on_signal(int sig)
{
	(void)sig;
	count_once(handler_slot);
}

static void handle(void)
{
	struct sigaction sa;

	handler_slot = new_slot();
	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_signal;
	sa.sa_flags = SA_RESTART;
	sigaction(SIGUSR1, &sa, NULL);
}

static void mark(void)
{
	syscall(SYS_getpgid, 0l);
}

/* From the start of the process: what constructors do, the first increment, later ones. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wprio-ctor-dtor"
__attribute__((constructor(100))) static void before_tally(int argc, char **argv, char **envp)
{
	(void)envp;
	if (argc > 3 && strcmp(argv[1], "alone") == 0 && storm_open(argv) == 0)
		handle();
}
#pragma GCC diagnostic pop

static void mode_alone(void)
{
	mark();
	count_many(count);
}

/* A child of fork draws its generation and claims a row; its parent counts on. */
static void mode_child(void)
{
	struct slot *s = new_slot();
	pid_t pid;

	handle();
	count_once(s);
	pid = fork();
	must(pid >= 0);
	if (pid == 0) {
		handler_slot = new_slot();
		mark();
		count_many(count);
		_exit(0);
	}
	count_once(s);
	wait_all();
	for (long i = 0; i < count; i++)
		count_once(s);
}

/* A child of vfork, whose parent is the forked child of one that counts, and has not counted itself. */
static void mode_vfork(void)
{
	struct slot *s = new_slot();

	handle();
	count_once(s);
	if (fork() == 0) {
		volatile struct slot *of_parent = new_slot();

		handler_slot = new_slot();
		if (vfork() == 0) {
			mark();
			count_many(count);
			_exit(0);
		}
		wait_all();
		for (long i = 0; i < count; i++)
			count_once((struct slot *)(uintptr_t)of_parent);
		run_threads(2);
		_exit(0);
	}
	count_once(s);
	wait_all();
	run_threads(2);
}

int main(int argc, char **argv)
{
	static const struct storm_mode modes[] = {
		{"alone", mode_alone},
		{"child", mode_child},
		{"vfork", mode_vfork},
	};

	return storm_main(argc, argv, modes, sizeof(modes) / sizeof(modes[0]));
}
