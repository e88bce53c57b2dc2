/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "hardirq": interrupts that a disk makes, or a serial line where there is none, are counted as
 * /proc/interrupts does, with its numbers and names.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>

#define MODULE_UNDER_TEST module_hardirq
#include "tests/lib/testmodule.h"

#include "tests/lib/testhold.h"

enum { LINES = 64, WRITES = 100, BLOCK = 4096, TRIES = 10 };

struct interrupt {
	unsigned number;
	char name[64]; /* the last word of the line */
	uint64_t n;
};

/* Those of devices: their lines begin with a number. Returns how many. */
static int proc_interrupts(struct interrupt list[LINES])
{
	FILE *f = fopen("/proc/interrupts", "r");
	char *line = NULL, *at, *end;
	size_t size = 0;
	int n = 0;

	cr_assert_not_null(f);
	while (n < LINES && getline(&line, &size, f) > 0) {
		struct interrupt *i = &list[n];

		*i = (struct interrupt){0};
		i->number = (unsigned)strtoul(line, &end, 10);
		if (end == line || *end != ':')
			continue;
		for (at = end + 1;; at = end) {
			unsigned long long times = strtoull(at, &end, 10);

			if (end == at || !isspace((unsigned char)*end))
				break;
			i->n += times;
		}
		line[strcspn(line, "\n")] = '\0';
		at = strrchr(line, ' ');
		snprintf(i->name, sizeof(i->name), "%s", at ? at + 1 : "");
		n++;
	}
	free(line);
	fclose(f);
	return n;
}

/* Each write goes to the disk below this directory, and is over when that has interrupted. */
static void work(void)
{
	char name[] = "./tally-hardirq-XXXXXX";
	void *block;
	int fd = getenv("TALLY_EMULATED") ? -1 : mkostemp(name, O_DIRECT | O_DSYNC | O_CLOEXEC);

	if (fd < 0) {
		fd = open("/dev/ttyS0", O_WRONLY | O_NOCTTY | O_CLOEXEC);
		cr_assert_geq(fd, 0, "neither a file for direct writes nor a serial line");
		for (int i = 0; i < WRITES; i++) {
			cr_assert_eq(write(fd, "\n", 1), 1);
			tcdrain(fd);
		}
		close(fd);
		return;
	}
	unlink(name);
	cr_assert_eq(posix_memalign(&block, BLOCK, BLOCK), 0);
	memset(block, 1, BLOCK);
	for (int i = 0; i < WRITES; i++)
		cr_assert_eq(pwrite(fd, block, BLOCK, (off_t)i * BLOCK), BLOCK);
	free(block);
	close(fd);
}

static uint64_t ours(const char *name, const struct interrupt *i, int part)
{
	char labels[128];

	snprintf(labels, sizeof(labels), "irq=\"%u\",name=\"%.31s\"", i->number, i->name);
	return value(name, labels, part);
}

Test_together(hardirq, interrupts_are_those_of_proc)
{
	struct interrupt outer[LINES], inner[LINES], inside[LINES], after[LINES];
	uint64_t before[LINES], slack = 2 * (uint64_t)sysconf(_SC_NPROCESSORS_CONF), most = 0;
	int n = proc_interrupts(outer);

	poll_producer();
	for (int i = 0; i < n; i++)
		before[i] = ours("hardirq_seconds", &outer[i], SERIES_BUCKET);
	cr_assert_eq(proc_interrupts(inner), n);
	work();
	cr_assert_eq(proc_interrupts(inside), n);
	poll_producer();
	cr_assert_eq(proc_interrupts(after), n);
	for (int i = 0; i < n; i++) {
		uint64_t counted = ours("hardirq_seconds", &outer[i], SERIES_BUCKET) - before[i],
			 least = inside[i].n - inner[i].n, atmost = after[i].n - outer[i].n;

		if (!atmost)
			continue;
		printf("%u %s: %lu <= %lu <= %lu\n", outer[i].number, outer[i].name, least, counted,
			atmost);
		cr_expect_geq(counted + slack, least);
		/* of an interrupt that devices share, each has its handler called */
		if (!strchr(outer[i].name, ','))
			cr_expect_leq(counted, atmost + slack);
		most = counted > most ? counted : most;
	}
	cr_assert_geq(most, WRITES / 2);
}

