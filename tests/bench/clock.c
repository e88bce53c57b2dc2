/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How right timers are: sleeps, timed by tally and by clock_gettime. A process measures the rate of the
 * processor's counter once, so this one runs itself many times. Lines are as loops.h says.
 *
 *	clock_gettime  TALLY_START  clock_gettime   sleep   clock_gettime  TALLY_STOP  clock_gettime
 *	| outer                     | inner                 |                        |
 *
 * Halfway between both is what tally should say, to half of FAR_NS in SLEEP_US: 1.5 ppm. Where they are
 * farther from each other, the process was not running in between, and the sleep is not used.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tally/tally.h>

enum {
	PROCESSES = 20,
	SLEEPS = 2,
	SLEEP_US = 200000,
	WARM_UP_US = 25000,
	FAR_NS = 600,
	ENOUGH = 10
};

TALLY_TIMER(sleeps, "bench_sleep_seconds", "Sleeps");

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Ends the sleep that began with s; when, by the clock, before and after. */
static __attribute__((noinline)) void stop(struct tally_start s, double *before, double *after)
{
	*before = now_ns();
	TALLY_STOP(sleeps, s);
	*after = now_ns();
}

/* Adds a sleep to both sums, if it can be told how long it was. */
static void time_sleep(double *right, double *tally)
{
	double outer = now_ns(), inner, before, after;
	struct tally_start s = TALLY_START();
	uint64_t sum;

	inner = now_ns();
	usleep(SLEEP_US);
	stop(s, &before, &after); /* not used: after a sleep nothing of this is in the caches */
	sum = TALLY_HISTOGRAM_SUM(sleeps);
	stop(s, &before, &after);
	inner = before - inner;
	outer = after - outer;
	if (outer - inner > FAR_NS)
		return;
	*right += (outer + inner) / 2;
	*tally += (double)(TALLY_HISTOGRAM_SUM(sleeps) - sum);
}

/* One process: prints by how many parts in a million its sleeps were too long or short, if it can tell. */
static int measure(void)
{
	double right = 0, tally = 0;

	usleep(WARM_UP_US);
	(void)TALLY_START();
	if (!TALLY_START().rate) {
		fprintf(stderr, "the clock is not calibrated\n");
		return 1;
	}
	for (int i = 0; i < SLEEPS; i++)
		time_sleep(&right, &tally);
	if (right > 0)
		printf("%.6g\n",
			tally > right ? 1e6 * (tally / right - 1) : 1e6 * (1 - tally / right));
	return 0;
}

int main(int argc, char **argv)
{
	double ppm[PROCESSES];
	char command[512];
	int n = 0;

	(void)argv;
	if (argc > 1)
		return measure();
	snprintf(command, sizeof(command), "exec %s/tests/bench/clock measure",
		getenv("B") ? getenv("B") : "build");
	for (int i = 0; i < PROCESSES; i++) {
		FILE *f = popen(command, "r");

		n += f && fscanf(f, "%lf", &ppm[n]) == 1;
		if (!f || pclose(f)) {
			fprintf(stderr, "clock did not run\n");
			return 1;
		}
	}
	if (n < ENOUGH) {
		fprintf(stderr, "the machine is too busy: %d processes of %d could time a sleep\n",
			n, PROCESSES);
		return 1;
	}
	printf("error of a process's timers in its sum of sleeps\tppm\t");
	for (int i = 0; i < n; i++)
		printf("%.6g%c", ppm[i], i + 1 < n ? ' ' : '\n');
	return 0;
}
