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

enum { LINES = 64, WRITES = 100, BLOCK = 4096 };

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

static uint64_t ours(const struct interrupt *i, int part)
{
	char labels[128];

	snprintf(labels, sizeof(labels), "irq=\"%u\",name=\"%.31s\"", i->number, i->name);
	return value("hardirq_seconds", labels, part);
}

Test_together(hardirq, interrupts_are_those_of_proc)
{
	struct interrupt outer[LINES], inner[LINES], inside[LINES], after[LINES];
	uint64_t before[LINES], slack = 2 * (uint64_t)sysconf(_SC_NPROCESSORS_CONF), most = 0;
	int n = proc_interrupts(outer);

	poll_producer();
	for (int i = 0; i < n; i++)
		before[i] = ours(&outer[i], SERIES_BUCKET);
	cr_assert_eq(proc_interrupts(inner), n);
	work();
	cr_assert_eq(proc_interrupts(inside), n);
	poll_producer();
	cr_assert_eq(proc_interrupts(after), n);
	for (int i = 0; i < n; i++) {
		uint64_t counted = ours(&outer[i], SERIES_BUCKET) - before[i],
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
