/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ordinary FILE HOW: reads FILE, allocates, starts a thread and a child, writes; ends by exit code 0, 3
 * or abort (HOW), and counts all the time. Compiled with NO_TALLY too, it must do the same.
 *
 * "begin" is written after main's first count; each thread's first is between "first" and "counted".
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kinds.h"

#ifdef MANY
/* So many that a row is 32 KiB and the segment, with all rows it may get, 32 MiB. */
#define M1(x)                                          \
	TALLY_COUNTER(x##0, "many_" #x "0", "Filler"); \
	TALLY_COUNTER(x##1, "many_" #x "1", "Filler"); \
	TALLY_COUNTER(x##2, "many_" #x "2", "Filler"); \
	TALLY_COUNTER(x##3, "many_" #x "3", "Filler")
#define M2(x)     \
	M1(x##0); \
	M1(x##1); \
	M1(x##2); \
	M1(x##3)
#define M3(x)     \
	M2(x##0); \
	M2(x##1); \
	M2(x##2); \
	M2(x##3)
#define M4(x)     \
	M3(x##0); \
	M3(x##1); \
	M3(x##2); \
	M3(x##3)
#define M5(x)     \
	M4(x##0); \
	M4(x##1); \
	M4(x##2); \
	M4(x##3)
M5(a);
M5(b);
M5(c);
M5(d);
#endif

static void say(const char *text)
{
	if (write(1, text, strlen(text)) < 0)
		_exit(9);
}

static void work(const char *path)
{
	struct stat st;
	char buf[4096];
	ssize_t n, sum = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	for (int i = 0; i < 1000; i++)
		kinds_use();
	if (fd < 0) {
		printf("%s\n", strerror(errno));
	} else {
		while ((n = read(fd, buf, sizeof(buf))) > 0) {
			kinds_use();
			sum += n;
		}
		close(fd);
	}
	if (stat(path, &st) == 0)
		printf("%zd of %lld bytes\n", sum, (long long)st.st_size);
	fflush(stdout);
	kinds_use();
}

static void first_count(void)
{
	say("first\n");
	kinds_use();
	say("counted\n");
}

static void *thread_main(void *path)
{
	first_count();
	work((const char *)path);
	return NULL;
}

/* Small blocks come from the heap's end, the large one is a mapping. */
static void allocate(void)
{
	char *p[64];

	for (size_t i = 0; i < 64; i++) {
		p[i] = (char *)malloc(i == 7 ? 1 << 20 : i * 100);
		kinds_use();
		if (!p[i])
			say("no memory\n");
		else
			memset(p[i], 1, i * 100);
	}
	for (size_t i = 0; i < 64; i++)
		free(p[i]);
}

int main(int argc, char **argv)
{
	pthread_attr_t attr;
	pthread_t t;
	int status = 0, i;

	if (argc < 3)
		return 2;
	kinds_use();
	say("begin\n");
	work(argv[1]);
	allocate();
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	i = pthread_create(&t, &attr, thread_main, argv[1]);
	if (i != 0)
		printf("no thread: %s\n", strerror(i));
	else
		pthread_join(t, NULL);
	if (fork() == 0) {
		first_count();
		work(argv[1]);
		exit(5);
	}
	wait(&status);
	printf("child: %x\n", (unsigned)status);
	for (i = 0; i < 1000; i++)
		kinds_use();
	if (strcmp(argv[2], "abort") == 0)
		abort();
	return atoi(argv[2]);
}
