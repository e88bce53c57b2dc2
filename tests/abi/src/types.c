/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A metric of every type, made by every macro. "types N" counts N times over, says "ready" and waits for
 * SIGTERM; peaks are N x 10. Its values depend on nothing else: read_types.py has them written out.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tally/tally.h>

TALLY_COUNTER(plain, "plain", "Plain");
TALLY_COUNTER_UNIT(read_bytes, "read_bytes", "bytes", "With a unit");
TALLY_COUNTER_SCALED(busy, "busy_seconds", "seconds", -9, "With a scale");
TALLY_COUNTER_SCALED(large, "large_bytes", "bytes", 3, "With a scale upwards");
TALLY_COUNTER(get, "labelled", "Labels", TALLY_LABELS("method", "get"));
TALLY_COUNTER(put, "labelled", "Labels", TALLY_LABELS("method", "put", "code", "a\"b\\c"));
TALLY_COUNTER(wide, "wide", "Labels", TALLY_LABELS("a", "1", "b", "2", "c", "3", "d", "4"));

TALLY_GAUGE(level, "level", "A gauge");
TALLY_GAUGE_UNIT(queue_bytes, "queue_bytes", "bytes", "With a unit");
TALLY_GAUGE_SCALED(lag, "lag_seconds", "seconds", -3, "With a scale");
TALLY_GAUGE_DOUBLE(ratio, "load_ratio", "ratio", "A double");
TALLY_GAUGE_DOUBLE(highest, "highest", "", "A double's maximum");
TALLY_PEAK(peak, "peak_bytes", "bytes", "The highest of all processes");

TALLY_HISTOGRAM(sizes, "size_bytes", "bytes", 16, 64, "25 percent, 16 to 64");
TALLY_HISTOGRAM_FULL(exact, "step_volts", "volts", -1, 0, 8, 1, "Whole numbers, tenths");
TALLY_TIMER(served, "served_seconds", "A timer");
TALLY_TIMER_RANGE(slept, "slept_seconds", 1000000, 1000000000, "A timer's range");
TALLY_TIMER(scoped, "scoped_seconds", "A scope");
TALLY_TIMER(sampled, "sampled_seconds", "One in four");
TALLY_HISTOGRAM(by_kind, "kind", "", 1, 8, "With labels", TALLY_LABELS("kind", "x"));

TALLY_COUNTER_SET(by_method, "set", "A set", "method", "get", "put");
TALLY_COUNTER_BY(by_path, "by_path", "A table", 2, "host", "path");
TALLY_GAUGE_BY(by_peer, "by_peer", "A table of gauges", 3, "peer");
TALLY_HISTOGRAM_BY(
	by_disk, "disk_seconds", "seconds", -3, 1, 1024, 50, "A table of histograms", 2, "disk");
TALLY_INFO(build, "build", "An info", TALLY_LABELS("version", "1.2.3", "compiler", "any"));

static void count_counters(void)
{
	TALLY_INC(plain);
	TALLY_ADD(plain, 9);
	TALLY_ADD(read_bytes, 4096);
	TALLY_ADD(busy, 1500000001);
	TALLY_ADD(large, 2);
	TALLY_INC(get);
	TALLY_ADD(put, 2);
	TALLY_INC(wide);
}

static void set_gauges(int n)
{
	TALLY_GAUGE_SET(level, 5);
	TALLY_GAUGE_ADD(level, -12);
	TALLY_GAUGE_SET(queue_bytes, 100);
	TALLY_GAUGE_SET(lag, -1250);
	TALLY_GAUGE_DOUBLE_SET(ratio, 0.25);
	TALLY_GAUGE_DOUBLE_ADD(ratio, -0.375);
	TALLY_GAUGE_DOUBLE_MAX(highest, 1.5);
	TALLY_GAUGE_DOUBLE_MAX(highest, -7);
	TALLY_GAUGE_MAX(peak, n * 10);
	TALLY_GAUGE_MAX(peak, n);
}

