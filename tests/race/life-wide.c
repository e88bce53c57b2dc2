/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * life-wide THREADS N: a program with 1,000 counters. THREADS threads live at once and count N times on
 * each; then it says "counted", and ends when its standard input does.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <tally/tally.h>

/* clang-format off */
#define TEN(m, p) \
	m(p##0) m(p##1) m(p##2) m(p##3) m(p##4) m(p##5) m(p##6) m(p##7) m(p##8) m(p##9)
#define HUNDRED(m, p) \
	TEN(m, p##0) TEN(m, p##1) TEN(m, p##2) TEN(m, p##3) TEN(m, p##4) \
	TEN(m, p##5) TEN(m, p##6) TEN(m, p##7) TEN(m, p##8) TEN(m, p##9)
#define THOUSAND(m) \
	HUNDRED(m, 0) HUNDRED(m, 1) HUNDRED(m, 2) HUNDRED(m, 3) HUNDRED(m, 4) \
	HUNDRED(m, 5) HUNDRED(m, 6) HUNDRED(m, 7) HUNDRED(m, 8) HUNDRED(m, 9)
/* clang-format on */

#define DEFINE(i) TALLY_COUNTER(c##i, "wide_" #i, "One of a thousand");
#define COUNT(i)  TALLY_INC(c##i);
THOUSAND(DEFINE)

static pthread_barrier_t gate;
static int each;

static void *thread_main(void *arg)
{
	for (int i = 0; i < each; i++) {
		THOUSAND(COUNT)
	}
	pthread_barrier_wait(&gate);
	return arg;
}

int main(int argc, char **argv)
{
	int n = argc == 3 ? atoi(argv[1]) : 0;
	pthread_attr_t attr;
	pthread_t *t;
	char c;

	if (n < 1) {
		fprintf(stderr, "usage: life-wide THREADS N\n");
		return 2;
	}
	each = atoi(argv[2]);
	t = calloc((size_t)n, sizeof(*t));
	pthread_barrier_init(&gate, NULL, (unsigned)n);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (int i = 0; i < n; i++)
		if (!t || pthread_create(&t[i], &attr, thread_main, NULL) != 0)
			abort();
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	free(t);
	if (puts("counted") < 0 || fflush(stdout))
		return 1;
	while (read(0, &c, 1) == 1)
		;
	return 0;
}
