/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts many short-lived processes, for the lifecycle tests, without a shell:
 *
 *   spawner [-j PARALLEL] [-p PID] [-o ORACLE] [-n WORTH] [-s STOP] COUNT PROGRAM ARG...
 *
 * Runs COUNT processes, PARALLEL (1) at a time, by posix_spawn. With -p each gets the number PID in the
 * pid namespace of the spawner, which must be privileged there. No more are started when there is a file
 * STOP. ORACLE is a file of two 64-bit words, which are added to: WORTH (1) before each start, WORTH after
 * each end with exit code 0. One that ends otherwise ends the spawner with 1. Prints how many ended with 0.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static uint64_t none[2], *oracle = none;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void open_oracle(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0 || ftruncate(fd, 16) < 0)
		die(path);
	oracle = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (oracle == MAP_FAILED)
		die(path);
	close(fd);
}

/* A process with this very number, which nobody else must have. */
static pid_t spawn_numbered(pid_t number, char **argv)
{
	struct clone_args args = {
		.flags = CLONE_CLEAR_SIGHAND,
		.exit_signal = SIGCHLD,
		.set_tid = (uint64_t)(uintptr_t)&number,
		.set_tid_size = 1,
	};
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (pid < 0)
		die("clone3");
	if (pid == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	return pid;
}

static void spawn(pid_t number, char **argv)
{
	pid_t pid;
	int err;

	if (number) {
		spawn_numbered(number, argv);
		return;
	}
	err = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
	if (err) {
		errno = err;
		die(argv[0]);
	}
}

int main(int argc, char **argv)
{
	long count, running = 0, parallel = 1, done = 0;
	const char *stop = NULL;
	uint64_t worth = 1;
	pid_t number = 0;
	int option, status;

	while ((option = getopt(argc, argv, "+j:p:o:n:s:")) != -1) {
		if (option == 'j')
			parallel = atol(optarg);
		else if (option == 'p')
			number = atoi(optarg);
		else if (option == 'o')
			open_oracle(optarg);
		else if (option == 'n')
			worth = strtoull(optarg, NULL, 10);
		else if (option == 's')
			stop = optarg;
		else
			return 2;
	}
	if (argc - optind < 2)
		return 2;
	count = atol(argv[optind]);
	for (long i = 0; i < count || running; i++) {
		if (stop && i < count && access(stop, F_OK) == 0)
			count = i;
		if (i < count) {
			__atomic_fetch_add(&oracle[0], worth, __ATOMIC_SEQ_CST);
			spawn(number, argv + optind + 1);
			if (++running < parallel && i + 1 < count)
				continue;
		}
		if (wait(&status) < 0)
			die("wait");
		if (status) {
			fprintf(stderr, "%s: status %x\n", argv[optind + 1], (unsigned)status);
			return 1;
		}
		__atomic_fetch_add(&oracle[1], worth, __ATOMIC_SEQ_CST);
		running--;
		done++;
	}
	printf("%ld\n", done);
	return 0;
}
