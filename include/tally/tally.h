/* SPDX-License-Identifier: MIT */
/*
 * tally: counters that cost about as much as x++, exact, and read from outside the program.
 *
 *	#include <tally/tally.h>
 *
 *	TALLY_COUNTER(requests, "http_requests", "Requests served");
 *
 *	void serve(void)
 *	{
 *		TALLY_INC(requests);
 *	}
 *
 * There is nothing to link and nothing to call first. C11 and C++17, gcc and clang, Linux, 64 bit.
 *
 * All macros that count are thread safe, async-signal-safe, and exact across threads, fork, exec and
 * SIGKILL; they never fail, never change errno, and take no lock. A thread's first use claims a row
 * of the segment (a few system calls); after that one use is a compare and one add to memory that no
 * other thread writes. Where tally is not installed, or its directory is full or unreadable, counting
 * goes to private memory and the program runs as before.
 *
 * Define metrics at file scope (in C++ also in a named namespace), in one file or, for those of inline
 * functions, in a header: the same name and labels from several places are summed. Names are those
 * of OpenMetrics: [a-zA-Z_:][a-zA-Z0-9_:]*, the unit at the end, without _total, _bucket and _info, which are added
 * where they are shown. A wrong one does not compile; or, where the compiler can't tell (clang in C), is
 * left out with a message on standard error when the program starts.
 *
 * Environment: TALLY_DIR, the directory of segments (default /run/tally/seg); not under setuid.
 * Compile time: TALLY_OBJECT, a string that names a shared object's own segment; TALLY_TLS_MODEL,
 * "initial-exec" for shared objects that are never loaded by dlopen.
 */
#ifndef TALLY_TALLY_H
#define TALLY_TALLY_H

#include <stddef.h>
#include <stdint.h>

#if !defined(__linux__) || UINTPTR_MAX < UINT64_MAX
#error "tally needs Linux on a 64-bit machine"
#endif

#include <tally/layout.h>

TALLY_BEGIN_

#ifdef __cplusplus
extern "C" {
#endif

/* One type each, so that the compiler tells a gauge from a counter. */
struct tally_counter {
	struct tally_desc_ desc_;
};
struct tally_home_ {
	uint64_t n_;
};
struct tally_gauge {
	struct tally_desc_ desc_;
};
struct tally_gauge_double {
	struct tally_desc_ desc_;
};
struct tally_histogram {
	struct tally_desc_ desc_;
};
struct tally_info {
	struct tally_desc_ desc_;
};
/* Many series of one name, that differ by their labels. */
struct tally_counters {
	struct tally_desc_ desc_;
};
struct tally_gauges {
	struct tally_desc_ desc_;
};
struct tally_histograms {
	struct tally_desc_ desc_;
};

/*
 * One of those series. Good in all threads and in forked children, for as long as the object is loaded
 * that defines it. A value: copy it as you like.
 */
struct tally_counter_handle {
	uintptr_t home_; /* as a counter's: tally_thread_.way from its cell */
};
struct tally_gauge_handle {
	uint64_t *cell_;
};
struct tally_histogram_handle {
	struct tally_desc_ *desc_;
	uint32_t cell_;
};

/* A thread's own row. It is valid while its generation is that of the process. */
struct tally_thread_ {
	uint64_t generation; /* 1 at first, which no process ever has */
	uintptr_t way; /* from a counter's home to its cell in the row, modulo 2^64 */
	char *row;
	uint32_t retry; /* counts to make on the shared row before asking for a row again */
	uint32_t random; /* of sampled timers */
};

/*
 * Alone on pages that the kernel wipes in a forked child (MADV_WIPEONFORK): a child, by whatever call
 * it was made, finds generation 0 and so takes rows of its own.
 */
#define TALLY_PAGE_ 4096
#if defined(__aarch64__)
#undef TALLY_PAGE_
#define TALLY_PAGE_ 65536
#endif
struct tally_process_ {
	uint64_t generation; /* of this process in its segment; 0: none yet */
	uint32_t busy; /* a thread is attaching, or drawing the generation */
	uint32_t pid; /* as getpid() said when the generation was drawn */
	uint32_t pid_ns; /* inode of its pid namespace, 0 if unknown */
	char pad[TALLY_PAGE_ - 24];
};

#ifdef TALLY_TLS_MODEL
#define TALLY_TLS_ \
	__attribute__((__weak__, __visibility__("hidden"), __tls_model__(TALLY_TLS_MODEL)))
#else
#define TALLY_TLS_ TALLY_ONE_
#endif

extern __thread struct tally_thread_ tally_thread_ TALLY_TLS_;
__thread struct tally_thread_ tally_thread_ TALLY_TLS_ = {1, 0, 0, 0, 0};

extern struct tally_process_ tally_process_ TALLY_ONE_ __attribute__((__aligned__(TALLY_PAGE_)));
struct tally_process_ tally_process_;

#ifdef __cplusplus
}
#endif

