/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tally's macros cost, and beside them what a program without tally could do. Built as an ordinary
 * program, as a static one, and as shared objects.
 */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include <sys/rseq.h>
#include <tally/tally.h>

#include "tests/bench/loops.h"

TALLY_COUNTER(one, "bench_one", "Counted in a loop");
TALLY_GAUGE(gauge, "bench_gauge", "Set in a loop");
#define MANY(X) \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define DEFINE(n) TALLY_COUNTER(c##n, "bench_many_" #n, "One of sixteen");
#define INC(n)    TALLY_INC(c##n);
MANY(DEFINE)

enum { CPUS_MAX = 1024, CHECKED = 1 << 22 };

struct line {
	uint64_t cell;
} __attribute__((aligned(128)));

static __thread uint64_t local;
static struct line own[LOOP_THREADS], shared, locked, per_cpu[CPUS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void atomic_inc(struct line *l)
{
	__atomic_fetch_add(&l->cell, 1, __ATOMIC_RELAXED);
}

static void mutex_inc(void)
{
	pthread_mutex_lock(&lock);
	locked.cell++;
	pthread_mutex_unlock(&lock);
}

/*
 * A restartable sequence: the kernel sends a thread that is preempted or moved between 1 and 2 to 4, in
 * front of which it wants to see the signature. The add between them is the commit.
 */
static inline __attribute__((always_inline)) void rseq_inc(void)
{
#ifdef __x86_64__
	struct rseq *r = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
	uint64_t at;

	__asm__ __volatile__(".pushsection __rseq_cs, \"aw\"\n"
			     ".balign 32\n"
			     "3:	.long 0, 0\n"
			     ".quad 1f, 2f - 1f, 4f\n"
			     ".popsection\n"
			     "0:	leaq 3b(%%rip), %[at]\n"
			     "movq %[at], %[cs]\n"
			     "1:	movl %[cpu], %k[at]\n"
			     "shlq %[shift], %[at]\n"
			     "addq %[cells], %[at]\n"
			     "addq $1, (%[at])\n"
			     "2:\n"
			     ".pushsection .text.unlikely, \"ax\"\n"
			     ".byte 0x0f, 0xb9, 0x3d\n"
			     ".long %c[sig]\n"
			     "4:	jmp 0b\n"
			     ".popsection\n"
			     : [at] "=&r"(at), [cs] "=m"(r->rseq_cs)
			     : [cpu] "m"(r->cpu_id), [cells] "r"(per_cpu), [sig] "i"(RSEQ_SIG),
			     [shift] "i"(__builtin_ctz(sizeof(struct line)))
			     : "memory", "cc");
#else
#error "the benchmark's restartable sequence is written for x86-64 only"
#endif
}

/* clang-format off */
#define CASES(X) \
	X(inc, "TALLY_INC", 1, 1, TALLY_INC(one)) \
	X(inc16, "TALLY_INC, 16 counters in turn", 1, 16, MANY(INC)) \
	X(inc2, "TALLY_INC, two threads, same counter", 2, 1, TALLY_INC(one)) \
	X(add, "TALLY_ADD", 1, 1, TALLY_ADD(one, i)) \
	X(set, "TALLY_GAUGE_SET", 1, 1, TALLY_GAUGE_SET(gauge, i)) \
	X(gauge_add, "TALLY_GAUGE_ADD", 1, 1, TALLY_GAUGE_ADD(gauge, 1)) \
	X(local, "thread-local ++", 1, 1, local++) \
	X(own1, "relaxed atomic on its own line", 1, 1, atomic_inc(&own[thread])) \
	X(own2, "relaxed atomics of two threads, each on its own line", 2, 1, atomic_inc(&own[thread])) \
	X(shared2, "relaxed atomic, two threads, same line", 2, 1, atomic_inc(&shared)) \
	X(rseq1, "rseq section, one add to the CPU's line", 1, 1, rseq_inc()) \
	X(rseq2, "rseq sections of two threads", 2, 1, rseq_inc()) \
	X(mutex1, "pthread mutex and ++", 1, 1, mutex_inc()) \
	X(mutex2, "pthread mutex and ++, two threads", 2, 1, mutex_inc())
/* clang-format on */

CASES(LOOP_DEFINE)
static const struct loop_case cases[] = {CASES(LOOP_ROW)};

/* A restartable sequence on a thread that has none registered would write anywhere. */
static int before(void)
{
	struct rseq *r = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);

	if (__rseq_size && (int32_t)r->cpu_id >= 0 && sysconf(_SC_NPROCESSORS_CONF) <= CPUS_MAX)
		return 0;
	fprintf(stderr, "the C library has registered no restartable sequences (rseq)\n");
	return 1;
}

/* What has been timed must also have counted. */
static uint64_t counted_by_rseq(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < CPUS_MAX; i++)
		sum += per_cpu[i].cell;
	return sum;
}

static int after(void)
{
	uint64_t tally = TALLY_VALUE(one), rseq = counted_by_rseq();

	loops_together(loop_inc2, CHECKED);
	loops_together(loop_rseq2, CHECKED);
	if (TALLY_VALUE(one) - tally == LOOP_THREADS * CHECKED &&
		counted_by_rseq() - rseq == LOOP_THREADS * CHECKED)
		return 0;
	fprintf(stderr, "increments were lost\n");
	return 1;
}

const struct loop_table loop_table = {cases, LOOP_COUNT(cases), before, after};
