/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "block": a known number of requests to a disk of the test's own (a loop device), against
 * /proc/diskstats; requests that fail; more disks than there are slots.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>

#define MODULE_UNDER_TEST module_block
#include "tests/lib/testdisk.h"
#include "tests/lib/testmodule.h"

#include "tests/lib/testhold.h"

enum { BLOCK = 4096, BLOCKS = 256, READS = 300, WRITES = 200, FLUSHES = 40 };

static void do_io(const struct disk *d, bool writes, int n)
{
	void *block;

	cr_assert_eq(posix_memalign(&block, BLOCK, BLOCK), 0);
	memset(block, 1, BLOCK);
	for (int i = 0; i < n; i++) {
		off_t at = (off_t)(i % BLOCKS) * BLOCK;
		ssize_t got =
			writes ? pwrite(d->fd, block, BLOCK, at) : pread(d->fd, block, BLOCK, at);

		cr_assert_eq(got, BLOCK, "%s", strerror(errno));
	}
	free(block);
}

static uint64_t of(
	const char *name, const struct disk *d, const char *label, const char *wanted, int part)
{
	char labels[128];

	snprintf(labels, sizeof(labels), "device=\"%.15s\",%s=\"%s\"", d->name, label, wanted);
	return value(name, labels, part);
}

/* Of /proc/diskstats: requests and ms, of reads and of writes. The last one is counted after its end was told. */
static void proc_disk(const char *device, unsigned long long ret[4])
{
	char line[512], name[33];
	FILE *f;

	usleep(50000);
	f = fopen("/proc/diskstats", "r");
	cr_assert_not_null(f);
	memset(ret, 0, 4 * sizeof(*ret));
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%*u %*u %32s %llu %*u %*u %llu %llu %*u %*u %llu", name, &ret[0],
			    &ret[1], &ret[2], &ret[3]) == 5 &&
			!strcmp(name, device))
			break;
		else
			memset(ret, 0, 4 * sizeof(*ret));
	fclose(f);
}

Test_together(block, requests_are_those_of_diskstats)
{
	unsigned long long before[4], after[4];
	uint64_t reads, writes, ns;
	struct disk d;

	make_space("16m");
	d = make_disk(0, BLOCK * BLOCKS);
	do_io(&d, true, 1); /* so that the disk is known */
	poll_producer();
	reads = of("block_io_latency_seconds", &d, "op", "read", SERIES_BUCKET);
	writes = of("block_io_latency_seconds", &d, "op", "write", SERIES_BUCKET);
	ns = of("block_io_latency_seconds", &d, "op", "read", SERIES_SUM);
	proc_disk(d.name, before);
	do_io(&d, false, READS);
	do_io(&d, true, WRITES);
	proc_disk(d.name, after);
	poll_producer();
	reads = of("block_io_latency_seconds", &d, "op", "read", SERIES_BUCKET) - reads;
	writes = of("block_io_latency_seconds", &d, "op", "write", SERIES_BUCKET) - writes;
	ns = of("block_io_latency_seconds", &d, "op", "read", SERIES_SUM) - ns;
	printf("%lu reads, %lu writes, reading took %lu us, /proc/diskstats says %llu ms\n", reads,
		writes, ns / 1000, after[1] - before[1]);
	remove_disk(&d);
	remove_space();
	cr_assert_eq(after[0] - before[0], READS);
	cr_assert_eq(after[2] - before[2], WRITES);
	cr_assert_eq(reads, READS);
	cr_assert_eq(writes, WRITES);
	cr_assert_gt(ns, READS * 1000);
	/* diskstats keeps whole ms, or ticks on some kernels, of the sum */
	cr_assert_leq(ns, (after[1] - before[1] + 2 + READS / 50) * NSEC_PER_MSEC);
	if (clocks_are_real())
		cr_assert_geq(ns + (2 + READS / 50) * NSEC_PER_MSEC,
			(after[1] - before[1]) * NSEC_PER_MSEC);
}

/*
 * Whoever asks for a flush has a write of nothing for it, which is none. An event may be missed, so there are
 * rounds.
 */
Test_together(block, flushes_are_no_writes)
{
	uint64_t writes = 0, others = 0, before, others_before;
	struct disk d;

	make_space("16m");
	d = make_disk(0, BLOCK * BLOCKS);
	do_io(&d, true, 1);
	for (int round = 0; round < 10 && (writes != WRITES || others != FLUSHES); round++) {
		poll_producer();
		before = of("block_io_latency_seconds", &d, "op", "write", SERIES_BUCKET);
		others_before = of("block_io_latency_seconds", &d, "op", "other", SERIES_BUCKET);
		do_io(&d, true, WRITES);
		for (int i = 0; i < FLUSHES; i++)
			cr_assert_eq(fsync(d.fd), 0);
		usleep(50000); /* the last one ends after its end was told */
		poll_producer();
		writes = of("block_io_latency_seconds", &d, "op", "write", SERIES_BUCKET) - before;
		others = of("block_io_latency_seconds", &d, "op", "other", SERIES_BUCKET) -
			 others_before;
		printf("%lu writes, %lu flushes\n", writes, others);
	}
	remove_disk(&d);
	remove_space();
	cr_assert_eq(writes, WRITES);
	cr_assert_eq(others, FLUSHES);
}