/* What no handler claimed, as the kernel books it: it begins anew when there was none for 100 ms. */
static uint64_t proc_unclaimed(const struct interrupt *i)
{
	unsigned long long n = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/irq/%u/spurious", i->number);
	f = fopen(path, "r");
	cr_assert_not_null(f);
	cr_assert_eq(fscanf(f, "count %*u unhandled %llu", &n), 1);
	fclose(f);
	return n;
}

/* The one that is made the most by work(). */
static struct interrupt of_work(void)
{
	struct interrupt before[LINES], after[LINES];
	int n = proc_interrupts(before), most = 0;

	work();
	cr_assert_eq(proc_interrupts(after), n);
	for (int i = 1; i < n; i++)
		if (after[i].n - before[i].n > after[most].n - before[most].n)
			most = i;
	return after[most];
}

/* An emulated serial line interrupts for nothing half of the time; a disk never does. */
Test_together(hardirq, unclaimed_are_those_of_proc)
{
	struct interrupt of = of_work();
	uint64_t counted, booked;
	int tries = 0;

	do {
		usleep(200000);
		booked = proc_unclaimed(&of);
		poll_producer();
		counted = ours("hardirq_unclaimed", &of, SERIES_VALUE);
		work();
		usleep(10000);
		booked = clocks_are_real() ? proc_unclaimed(&of) - booked : proc_unclaimed(&of);
		poll_producer();
		counted = ours("hardirq_unclaimed", &of, SERIES_VALUE) - counted;
	} while (counted != booked && ++tries < TRIES);
	printf("%u %s: %lu unclaimed, of which /proc has %lu, after %d tries\n", of.number, of.name,
		counted, booked, tries);
	cr_assert_eq(counted, booked, "in none of the tries");
	if (!clocks_are_real())
		cr_assert_geq(counted, WRITES / 4);
}

static uint64_t map_memory(uint32_t id)
{
	unsigned long long bytes = 0;
	char path[64], line[128];
	int fd = bpf_map_get_fd_by_id(id);
	FILE *f;

	cr_assert_geq(fd, 0);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f) && sscanf(line, "memlock: %llu", &bytes) != 1)
		;
	fclose(f);
	close(fd);
	return bytes;
}

/* Of all maps that its programs use, each once. */
Test_together(hardirq, memory_is_that_of_the_maps)
{
	static const char *const programs[] = {"tally_hardirq_entry", "tally_hardirq_exit"};
	enum { MAPS = 32 };
	uint32_t ids[2 * MAPS];
	uint64_t sum = 0, memory;
	size_t n = 0;

	poll_producer();
	for (size_t i = 0; i < 2; i++) {
		uint32_t of[MAPS], count = program_info(programs[i], of, MAPS).nr_map_ids;

		cr_assert_leq(count, MAPS);
		for (size_t k = 0, at; k < count; k++) {
			for (at = 0; at < n && ids[at] != of[k]; at++)
				;
			if (at < n)
				continue;
			ids[n++] = of[k];
			sum += map_memory(of[k]);
		}
	}
	memory = value("bpf_memory_bytes", "module=\"hardirq\"", SERIES_VALUE);
	printf("%lu bytes; %zu maps have %lu\n", memory, n, sum);
	cr_assert_gt(n, 1);
	cr_assert_eq(memory, sum);
}

Test_together(hardirq, time_is_less_than_there_was)
{
	uint64_t wall = clock_monotonic_ns(), ns, n;

	poll_producer();
	ns = value("hardirq_seconds", NULL, SERIES_SUM);
	n = value("hardirq_seconds", NULL, SERIES_BUCKET);
	work();
	poll_producer();
	wall = clock_monotonic_ns() - wall;
	ns = value("hardirq_seconds", NULL, SERIES_SUM) - ns;
	n = value("hardirq_seconds", NULL, SERIES_BUCKET) - n;
	printf("%lu handlers took %lu us of %lu\n", n, ns / 1000, wall / 1000);
	cr_assert_gt(ns, n * 100);
	cr_assert_lt(ns, wall * (uint64_t)sysconf(_SC_NPROCESSORS_CONF));
}

Test(hardirq, begins_are_detached_before_ends, .init = setup_unless_emulated, .fini = teardown)
{
	check_begins_go_first("tally_hardirq_entry", "tally_hardirq_exit", work, WRITES / 2);
}