TALLY_END_

#include <tally/attach.h>
#include <tally/define.h>

/* --- counters ------------------------------------------------------------------------------- */

/* A counter only goes up. Shown as NAME_total. */
#define TALLY_COUNTER(id, name, ...) TALLY_DEFINE_COUNTER_(tally_id_##id, name, "", 0, __VA_ARGS__)
/* With a unit ("bytes", "seconds"), which OpenMetrics wants at the end of the name too. */
#define TALLY_COUNTER_UNIT(id, name, unit, ...) \
	TALLY_DEFINE_COUNTER_(tally_id_##id, name, unit, 0, __VA_ARGS__)
/* What is shown is the count x 10^scale: nanoseconds as seconds with scale -9. -18 <= scale <= 18. */
#define TALLY_COUNTER_SCALED(id, name, unit, scale, ...) \
	TALLY_DEFINE_COUNTER_(tally_id_##id, name, unit, scale, __VA_ARGS__)

#define TALLY_INC(id) tally_add_(&tally_id_##id, &tally_id_##id##_home_, 1)
/* n is taken as unsigned 64 bit; the counter wraps at 2^64. */
#define TALLY_ADD(id, n) tally_add_(&tally_id_##id, &tally_id_##id##_home_, (uint64_t)(n))
/* What this process and those forked from it have counted, uint64_t; for tests and logs. */
#define TALLY_VALUE(id) tally_counter_value_(&tally_id_##id)

/* --- gauges --------------------------------------------------------------------------------- */

/*
 * A gauge goes up and down: a signed number, or a double. What is shown is the sum over the segments of
 * the program's living processes; a process and its forks have one gauge between them.
 */
#define TALLY_GAUGE(id, name, ...) \
	TALLY_DEFINE_(tally_gauge, TALLY_TYPE_GAUGE, tally_id_##id, name, "", 0, 0, __VA_ARGS__)
#define TALLY_GAUGE_UNIT(id, name, unit, ...) \
	TALLY_DEFINE_(tally_gauge, TALLY_TYPE_GAUGE, tally_id_##id, name, unit, 0, 0, __VA_ARGS__)
#define TALLY_GAUGE_SCALED(id, name, unit, scale, ...) \
	TALLY_DEFINE_(                                 \
		tally_gauge, TALLY_TYPE_GAUGE, tally_id_##id, name, unit, scale, 0, __VA_ARGS__)
#define TALLY_GAUGE_DOUBLE(id, name, unit, ...)                                                  \
	TALLY_DEFINE_(tally_gauge_double, TALLY_TYPE_GAUGE_DOUBLE, tally_id_##id, name, unit, 0, \
		0, __VA_ARGS__)
/* A gauge of which several processes show the highest: for what TALLY_GAUGE_MAX has seen. */
#define TALLY_PEAK(id, name, unit, ...)                                            \
	TALLY_DEFINE_(tally_gauge, TALLY_TYPE_GAUGE, tally_id_##id, name, unit, 0, \
		TALLY_FLAG_PEAK, __VA_ARGS__)

/* Set is a plain store that others see at once; of two threads that set, the last one wins. */
#define TALLY_GAUGE_SET(id, v) tally_gauge_set_(&tally_id_##id.desc_, 0, (int64_t)(v))
/* n may be negative. Atomic: 20 cycles, more if threads contend for the same gauge. */
#define TALLY_GAUGE_ADD(id, n) tally_gauge_add_(&tally_id_##id.desc_, 0, (int64_t)(n))
/* Raises it to v if it is lower: a load, and an atomic exchange only where it is. */
#define TALLY_GAUGE_MAX(id, v) tally_gauge_max_(&tally_id_##id.desc_, 0, (int64_t)(v))
#define TALLY_GAUGE_VALUE(id)  tally_gauge_value_(&tally_id_##id)

#define TALLY_GAUGE_DOUBLE_SET(id, v) tally_double_set_(&tally_id_##id, (double)(v))
#define TALLY_GAUGE_DOUBLE_ADD(id, n) tally_double_add_(&tally_id_##id, (double)(n))
#define TALLY_GAUGE_DOUBLE_MAX(id, v) tally_double_max_(&tally_id_##id, (double)(v))
#define TALLY_GAUGE_DOUBLE_VALUE(id)  tally_double_value_(&tally_id_##id)

/* --- histograms ----------------------------------------------------------------------------- */

/*
 * How often which values occurred, unsigned integers from min to max (constants), in buckets that are at most
 * error (in percent, 25 where nothing is said) of their values wide; smaller and larger ones are counted
 * too, in a bucket each. Thread-owned like counters: two adds. The number of values is the sum of the
 * buckets, always; the sum of the values is kept beside, and misses the last one of a killed thread.
 * Takes 8 bytes a bucket and thread: 4 buckets for each power of two at 25 %.
 */
#define TALLY_HISTOGRAM(id, name, unit, min, max, ...) \
	TALLY_DEFINE_HISTOGRAM_(                       \
		tally_histogram, tally_id_##id, name, unit, 0, min, max, 25, __VA_ARGS__)
#define TALLY_HISTOGRAM_FULL(id, name, unit, scale, min, max, error, ...) \
	TALLY_DEFINE_HISTOGRAM_(                                          \
		tally_histogram, tally_id_##id, name, unit, scale, min, max, error, __VA_ARGS__)
/* Of times, recorded in nanoseconds and shown in seconds: from 1 us to 17 s. */
#define TALLY_TIMER(id, name, ...)                                                         \
	TALLY_DEFINE_HISTOGRAM_(tally_histogram, tally_id_##id, name, "seconds", -9, 1024, \
		16000000000, 25, __VA_ARGS__)
#define TALLY_TIMER_RANGE(id, name, min_ns, max_ns, ...)                                     \
	TALLY_DEFINE_HISTOGRAM_(tally_histogram, tally_id_##id, name, "seconds", -9, min_ns, \
		max_ns, 25, __VA_ARGS__)

#define TALLY_RECORD(id, v) tally_record_(&tally_id_##id.desc_, 0, (uint64_t)(v), 1)
/* How many values were recorded, their sum, and how many of them in the bucket of v: uint64_t. */
#define TALLY_HISTOGRAM_COUNT(id)     tally_histogram_count_(&tally_id_##id)
#define TALLY_HISTOGRAM_SUM(id)       tally_histogram_sum_(&tally_id_##id)
#define TALLY_HISTOGRAM_BUCKET(id, v) tally_value_bucket_(&tally_id_##id.desc_, 0, (uint64_t)(v))

/* --- timers --------------------------------------------------------------------------------- */

/* From here to the end of the block, however it is left, into this timer. Two reads of the clock. */
#define TALLY_TIME(id) TALLY_TIME_SCOPE_(tally_id_##id, 1)
/*
 * The same for one run in n, drawn at random, which then counts n times: counts and sum are right in
 * the mean, and the clock is paid for once in n. n is at least 1.
 */
#define TALLY_TIME_SAMPLED(id, n) TALLY_TIME_SCOPE_(tally_id_##id, tally_sample_(n))
/* By hand: struct tally_start s = TALLY_START(); ... TALLY_STOP(id, s); */
#define TALLY_START()         tally_start_()
#define TALLY_STOP(id, start) tally_record_(&tally_id_##id.desc_, 0, tally_elapsed_(start), 1)

/* --- labels --------------------------------------------------------------------------------- */

/*
 * Labels that are known when the program is compiled stand behind the help of any definition:
 * TALLY_COUNTER(get, "requests", "Requests", TALLY_LABELS("method", "get")); up to four pairs.
 */
#define TALLY_LABELS(...) TALLY_PAIRS_(__VA_ARGS__, 4, 0, 3, 0, 2, 0, 1, 0, 0)(__VA_ARGS__)

/* Always 1: what it says is in its labels. Shown as NAME_info. */
#define TALLY_INFO(id, name, ...) \
	TALLY_DEFINE_(tally_info, TALLY_TYPE_INFO, tally_id_##id, name, "", 0, 0, __VA_ARGS__)

/*
 * A counter for each value of a label, all known beforehand and counted by their number from 0 on:
 * TALLY_COUNTER_SET(by_method, "requests", "Requests", "method", "get", "put");
 * TALLY_INC_AT(by_method, 1). A number that is too large counts as "overflow".
 */
#define TALLY_COUNTER_SET(id, name, help, label, ...) \
	TALLY_DEFINE_SET_(tally_id_##id, name, help, label, __VA_ARGS__)
#define TALLY_INC_AT(id, i)    tally_add_at_(&tally_id_##id, (uint64_t)(i), 1)
#define TALLY_ADD_AT(id, i, n) tally_add_at_(&tally_id_##id, (uint64_t)(i), (uint64_t)(n))
/* What series i has counted since its segment was made; uint64_t. */
#define TALLY_VALUE_AT(id, i) tally_value_at_(&tally_id_##id, (uint64_t)(i))

/*
 * Series for label values that turn up while the program runs, at most max of each metric in a segment; what comes
 * then is counted in one more, whose labels are "overflow", and readers say which values were the first.
 * One to three labels; values of at most 118 bytes together.
 */
#define TALLY_COUNTER_BY(id, name, help, max, ...)                                          \
	TALLY_DEFINE_BY_(tally_counters, TALLY_TYPE_COUNTER, tally_id_##id, name, "", 0, 1, \
		TALLY_PLAIN_, help, max, __VA_ARGS__)
#define TALLY_GAUGE_BY(id, name, help, max, ...)                                        \
	TALLY_DEFINE_BY_(tally_gauges, TALLY_TYPE_GAUGE, tally_id_##id, name, "", 0, 1, \
		TALLY_PLAIN_, help, max, __VA_ARGS__)
#define TALLY_HISTOGRAM_BY(id, name, unit, scale, min, max, error, help, max_series, ...) \
	TALLY_DEFINE_HISTOGRAM_BY_(                                                       \
		tally_id_##id, name, unit, scale, min, max, error, help, max_series, __VA_ARGS__)

/*
 * The handle of a series, made if it is new: keep it, then counting by it costs what a plain counter
 * does. Async-signal-safe; some 20 ns, more in a table that is full.
 */
#define TALLY_COUNTER_HANDLE(id, ...) \
	tally_counter_handle_(&tally_id_##id, TALLY_VALUES_(__VA_ARGS__, 0, 0, 0))
#define TALLY_GAUGE_HANDLE(id, ...) \
	tally_gauge_handle_(&tally_id_##id, TALLY_VALUES_(__VA_ARGS__, 0, 0, 0))
#define TALLY_HISTOGRAM_HANDLE(id, ...) \
	tally_histogram_handle_(&tally_id_##id, TALLY_VALUES_(__VA_ARGS__, 0, 0, 0))

#define TALLY_INC_H(handle)          tally_add_h_(handle, 1)
#define TALLY_ADD_H(handle, n)       tally_add_h_(handle, (uint64_t)(n))
#define TALLY_SET_H(handle, v)       tally_set_h_(handle, (int64_t)(v))
#define TALLY_GAUGE_ADD_H(handle, n) tally_gauge_add_h_(handle, (int64_t)(n))
#define TALLY_RECORD_H(handle, v)    tally_record_h_(handle, (uint64_t)(v))
/* What the series has counted since its segment was made, uint64_t; what the gauge is, int64_t. */
#define TALLY_VALUE_H(handle)           tally_value_h_(handle)
#define TALLY_GAUGE_VALUE_H(handle)     tally_gauge_value_h_(handle)
#define TALLY_HISTOGRAM_COUNT_H(handle) tally_value_((handle).desc_, (handle).cell_)

/* --- in other files ------------------------------------------------------------------------- */

/* To use in this file what another file of the same program or shared object defines. */
#define TALLY_EXTERN(id)              TALLY_EXTERN_COUNTER_(tally_id_##id)
#define TALLY_GAUGE_EXTERN(id)        TALLY_EXTERN_(tally_gauge, tally_id_##id)
#define TALLY_GAUGE_DOUBLE_EXTERN(id) TALLY_EXTERN_(tally_gauge_double, tally_id_##id)
#define TALLY_HISTOGRAM_EXTERN(id)    TALLY_EXTERN_(tally_histogram, tally_id_##id)
#define TALLY_COUNTERS_EXTERN(id)     TALLY_EXTERN_(tally_counters, tally_id_##id) /* _SET and _BY */
#define TALLY_GAUGES_EXTERN(id)       TALLY_EXTERN_(tally_gauges, tally_id_##id)
#define TALLY_HISTOGRAMS_EXTERN(id)   TALLY_EXTERN_(tally_histograms, tally_id_##id)

TALLY_BEGIN_

/* --- the hot path --------------------------------------------------------------------------- */

/*
 * Has this thread a row of its own, in tally_thread_.row? volatile keeps the order of the reads: a
 * cell that is read after this is the one that was given before the row was claimed, also if a signal
 * handler did both between two instructions of this.
 */
#define TALLY_READ_(x)   (*(const volatile __typeof__(x) *)&(x))
#define TALLY_HAS_ROW_() __builtin_expect(tally_has_row_(), 1)

TALLY_FN_ int tally_has_row_(void)
{
	uint64_t own = TALLY_READ_(tally_thread_.generation);
#if defined(__x86_64__) && defined(__GCC_ASM_FLAG_OUTPUTS__)
	int same;

	/* compared where it is: gcc takes a volatile into a register first */
	__asm__ __volatile__("cmpq %2, %1"
			     : "=@cce"(same)
			     : "r"(own), "m"(tally_process_.generation));
	return same;
#else
	return own == TALLY_READ_(tally_process_.generation);
#endif
}

TALLY_FN_ void tally_add_(struct tally_counter *c, struct tally_home_ *home, uint64_t n)
{
	if (TALLY_HAS_ROW_())
		tally_cell_add_((uint64_t *)((uintptr_t)home + TALLY_READ_(tally_thread_.way)), n);
	else
		tally_add_slow_(&c->desc_, 0, n);
}

/* n values v: first the count, then the sum. cell 0: the descriptor knows it. */
TALLY_FN_ void tally_record_(struct tally_desc_ *d, uint32_t cell, uint64_t v, uint64_t n)
{
	if (TALLY_HAS_ROW_()) {
		char *row = TALLY_READ_(tally_thread_.row) + (cell ? cell : TALLY_READ_(d->cell));
		uint64_t *first = (uint64_t *)(void *)row;

		tally_cell_add_(first + 1 + tally_bucket_(d, v), n);
		tally_cell_add_(first, n * v);
	} else {
		tally_record_slow_(d, cell, v, n);
	}
}

TALLY_FN_ void tally_gauge_set_(struct tally_desc_ *d, uint32_t cell, int64_t v)
{
	__atomic_store_n(tally_gauge_cell_(d, cell), (uint64_t)v, __ATOMIC_RELAXED);
}

TALLY_FN_ void tally_gauge_add_(struct tally_desc_ *d, uint32_t cell, int64_t n)
{
	__atomic_fetch_add(tally_gauge_cell_(d, cell), (uint64_t)n, __ATOMIC_RELAXED);
}

TALLY_FN_ void tally_gauge_max_(struct tally_desc_ *d, uint32_t cell, int64_t v)
{
	uint64_t *at = tally_gauge_cell_(d, cell), now = __atomic_load_n(at, __ATOMIC_RELAXED);

	while ((int64_t)now < v && !__atomic_compare_exchange_n(at, &now, (uint64_t)v, 1,
					   __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

TALLY_FN_ double tally_to_double_(uint64_t bits)
{
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

TALLY_FN_ uint64_t tally_from_double_(double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	return bits;
}

TALLY_FN_ void tally_double_set_(struct tally_gauge_double *g, double v)
{
	__atomic_store_n(tally_gauge_cell_(&g->desc_, 0), tally_from_double_(v), __ATOMIC_RELAXED);
}

TALLY_FN_ void tally_double_add_(struct tally_gauge_double *g, double n)
{
	uint64_t *at = tally_gauge_cell_(&g->desc_, 0);
	uint64_t now = __atomic_load_n(at, __ATOMIC_RELAXED);

	while (!__atomic_compare_exchange_n(at, &now, tally_from_double_(tally_to_double_(now) + n),
		1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

TALLY_FN_ void tally_double_max_(struct tally_gauge_double *g, double v)
{
	uint64_t *at = tally_gauge_cell_(&g->desc_, 0);
	uint64_t now = __atomic_load_n(at, __ATOMIC_RELAXED);

	while (tally_to_double_(now) < v &&
		!__atomic_compare_exchange_n(
			at, &now, tally_from_double_(v), 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

TALLY_FN_ double tally_double_value_(struct tally_gauge_double *g)
{
	return tally_to_double_(tally_value_(&g->desc_, 0));
}

TALLY_FN_ void tally_add_at_(struct tally_counters *c, uint64_t i, uint64_t n)
{
	uint32_t last = c->desc_.slots - 1, at = 8 * (i < last ? (uint32_t)i : last);

	if (TALLY_HAS_ROW_())
		tally_cell_add_((uint64_t *)(void *)(TALLY_READ_(tally_thread_.row) + at +
						     TALLY_READ_(c->desc_.cell)),
			n);
	else
		tally_add_at_slow_(&c->desc_, at, n);
}

TALLY_FN_ void tally_add_h_(struct tally_counter_handle h, uint64_t n)
{
	if (TALLY_HAS_ROW_())
		tally_cell_add_((uint64_t *)(h.home_ + TALLY_READ_(tally_thread_.way)), n);
	else
		tally_add_home_slow_(h.home_, n);
}

TALLY_FN_ void tally_set_h_(struct tally_gauge_handle h, int64_t v)
{
	__atomic_store_n(h.cell_, (uint64_t)v, __ATOMIC_RELAXED);
}

TALLY_FN_ void tally_gauge_add_h_(struct tally_gauge_handle h, int64_t n)
{
	__atomic_fetch_add(h.cell_, (uint64_t)n, __ATOMIC_RELAXED);
}

TALLY_FN_ int64_t tally_gauge_value_h_(struct tally_gauge_handle h)
{
	return (int64_t)__atomic_load_n(h.cell_, __ATOMIC_RELAXED);
}

TALLY_FN_ void tally_record_h_(struct tally_histogram_handle h, uint64_t v)
{
	tally_record_(h.desc_, h.cell_, v, 1);
}

TALLY_FN_ uint64_t tally_value_h_(struct tally_counter_handle h)
{
	return tally_value_home_(h.home_);
}

/* --- values --------------------------------------------------------------------------------- */

TALLY_FN_ uint64_t tally_counter_value_(struct tally_counter *c)
{
	return tally_value_(&c->desc_, 0);
}

TALLY_FN_ int64_t tally_gauge_value_(struct tally_gauge *g)
{
	return (int64_t)tally_value_(&g->desc_, 0);
}

TALLY_FN_ uint64_t tally_histogram_count_(struct tally_histogram *h)
{
	return tally_value_(&h->desc_, 0);
}

TALLY_FN_ uint64_t tally_histogram_sum_(struct tally_histogram *h)
{
	return tally_value_sum_(&h->desc_, 0);
}

TALLY_SLOW_ uint64_t tally_value_at_(struct tally_counters *c, uint64_t i)
{
	uint32_t last = c->desc_.slots - 1;

	tally_attach_(); /* before it, the descriptor has no place */
	return tally_value_(
		&c->desc_, c->desc_.cell ? c->desc_.cell + 8 * (i < last ? (uint32_t)i : last) : 0);
}

/* --- handles -------------------------------------------------------------------------------- */

/* Values up to the first NULL. More than there are names for, or fewer: the overflow series. */
TALLY_SLOW_ uint32_t tally_resolve_(
	struct tally_desc_ *d, const char *a, const char *b, const char *c)
{
	const char *values[3];

	values[0] = a;
	values[1] = b;
	values[2] = c;
	return tally_series_(d, values, a ? b ? c ? 3 : 2 : 1 : 0);
}

TALLY_FN_ struct tally_counter_handle tally_counter_handle_(
	struct tally_counters *m, const char *a, const char *b, const char *c)
{
	struct tally_counter_handle h = {
		tally_home_of_(&m->desc_, tally_resolve_(&m->desc_, a, b, c))};

	return h;
}

TALLY_FN_ struct tally_gauge_handle tally_gauge_handle_(
	struct tally_gauges *m, const char *a, const char *b, const char *c)
{
	struct tally_gauge_handle h = {
		tally_gauge_cell_(&m->desc_, tally_resolve_(&m->desc_, a, b, c))};

	return h;
}

TALLY_FN_ struct tally_histogram_handle tally_histogram_handle_(
	struct tally_histograms *m, const char *a, const char *b, const char *c)
{
	struct tally_histogram_handle h = {&m->desc_, tally_resolve_(&m->desc_, a, b, c)};

	return h;
}

/* --- scoped timers -------------------------------------------------------------------------- */

struct tally_scope_ {
	struct tally_histogram *h;
	uint64_t weight; /* 0: this run is not timed */
	struct tally_start start;
};

/* n in one run of n, drawn at random; else 0. */
TALLY_FN_ uint64_t tally_sample_(uint32_t n)
{
	struct tally_thread_ *t = &tally_thread_;

	/* a generator for each thread, whose streams differ by the thread's address */
	t->random = t->random * 747796405u + ((uint32_t)(uintptr_t)t | 1u);
	return (uint64_t)(t->random ^ t->random >> 16) * n >> 32 ? 0 : n;
}

TALLY_FN_ struct tally_scope_ tally_scope_begin_(struct tally_histogram *h, uint64_t weight)
{
	struct tally_scope_ s = {h, weight, {0, 0}};

	if (weight)
		s.start = tally_start_();
	return s;
}

TALLY_FN_ void tally_scope_end_(struct tally_scope_ *s)
{
	if (s->weight)
		tally_record_(&s->h->desc_, 0, tally_elapsed_(s->start), s->weight);
}

TALLY_END_

#endif
