/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that uses each macro of tally.h which defines or counts something, with values that are
 * hard to show: then it says "ready", and waits until its standard input ends.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <tally/tally.h>

TALLY_COUNTER(turns, "turns", "Turns: \"quoted\" \\ and\na second line");
TALLY_COUNTER(never, "never", "Not counted");
TALLY_COUNTER(huge, "huge", "Near 2^64");
TALLY_COUNTER_UNIT(sent, "sent_bytes", "bytes", "Sent");
TALLY_COUNTER(get, "asked", "Asked", TALLY_LABELS("method", "get", "quote", "a\"b\\c"));
TALLY_COUNTER(put, "asked", "Asked", TALLY_LABELS("method", "put", "quote", "\xc3\xa4"));
TALLY_GAUGE(level, "level", "Below zero");
TALLY_GAUGE_UNIT(free_space, "free_bytes", "bytes", "Free");
TALLY_GAUGE_SCALED(delay, "delay_seconds", "seconds", -3, "Milliseconds");
TALLY_GAUGE_SCALED(far, "far_meters", "meters", 3, "Kilometers");
TALLY_GAUGE_DOUBLE(ratio, "ratio", "", "A double");
TALLY_GAUGE_DOUBLE(tiny, "tiny", "", "A small one");
TALLY_PEAK(most, "most", "", "The highest");
TALLY_HISTOGRAM(sizes, "size_bytes", "bytes", 1, 4096, "Sizes");
TALLY_HISTOGRAM(zeros, "zeros", "", 0, 64, "From zero");
TALLY_HISTOGRAM_FULL(fine, "fine_seconds", "seconds", -6, 100, 1000000, 1, "Fine");
TALLY_TIMER(timer, "timer_seconds", "A timer");
TALLY_TIMER_RANGE(longer, "longer_seconds", 1000000, 60000000000, "A slow one");
TALLY_INFO(build, "build", "What was built", TALLY_LABELS("version", "1.2", "branch", "x,y={}"));
TALLY_COUNTER_SET(by_colour, "colours", "Colours", "colour", "red", "green");
TALLY_COUNTER_BY(by_code, "codes", "Codes", 3, "code", "host");
TALLY_GAUGE_BY(by_queue, "queues", "Queues", 4, "queue");
TALLY_HISTOGRAM_BY(by_path, "path_seconds", "seconds", -9, 1024, 1 << 20, 25, "Paths", 2, "path");

static void *count(void *arg)
{
	unsigned long seed = (unsigned long)(size_t)arg;

	for (unsigned i = 0; i < 20000; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		TALLY_INC(turns);
		TALLY_ADD(sent, seed >> 52);
		TALLY_RECORD(sizes, seed >> 50);
		TALLY_RECORD(zeros, seed >> 57);
		TALLY_RECORD(fine, seed >> 42);
		TALLY_INC_AT(by_colour, seed >> 62);
	}
	return NULL;
}

int main(void)
{
	const char *codes[] = {"200", "404", "500", "503", "504"};
	pthread_t threads[3];

	for (size_t i = 0; i < 3; i++)
		if (pthread_create(&threads[i], NULL, count, (void *)(i + 1)))
			return 1;
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	TALLY_ADD(huge, UINT64_MAX - 41);
	TALLY_INC(get);
	TALLY_ADD(put, 3);
	TALLY_GAUGE_SET(level, INT64_MIN);
	TALLY_GAUGE_SET(free_space, 100);
	TALLY_GAUGE_ADD(free_space, -142);
	TALLY_GAUGE_SET(delay, -1234);
	TALLY_GAUGE_SET(far, 42);
	TALLY_GAUGE_MAX(most, 77);
	TALLY_GAUGE_MAX(most, 12);
	TALLY_GAUGE_DOUBLE_SET(ratio, 0.1);
	TALLY_GAUGE_DOUBLE_ADD(ratio, 0.2);
	TALLY_GAUGE_DOUBLE_MAX(tiny, 4.9e-324);
	TALLY_RECORD(sizes, 0);
	TALLY_RECORD(sizes, UINT64_MAX);
	{
		TALLY_TIME(timer);
	}
	for (unsigned i = 0; i < 1000; i++) {
		TALLY_TIME_SAMPLED(longer, 10);
	}
	struct tally_start start = TALLY_START();
	TALLY_STOP(timer, start);
	for (size_t i = 0; i < 5; i++)
		TALLY_ADD_H(TALLY_COUNTER_HANDLE(by_code, codes[i], "a"), i + 1);
	TALLY_INC_H(TALLY_COUNTER_HANDLE(by_code, "200", "a"));
	TALLY_ADD_AT(by_colour, 99, 5);
	TALLY_SET_H(TALLY_GAUGE_HANDLE(by_queue, "in"), -5);
	TALLY_GAUGE_ADD_H(TALLY_GAUGE_HANDLE(by_queue, ""), 9);
	TALLY_SET_H(TALLY_GAUGE_HANDLE(by_queue, "\xff\xfe"), 4);
	TALLY_RECORD_H(TALLY_HISTOGRAM_HANDLE(by_path, "/"), 5000);
	TALLY_RECORD_H(TALLY_HISTOGRAM_HANDLE(by_path, "/x"), 1);
	TALLY_RECORD_H(TALLY_HISTOGRAM_HANDLE(by_path, "/y"), 1u << 30);
	puts("ready");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
