/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Module "page_cache": blocks of a disk of the test's own are read, first from the disk and then from memory. Others
 * of this machine may read as well: never less may be counted, and exactly as much in one of the tries.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define MODULE_UNDER_TEST module_page_cache
#include "tests/lib/testdisk.h"
#include "tests/lib/testmodule.h"
#include "user/provider/kernel/module_state.h"

enum { BLOCKS = 512, BLOCK = 4096, TRIES = 20 };

static struct disk disk;
static int file;

struct figures {
	uint64_t lookups, misses;
};

static void setup_disk_alone(void)
{
	char path[32];

	make_space("16m");
	disk = make_disk(0, BLOCKS * BLOCK);
	snprintf(path, sizeof(path), "/dev/%s", disk.name);
	file = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(file, 0);
}

static void setup_disk(void)
{
	setup_disk_alone();
	setup();
}

static void teardown_disk(void)
{
	teardown();
	close(file);
	remove_disk(&disk);
	remove_space();
}

/* Nothing of the disk is in memory after this. */
static void forget(void)
{
	cr_assert_eq(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
}

static void read_blocks(void)
{
	static char block[BLOCK];

	for (int i = 0; i < BLOCKS; i++)
		cr_assert_eq(pread(file, block, BLOCK, (off_t)i * BLOCK), BLOCK);
}

/* What is counted while fn runs. */
static struct figures figures_of(void (*fn)(void))
{
	struct figures f;

	poll_producer();
	f.lookups = value("page_cache_lookups", NULL, SERIES_VALUE);
	f.misses = value("page_cache_misses", NULL, SERIES_VALUE);
	fn();
	poll_producer();
	f.lookups = value("page_cache_lookups", NULL, SERIES_VALUE) - f.lookups;
	f.misses = value("page_cache_misses", NULL, SERIES_VALUE) - f.misses;
	return f;
}

static void assert_figures(
	void (*before)(void), void (*fn)(void), uint64_t lookups, uint64_t misses)
{
	struct figures f = {0};
	int tries = 0;

	do {
		if (before)
			before();
		f = figures_of(fn);
		cr_assert_geq(f.lookups, lookups);
		cr_assert_geq(f.misses, misses);
	} while ((f.lookups != lookups || f.misses != misses) && ++tries < TRIES);
	printf("%lu lookups, %lu misses, after %d tries\n", f.lookups, f.misses, tries);
	cr_assert_eq(f.lookups, lookups, "in none of the tries");
	cr_assert_eq(f.misses, misses, "in none of the tries");
}

/* Programs at functions need no more than those at tracepoints do. */
Test(page_cache, two_capabilities_suffice, .init = setup_disk_alone, .fini = teardown_disk)
{
	pid_t child = fork();
	int status = -1;

	if (!child) {
		keep_capabilities(1ull << CAP_BPF | 1ull << CAP_PERFMON);
		setup();
		_exit(figures_of(read_blocks).lookups < BLOCKS);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
}

static void fault_blocks(void)
{
	const char *at = mmap(NULL, BLOCKS * BLOCK, PROT_READ, MAP_PRIVATE, file, 0);
	int sum = 0;

	cr_assert_neq(at, MAP_FAILED);
	cr_assert_eq(madvise((void *)at, BLOCKS * BLOCK, MADV_SEQUENTIAL), 0);
	for (int i = 0; i < BLOCKS; i++)
		sum += *(const volatile char *)(at + (size_t)i * BLOCK);
	cr_assert_eq(sum, 0);
	cr_assert_eq(munmap((void *)at, BLOCKS * BLOCK), 0);
}

/* They have pages read by the same function of the kernel, also just after a lookup. */
static void read_one_and_fault(void)
{
	char byte;

	cr_assert_eq(pread(file, &byte, 1, (BLOCKS - 1) * BLOCK), 1);
	fault_blocks();
}

static void forget_all_but_the_last(void)
{
	char byte;

	forget();
	cr_assert_eq(pread(file, &byte, 1, (BLOCKS - 1) * BLOCK), 1);
}

static void read_all(void)
{
	static char all[BLOCKS * BLOCK];

	cr_assert_eq(pread(file, all, sizeof(all), 0), (ssize_t)sizeof(all));
}

/* One after the other, so that the kernel reads ahead. */
static void check_order(void)
{
	struct figures f;

	forget();
	f = figures_of(read_blocks);
	printf("%lu lookups, %lu misses one after the other\n", f.lookups, f.misses);
	cr_assert_geq(f.lookups, BLOCKS);
	cr_assert_geq(f.misses, 1);
	cr_assert_leq(f.misses, BLOCKS / 4);
	/* it takes 15 pieces at a time, newer kernels 31, of a page or more each; others may read as well */
	f = figures_of(read_all);
	printf("%lu lookups at once\n", f.lookups);
	cr_assert_geq(f.lookups, 1);
	cr_assert_leq(f.lookups, BLOCKS / 8);
}

/* Reads a block as soon as it wakes, also while another task's program runs where the kernel preempts that. */
static pid_t start_hasty_reader(void)
{
	const struct sched_param first = {.sched_priority = 1};
	pid_t pid = fork_named("tally-hasty");
	char byte;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sched_setscheduler(0, SCHED_FIFO, &first);
	for (;;) {
		usleep(200);
		if (pread(file, &byte, 1, 0) != 1)
			abort();
	}
}

static uint64_t missed_lookups(void)
{
	return program_info("tally_page_lookup", NULL, 0).recursion_misses;
}

/*
 * Events that the program was not run for, as it ran already: kernels that preempt programs have some. The provider
 * asks for them once a minute.
 */
static void check_misses(void)
{
	uint64_t least = 0, counted, most;
	pid_t hasty;

	stay_on_cpu(0);
	hasty = start_hasty_reader();
	for (int i = 0; i < 50 && !least; i++) {
		read_blocks();
		least = missed_lookups();
	}
	kill(hasty, SIGKILL);
	cr_assert_eq(waitpid(hasty, NULL, 0), hasty);
	least = missed_lookups();
	((struct module_state *)producer.state)->asked_ns -= 60 * NSEC_PER_SEC;
	poll_producer();
	counted = value("bpf_program_misses", "program=\"tally_page_lookup\"", SERIES_VALUE);
	most = missed_lookups();
	printf("missed: %lu <= %lu <= %lu\n", least, counted, most);
	cr_assert_geq(counted, least);
	cr_assert_leq(counted, most);
}

/* All in one: to load a module takes long in an emulated machine. */
Test(page_cache, known_reads, .init = setup_disk, .fini = teardown_disk)
{
	check_order();
	/* so that each block is read for itself */
	cr_assert_eq(posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM), 0);
	assert_figures(forget, read_blocks, BLOCKS, BLOCKS);
	assert_figures(NULL, read_blocks, BLOCKS, 0);
	assert_figures(forget_all_but_the_last, read_one_and_fault, 1, 0);
	check_misses();
}
