/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small program with one of each kind of metric, for the fuzz tests: it leaves its segment file in
 * TALLY_DIR, the seed that is mutated, and prints "NAME VALUE" for what it counted, by its own count.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include <tally/tally.h>

TALLY_COUNTER(requests, "seed_requests", "Requests answered");
TALLY_COUNTER_UNIT(sent, "seed_sent_bytes", "bytes", "Bytes sent, \"quoted\" and \xc3\xa4");
TALLY_GAUGE(depth, "seed_depth", "Depth of the queue");
TALLY_GAUGE_UNIT(level, "seed_level_celsius", "celsius", "");
TALLY_GAUGE_DOUBLE(load, "seed_load", "", "A double");
TALLY_PEAK(peak, "seed_peak", "", "The highest");
TALLY_TIMER(wait, "seed_wait_seconds", "Time waited");
TALLY_HISTOGRAM(sizes, "seed_size_bytes", "bytes", 1, 65536, "Sizes");
TALLY_COUNTER(
	labelled, "seed_labelled", "With labels", TALLY_LABELS("kind", "a \"b\"", "way", "in"));
TALLY_INFO(build, "seed_build", "The build", TALLY_LABELS("version", "1.2.3"));
TALLY_COUNTER_BY(paths, "seed_paths", "By path", 8, "path", "code");
TALLY_COUNTER(never, "seed_never", "Never counted");

#define THREADS 3

static void *count(void *arg)
{
	(void)arg;
	for (int i = 0; i < 1000; i++) {
		TALLY_INC(requests);
		TALLY_ADD(sent, 1500);
		TALLY_RECORD(sizes, i * 17);
		TALLY_INC(labelled);
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, count, NULL) != 0)
			return 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	count(NULL);
	TALLY_GAUGE_SET(depth, 17);
	TALLY_GAUGE_ADD(level, -40);
	TALLY_GAUGE_DOUBLE_SET(load, 1.25);
	TALLY_GAUGE_MAX(peak, 99);
	TALLY_RECORD(wait, 1000000);
	for (int i = 0; i < 12; i++) {
		char path[16];

		snprintf(path, sizeof(path), "/p%d", i);
		TALLY_INC_H(TALLY_COUNTER_HANDLE(paths, path, i % 2 ? "200" : "404"));
	}
	printf("seed_requests_total %d\n", 1000 * (THREADS + 1));
	printf("seed_sent_bytes_total %d\n", 1000 * (THREADS + 1) * 1500);
	printf("seed_never_total 0\n");
	return 0;
}
