/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "cgroup_block": known requests of two cgroups, which are gone before anybody looks, to a disk for each;
 * module "block" beside it says how long they took. Flushes; more cgroups than there are slots.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sys/uio.h>
#include <sys/wait.h>

#include "tests/lib/testcgroup.h"
#include "tests/lib/testdisk.h"

#define MODULE_UNDER_TEST module_cgroup_block
#include "tests/lib/testmodule.h"

#define LATENCY "cgroup_block_latency_seconds"
#define WITHOUT "block_without_cgroup_seconds"

enum { BLOCK = 4096, BLOCKS = 256, FLUSHES = 40, MANY = 160, OWN = 127, EACH = 3 };

/*
 * A kernel may be made so that programs don't run while some process does, such as the first one of a virtual
 * machine; and newer ones (seen on 7.3) preempt a program, and pass over what it should see on that CPU meanwhile
 * (recursion_misses of bpf_prog_info). What ends just then is not counted. So each test has some rounds, until of each
 * kind of work all was there in one of them; more than all is never right.
 */
enum { ROUNDS = 20 };

/* Both modules read the clock, one after the other. */
enum { APART_NS = 2000 };

static struct producer by_disk = {.ops = &module_block.ops};

static void setup_both(void)
{
	struct provider_env env = {.interval_ns = NSEC_PER_SEC};
	struct errmsg e = {""};

	cgroup_use_io();
	make_space("64m");
	setup();
	cr_assert_eq(by_disk.ops->open(&by_disk, &env, &e), 0, "%s", e.text);
}

static void teardown_both(void)
{
	by_disk.ops->close(&by_disk);
	teardown();
	remove_space();
}

static void poll_both(void)
{
	poll_producer();
	cr_assert_eq(by_disk.ops->get_stats(&by_disk, &snapshot), 0);
}

struct times {
	uint64_t n, ns;
};

/* As of the last poll; label NULL: of all. */
static struct times counted(const char *name, const char *label, const char *text, const char *op)
{
	char labels[200];

	if (label)
		snprintf(labels, sizeof(labels), "%s=\"%s\",op=\"%s\"", label, text, op);
	else
		snprintf(labels, sizeof(labels), "op=\"%s\"", op);
	return (struct times){value(name, labels, SERIES_BUCKET), value(name, labels, SERIES_SUM)};
}

/* --- work -------------------------------------------------------------------------------------- */

struct seen {
	struct times mine, disk;
};

/* What a process of a cgroup does to a disk that is its alone. */
struct work {
	const char *name;
	int reads, writes, synced, flushes; /* synced: writes that are to be on the disk at once */
	char path[80];
	struct disk disk;
	struct seen read, write; /* what was counted before */
	bool read_well, written_well; /* in one of the rounds all was counted */
};

/* One by one, so that none is put together with another. */
static void do_io(int fd, bool writes, int flags, int n)
{
	static char data[2 * BLOCK];
	uintptr_t begin = ((uintptr_t)data + BLOCK - 1) / BLOCK * BLOCK;
	struct iovec block = {(void *)begin, BLOCK};

	for (int i = 0; i < n; i++) {
		off_t at = (off_t)(i % BLOCKS) * BLOCK;

		if ((writes ? pwritev2(fd, &block, 1, at, flags) : preadv(fd, &block, 1, at)) !=
			BLOCK)
			_exit(2);
	}
}

static void start(const struct work *w)
{
	if (fork())
		return;
	cgroup_enter(w->path);
	do_io(w->disk.fd, false, 0, w->reads);
	do_io(w->disk.fd, true, 0, w->writes);
	do_io(w->disk.fd, true, RWF_DSYNC, w->synced);
	for (int i = 0; i < w->flushes; i++)
		if (fsync(w->disk.fd))
			_exit(2);
	_exit(0);
}

/* All at once, each in a cgroup that is made for it and goes when all is done. */
static void do_work(struct work *works, int n)
{
	int status;

	for (int i = 0; i < n; i++) {
		snprintf(works[i].path, sizeof(works[i].path), "/tallytest-%d-%s", (int)getpid(),
			works[i].name);
		cgroup_make(works[i].path);
	}
	for (int i = 0; i < n; i++)
		start(&works[i]);
	while (wait(&status) > 0)
		cr_assert_eq(status, 0);
	for (int i = 0; i < n; i++)
		cgroup_remove(works[i].path);
	poll_both();
}

static struct times since(struct times *before, struct times now)
{
	struct times ret = {now.n - before->n, now.ns - before->ns};

	*before = now;
	return ret;
}

/*
 * Of what was done since *before, which is moved on: is all counted, and as long as the other module has it of the
 * disk? That may have missed one where this did not.
 */