static void record_histograms(void)
{
	static const unsigned bytes[] = {0, 16, 17, 20, 21, 28, 40, 41, 64, 65, 100000};
	struct tally_start start = TALLY_START();

	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
		TALLY_RECORD(sizes, bytes[i]);
	for (unsigned v = 0; v < 10; v++)
		TALLY_RECORD(exact, v);
	TALLY_RECORD(served, 2000000);
	TALLY_STOP(slept, start);
	TALLY_RECORD(by_kind, 3);
	{
		TALLY_TIME(scoped);
	}
	for (int i = 0; i < 4000; i++) {
		TALLY_TIME_SAMPLED(sampled, 4);
	}
}

static void count_tables(void)
{
	struct tally_histogram_handle disk = TALLY_HISTOGRAM_HANDLE(by_disk, "sda");
	struct tally_gauge_handle peer = TALLY_GAUGE_HANDLE(by_peer, "alpha");
	struct tally_counter_handle path;

	for (unsigned i = 0; i < 5; i++)
		TALLY_ADD_AT(by_method, i, i + 1);
	TALLY_INC_AT(by_method, 1);
	path = TALLY_COUNTER_HANDLE(by_path, "a", "/");
	TALLY_INC_H(path);
	path = TALLY_COUNTER_HANDLE(by_path, "b", "/x\n\"y\"");
	TALLY_ADD_H(path, 10);
	path = TALLY_COUNTER_HANDLE(by_path, "a", "/");
	TALLY_INC_H(path);
	path = TALLY_COUNTER_HANDLE(by_path, "c", "/third");
	TALLY_ADD_H(path, 100);
	path = TALLY_COUNTER_HANDLE(by_path, "d", "/fourth");
	TALLY_ADD_H(path, 1000);
	TALLY_SET_H(peer, 7);
	TALLY_GAUGE_ADD_H(peer, -10);
	TALLY_RECORD_H(disk, 3);
	TALLY_RECORD_H(disk, 2000);
}

/* Its own values, as the program sees them. */
static int check_values(unsigned n)
{
	struct tally_counter_handle path = TALLY_COUNTER_HANDLE(by_path, "b", "/x\n\"y\"");
	struct tally_histogram_handle disk = TALLY_HISTOGRAM_HANDLE(by_disk, "sda");
	int good = TALLY_VALUE(plain) == 10 * n && TALLY_VALUE(busy) == n * UINT64_C(1500000001) &&
		   TALLY_GAUGE_VALUE(level) == -7 && TALLY_GAUGE_VALUE(lag) == -1250 &&
		   TALLY_GAUGE_DOUBLE_VALUE(highest) > 1.49 &&
		   TALLY_GAUGE_DOUBLE_VALUE(ratio) < -0.124 && TALLY_GAUGE_VALUE(peak) == 10 * n &&
		   TALLY_HISTOGRAM_COUNT(sizes) == 11 * n &&
		   TALLY_HISTOGRAM_SUM(sizes) == 100312 * n && TALLY_HISTOGRAM_COUNT(scoped) == n &&
		   TALLY_HISTOGRAM_COUNT(slept) == n && TALLY_HISTOGRAM_COUNT(exact) == 10 * n &&
		   TALLY_HISTOGRAM_SUM(exact) == 45 * n;

	/* in a segment that had a life before, these go on from there */
	good = good && TALLY_HISTOGRAM_BUCKET(sizes, 20) >= 2 * n &&
	       TALLY_HISTOGRAM_BUCKET(sizes, 20) % 2 == 0 &&
	       TALLY_HISTOGRAM_BUCKET(sizes, 18) == TALLY_HISTOGRAM_BUCKET(sizes, 20) &&
	       TALLY_VALUE_H(path) >= 10 * n && TALLY_HISTOGRAM_COUNT_H(disk) >= 2 * n;
	return good;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 1, sig;
	sigset_t term;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	for (int i = 0; i < n; i++) {
		count_counters();
		set_gauges(n);
		record_histograms();
		count_tables();
	}
	puts(check_values((unsigned)n) ? "ready" : "wrong");
	fflush(stdout);
	return sigwait(&term, &sig);
}
