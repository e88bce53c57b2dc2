/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a thread waits for another that attaches the object. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <tally/tally.h>

TALLY_COUNTER(waited, "waited", "Counted while another thread attaches");

static double cpu_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return 1e3 * (double)ts.tv_sec + (double)ts.tv_nsec / 1e6;
}

/* Counts for the first time; *ret says whether the other had attached by then. */
static void *count_once(void *ret)
{
	TALLY_INC(waited);
	*(int *)ret = __atomic_load_n(&tally_process_.busy, __ATOMIC_ACQUIRE) == 0;
	return NULL;
}

/* The thread that attaches has the lower priority, and both have one CPU: only who sleeps lets it go on. */
Test(attach, lets_lower_priorities_go_on)
{
	struct sched_param realtime = {.sched_priority = 1};
	pthread_attr_t attr;
	int attached = -1, error, cpu = sched_getcpu();
	pthread_t t;
	cpu_set_t one;
	double begin;

	if (geteuid() != 0)
		cr_skip_test("needs root");
	cr_assert_geq(cpu, 0);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	pthread_attr_init(&attr);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
	pthread_attr_setschedparam(&attr, &realtime);

	/* as it is while this thread attaches */
	cr_assert_eq(tally_object_.state, TALLY_ATTACHED_);
	tally_object_.state = TALLY_NEW_;
	tally_process_.busy = 1;
	error = pthread_create(&t, &attr, count_once, &attached);
	cr_assert_eq(error, 0, "pthread_create: %s", strerror(error));
	for (begin = cpu_ms(); cpu_ms() - begin < 5;)
		;
	__atomic_store_n(&tally_object_.state, TALLY_ATTACHED_, __ATOMIC_RELEASE);
	__atomic_store_n(&tally_process_.busy, 0, __ATOMIC_RELEASE);
	pthread_join(t, NULL);
	pthread_attr_destroy(&attr);
	cr_expect_eq(attached, 1);
	cr_expect_eq(TALLY_VALUE(waited), 1);
}