static bool all_counted(const struct work *w, const char *op, struct seen *before, int expected)
{
	struct times mine = since(&before->mine, counted(LATENCY, "cgroup", w->path, op));
	struct times disk = since(
		&before->disk, counted("block_io_latency_seconds", "device", w->disk.name, op));
	uint64_t apart = mine.ns > disk.ns ? mine.ns - disk.ns : disk.ns - mine.ns;

	printf("%s: %lu %ss of %d, %lu us; by disk %lu, %lu us\n", w->path, mine.n, op, expected,
		mine.ns / 1000, disk.n, disk.ns / 1000);
	cr_assert_leq(mine.n, expected);
	if (mine.n != (uint64_t)expected)
		return false;
	if (clocks_are_real() && mine.n == disk.n)
		cr_assert_leq(apart, mine.n * APART_NS);
	return mine.n == disk.n;
}

static bool is_counted(struct work *w)
{
	w->read_well |= all_counted(w, "read", &w->read, w->reads);
	w->written_well |= all_counted(w, "write", &w->write, w->writes + w->synced);
	cr_assert_eq(counted(LATENCY, "cgroup", w->path, "other").n, 0);
	return w->read_well && w->written_well;
}

/* --- tests ------------------------------------------------------------------------------------- */

Test(cgroup_block, requests_of_two_cgroups, .init = setup_both, .fini = teardown_both)
{
	struct work works[] = {{"first", 300, 200}, {"second", 100, 250}};
	bool all = false;

	for (int i = 0; i < 2; i++)
		works[i].disk = make_disk(i, BLOCK * BLOCKS);
	for (int round = 0; round < ROUNDS && !all; round++) {
		do_work(works, 2);
		all = is_counted(&works[0]);
		all &= is_counted(&works[1]);
	}
	for (int i = 0; i < 2; i++)
		remove_disk(&works[i].disk);
	cr_assert(all);
	cr_assert_eq(counted(LATENCY, "cgroup", "other", "write").n, 0);
}

/* Whoever asks for a flush has a write of nothing for it, and the flush is a request of its own. */
Test(cgroup_block, flushes_are_of_no_cgroup, .init = setup_both, .fini = teardown_both)
{
	struct work w = {"flushing", .writes = 50, .flushes = FLUSHES};
	uint64_t before, flushes = 0;
	bool all = false;

	w.disk = make_disk(0, BLOCK * BLOCKS);
	for (int round = 0; round < ROUNDS && !(all && flushes == FLUSHES); round++) {
		poll_both();
		before = counted(WITHOUT, NULL, NULL, "other").n;
		do_work(&w, 1);
		flushes = counted(WITHOUT, NULL, NULL, "other").n - before;
		printf("%lu flushes of %d\n", flushes, FLUSHES);
		all = is_counted(&w);
	}
	remove_disk(&w.disk);
	cr_assert(all);
	cr_assert_eq(flushes, FLUSHES);
}

/* What is written with a flush ends twice: when it is written, and when it is flushed. */
Test(cgroup_block, written_through_once, .init = setup_both, .fini = teardown_both)
{
	struct work w = {"through", .writes = 50, .synced = 60};
	bool all = false;

	w.disk = make_disk(0, BLOCK * BLOCKS);
	for (int round = 0; round < ROUNDS && !all; round++) {
		do_work(&w, 1);
		all = is_counted(&w);
	}
	remove_disk(&w.disk);
	cr_assert(all);
}

/* What was counted of all, those without a slot included; *ret_shown: how many have one. */
static uint64_t count_all(const struct work *works, uint64_t each, int *ret_shown)
{
	uint64_t of_slots = 0, others = counted(LATENCY, "cgroup", "other", "write").n;

	*ret_shown = 0;
	for (int i = 0; i < MANY; i++) {
		uint64_t n = counted(LATENCY, "cgroup", works[i].path, "write").n;

		cr_expect_leq(n, each, "%s", works[i].path);
		*ret_shown += n > 0;
		of_slots += n;
	}
	printf("%d cgroups of %d have series of %lu writes, %lu are of others\n", *ret_shown, MANY,
		of_slots, others);
	return of_slots + others;
}

/* The first ones have series of their own; further ones are counted together, none is lost. */
Test(cgroup_block, more_cgroups_than_slots, .init = nothing_unless_emulated)
{
	static struct work works[MANY];
	static char names[MANY][12];
	uint64_t all = 0, before = 0;
	struct disk disk;
	int shown = 0;

	setup_both();
	disk = make_disk(0, BLOCK * BLOCKS);
	for (int round = 1; round <= ROUNDS && all - before < MANY * EACH; round++) {
		before = all;
		for (int i = 0; i < MANY; i++) {
			snprintf(names[i], sizeof(names[i]), "%d", i);
			works[i] = (struct work){names[i], .writes = EACH, .disk = disk};
			do_work(&works[i], 1);
		}
		all = count_all(works, (uint64_t)round * EACH, &shown);
	}
	remove_disk(&disk);
	teardown_both();
	cr_assert_leq(shown, OWN);
	cr_assert_geq(shown, OWN - 25); /* others on this machine, and what two CPUs waste */
	cr_assert_geq(all - before, MANY * EACH);
}