/* Where the kernel notes when a device got a request, its time is that in the queue and that in the device. */
Test_together(block, queue_and_device_are_all)
{
	static const char *const names[] = {
		"block_io_latency_seconds", "block_queue_seconds", "block_device_seconds"};
	uint64_t counts[3], ns[3];
	struct disk d;

	make_space("16m");
	d = make_disk(0, BLOCK * BLOCKS);
	poll_producer();
	for (int i = 0; i < 3; i++) {
		counts[i] = of(names[i], &d, "op", "write", SERIES_BUCKET);
		ns[i] = of(names[i], &d, "op", "write", SERIES_SUM);
	}
	do_io(&d, true, WRITES);
	poll_producer();
	for (int i = 0; i < 3; i++) {
		counts[i] = of(names[i], &d, "op", "write", SERIES_BUCKET) - counts[i];
		ns[i] = of(names[i], &d, "op", "write", SERIES_SUM) - ns[i];
		printf("%s: %lu writes, %lu us\n", names[i], counts[i], ns[i] / 1000);
	}
	remove_disk(&d);
	remove_space();
	cr_assert_eq(counts[0], WRITES);
	cr_assert_eq(counts[1], counts[2]);
	if (counts[1] == counts[0])
		cr_assert_eq(ns[1] + ns[2], ns[0]);
}

/* The file behind the disk has no room for what is written. */
Test_together(block, failures_have_their_status)
{
	uint64_t failed;
	struct disk d;
	void *block;
	int errors = 0;

	make_space("64k");
	d = make_disk(0, BLOCK * BLOCKS);
	cr_assert_eq(posix_memalign(&block, BLOCK, BLOCK), 0);
	memset(block, 1, BLOCK);
	poll_producer();
	for (int i = 0; i < 40; i++)
		errors += pwrite(d.fd, block, BLOCK, (off_t)i * BLOCK) != BLOCK;
	poll_producer();
	failed = of("block_errors", &d, "status", "ioerr", SERIES_VALUE) +
		 of("block_errors", &d, "status", "nospc", SERIES_VALUE);
	printf("%d writes failed, %lu counted\n", errors, failed);
	free(block);
	remove_disk(&d);
	remove_space();
	cr_assert_gt(errors, 0);
	cr_assert_eq(failed, errors);
}

static struct disk held;

static uint64_t read_held(void)
{
	do_io(&held, false, READS);
	return READS;
}

/* The kernel notes when they begin. */
Test(block, over_a_hold, .init = setup_unless_emulated, .fini = teardown)
{
	char labels[64];

	make_space("16m");
	held = make_disk(0, BLOCK * BLOCKS);
	snprintf(labels, sizeof(labels), "device=\"%.15s\",op=\"read\"", held.name);
	check_over_a_hold(&(struct held_work){read_held, "block_io_latency_seconds", labels, 0});
	remove_disk(&held);
	remove_space();
}

/* The first disks have series of their own; further ones are counted together, none is lost. */
Test(block, more_disks_than_slots, .init = nothing_unless_emulated)
{
	enum { DISKS = 70, EACH = 3 };
	struct disk disks[DISKS];
	uint64_t own = 0, other;
	int named = 0;

	make_space("64m");
	setup();
	for (int i = 0; i < DISKS; i++) {
		disks[i] = make_disk(i, BLOCK * BLOCKS);
		do_io(&disks[i], true, EACH);
	}
	poll_producer();
	for (int i = 0; i < DISKS; i++) {
		uint64_t n =
			of("block_io_latency_seconds", &disks[i], "op", "write", SERIES_BUCKET);

		cr_expect(n == 0 || n == EACH, "%s: %lu", disks[i].name, n);
		named += n > 0;
		own += n;
	}
	other = value("block_io_latency_seconds", "device=\"other\",op=\"write\"", SERIES_BUCKET);
	printf("%d disks have series, %lu requests are of others\n", named, other);
	teardown();
	for (int i = 0; i < DISKS; i++)
		remove_disk(&disks[i]);
	remove_space();
	cr_assert_geq(named, 5);
	cr_assert_lt(named, 64);
	cr_assert_geq(own + other, DISKS * EACH);
	cr_assert_geq(other, (uint64_t)(DISKS - named) * EACH);
}
