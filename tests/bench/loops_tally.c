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

/* A handle where a program's own loop would have it: in a register. */
#define LOOP_LOCALS                                             \
	const struct tally_counter_handle kept = handle_of_one; \
	(void)kept;
#include "tests/bench/loops.h"

enum { CPUS_MAX = 1024, CHECKED = 1 << 22, SERIES_MAX = 100, VALUES = 1024 };

TALLY_COUNTER(one, "bench_one", "Counted in a loop");
TALLY_GAUGE(gauge, "bench_gauge", "Set in a loop");
TALLY_GAUGE_DOUBLE(real, "bench_real", "", "Set in a loop");
TALLY_PEAK(peak, "bench_peak", "", "Raised in a loop");
TALLY_COUNTER_SET(set, "bench_set", "One of four", "method", "get", "head", "put", "post");
TALLY_COUNTER_BY(by, "bench_by", "Labelled", SERIES_MAX, "tenant");
TALLY_COUNTER_BY(
	full, "bench_full", "With more labels than there is room for", SERIES_MAX, "tenant");
TALLY_HISTOGRAM(sizes, "bench_size_bytes", "bytes", 16, 1 << 20, "Recorded in a loop");
TALLY_HISTOGRAM_BY(sizes_by, "bench_labelled_size_bytes", "bytes", 0, 16, 1 << 20, 25,
	"Recorded by label", SERIES_MAX, "tenant");
#define MANY(X) \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define DEFINE(n) TALLY_COUNTER(c##n, "bench_many_" #n, "One of sixteen");
#define INC(n)    TALLY_INC(c##n);
MANY(DEFINE)

struct line {
	uint64_t cell;
} __attribute__((aligned(128)));

static __thread uint64_t local;
static struct line own[LOOP_THREADS], shared, locked, written[8], per_cpu[CPUS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct tally_counter_handle handle_of_one;
static struct tally_histogram_handle size_handle;
static uint64_t values[VALUES]; /* of all powers of two that the histograms have, in no order */

#define WRITE(k) __atomic_store_n(&written[k].cell, k, __ATOMIC_RELAXED)

/* What a program does between two counts: stores to lines of its own, which an atomic must wait for. */
static inline __attribute__((always_inline)) void work(void)
{
	WRITE(0);
	WRITE(1);
	WRITE(2);
	WRITE(3);
	WRITE(4);
	WRITE(5);
	WRITE(6);
	WRITE(7);
}

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
	X(inc_h, "TALLY_INC_H, by handle", 1, 1, TALLY_INC_H(kept)) \
	X(inc_h_memory, "TALLY_INC_H, handle loaded from memory", 1, 1, TALLY_INC_H(handle_of_one)) \
	X(inc_at, "TALLY_INC_AT, of a set", 1, 1, TALLY_INC_AT(set, i & 3)) \
	X(resolve, "TALLY_COUNTER_HANDLE, known label", 1, 1, TALLY_COUNTER_HANDLE(by, "alice")) \
	X(resolve_full, "TALLY_COUNTER_HANDLE, new label, full table of 100", 1, 1, \
		TALLY_COUNTER_HANDLE(full, "alice")) \
	X(set, "TALLY_GAUGE_SET", 1, 1, TALLY_GAUGE_SET(gauge, i)) \
	X(gauge_add, "TALLY_GAUGE_ADD", 1, 1, TALLY_GAUGE_ADD(gauge, 1)) \
	X(gauge_max, "TALLY_GAUGE_MAX, mostly lower", 1, 1, TALLY_GAUGE_MAX(peak, values[i % VALUES])) \
	X(real_set, "TALLY_GAUGE_DOUBLE_SET", 1, 1, TALLY_GAUGE_DOUBLE_SET(real, i)) \
	X(real_add, "TALLY_GAUGE_DOUBLE_ADD", 1, 1, TALLY_GAUGE_DOUBLE_ADD(real, 0.5)) \
	X(record, "TALLY_RECORD, varying values", 1, 1, TALLY_RECORD(sizes, values[i % VALUES])) \
	X(record1, "TALLY_RECORD, always the same value", 1, 1, TALLY_RECORD(sizes, 1000)) \
	X(record_h, "TALLY_RECORD_H, by handle, varying values", 1, 1, \
		TALLY_RECORD_H(size_handle, values[i % VALUES])) \
	X(local, "thread-local ++", 1, 1, local++) \
	X(own1, "relaxed atomic on its own line", 1, 1, atomic_inc(&own[thread])) \
	X(own2, "relaxed atomics of two threads, each on its own line", 2, 1, atomic_inc(&own[thread])) \
	X(shared2, "relaxed atomic, two threads, same line", 2, 1, atomic_inc(&shared)) \
	X(work, "8 stores to lines of the program's own", 1, 1, work()) \
	X(work_inc, "the same 8 stores and TALLY_INC", 1, 1, work(); TALLY_INC(one)) \
	X(work_own, "the same 8 stores and a relaxed atomic on its own line", 1, 1, \
		work(); atomic_inc(&own[thread])) \
	X(rseq1, "rseq section, one add to the CPU's line", 1, 1, rseq_inc()) \
	X(rseq2, "rseq sections of two threads", 2, 1, rseq_inc()) \
	X(mutex1, "pthread mutex and ++", 1, 1, mutex_inc()) \
	X(mutex2, "pthread mutex and ++, two threads", 2, 1, mutex_inc())
/* clang-format on */

CASES(LOOP_DEFINE)
static const struct loop_case cases[] = {CASES(LOOP_ROW)};

/* A restartable sequence on a thread that has none registered would write anywhere. */
static int has_rseq(void)
{
	struct rseq *r = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);

	return __rseq_size && (int32_t)r->cpu_id >= 0 && sysconf(_SC_NPROCESSORS_CONF) <= CPUS_MAX;
}

static int before(void)
{
	uint32_t random = 1;
	char label[16];

	if (!has_rseq()) {
		fprintf(stderr, "the C library has registered no restartable sequences (rseq)\n");
		return 1;
	}
	for (int i = 0; i < VALUES; i++) {
		random = random * 747796405u + 2891336453u;
		values[i] = (16 + (random & 15)) << (random >> 28);
	}
	for (int i = 0; i < SERIES_MAX; i++) {
		snprintf(label, sizeof(label), "user%d", i);
		TALLY_INC_H(TALLY_COUNTER_HANDLE(full, label));
	}
	handle_of_one = TALLY_COUNTER_HANDLE(by, "alice");
	size_handle = TALLY_HISTOGRAM_HANDLE(sizes_by, "alice");
	return 0;
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
	uint64_t labelled = TALLY_VALUE_H(handle_of_one),
		 sizes_before = TALLY_HISTOGRAM_COUNT(sizes);

	loops_together(loop_inc2, CHECKED);
	loops_together(loop_inc_h, CHECKED);
	loops_together(loop_record, CHECKED);
	loops_together(loop_rseq2, CHECKED);
	if (TALLY_VALUE(one) - tally == LOOP_THREADS * CHECKED &&
		TALLY_VALUE_H(handle_of_one) - labelled == LOOP_THREADS * CHECKED &&
		TALLY_HISTOGRAM_COUNT(sizes) - sizes_before == LOOP_THREADS * CHECKED &&
		counted_by_rseq() - rseq == LOOP_THREADS * CHECKED)
		return 0;
	fprintf(stderr, "increments were lost\n");
	return 1;
}

const struct loop_table loop_table = {cases, LOOP_COUNT(cases), before, after};
