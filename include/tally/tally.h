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
 * Define counters at file scope (in C++ also in a named namespace), in one file or, for counters of
 * inline functions, in a header: the same name from several places is summed. The names are those of
 * OpenMetrics, without the suffix _total: [a-zA-Z_:][a-zA-Z0-9_:]*.
 *
 * Environment: TALLY_DIR, the directory of segments (default /run/tally/seg); not under setuid.
 * Compile time: TALLY_OBJECT, a string that names a shared object's own segment; TALLY_TLS_MODEL,
 * "initial-exec" for shared objects that are never loaded by dlopen.
 */
#ifndef TALLY_TALLY_H
#define TALLY_TALLY_H

#include <stddef.h>
#include <stdint.h>

#include <tally/segment.h>

#if !defined(__linux__) || UINTPTR_MAX < UINT64_MAX
#error "tally needs Linux on a 64-bit machine"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What a definition puts into the section tally_desc of its object. Fields belong to the library. */
struct tally_desc_ {
	const char *name, *help, *unit;
	uint64_t *shared; /* its cell in row 0; NULL before the object has its rows */
	uint64_t early; /* counts here, atomically, while there are no rows to be had */
	uint64_t past; /* its value when the object attached, from runs before this one */
	uint32_t cell; /* byte offset of its cell in a row */
	uint8_t type; /* enum tally_type */
	int8_t scale;
	uint16_t reserved;
};
struct tally_counter {
	struct tally_desc_ d;
};
struct tally_gauge {
	struct tally_desc_ d;
};

/* A thread's own row. It is valid while its generation is that of the process. */
struct tally_thread_ {
	uint64_t generation; /* 1 at first, which no process ever has */
	char *row;
	uint32_t retry; /* counts to make on the shared row before asking for a row again */
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

/* One copy for each linked object, however many files include this. */
#define TALLY_ONE_ __attribute__((weak, visibility("hidden")))
#ifdef TALLY_TLS_MODEL
#define TALLY_TLS_ __attribute__((weak, visibility("hidden"), tls_model(TALLY_TLS_MODEL)))
#else
#define TALLY_TLS_ TALLY_ONE_
#endif

extern __thread struct tally_thread_ tally_thread_ TALLY_TLS_;
__thread struct tally_thread_ tally_thread_ = {1, 0, 0};

extern struct tally_process_ tally_process_ TALLY_ONE_ __attribute__((aligned(TALLY_PAGE_)));
struct tally_process_ tally_process_;

#ifdef __cplusplus
}
#endif

#include <tally/attach.h>

/* --- defining ------------------------------------------------------------------------------- */

/* A counter: it only goes up. Shown as NAME_total. */
#define TALLY_COUNTER(id, name, help) TALLY_COUNTER_UNIT(id, name, "", help)
/* A gauge: a signed number that goes up and down. It is the sum over the program's living processes. */
#define TALLY_GAUGE(id, name, help) TALLY_GAUGE_UNIT(id, name, "", help)
/* The same with a unit ("bytes", "seconds"), which OpenMetrics wants at the end of the name too. */
#define TALLY_COUNTER_UNIT(id, name, unit, help) \
	TALLY_DEFINE_(tally_counter, TALLY_TYPE_COUNTER, id, name, unit, help)
#define TALLY_GAUGE_UNIT(id, name, unit, help) \
	TALLY_DEFINE_(tally_gauge, TALLY_TYPE_GAUGE, id, name, unit, help)
/* To use in this file what another file of the same program or shared object defines. */
#define TALLY_EXTERN(id)       extern struct tally_counter tally_id_##id TALLY_PLACE_
#define TALLY_GAUGE_EXTERN(id) extern struct tally_gauge tally_id_##id TALLY_PLACE_

/* aligned(8) because a compiler may align large objects more, and the section must have no gaps. */
#define TALLY_PLACE_ __attribute__((visibility("hidden"), section("tally_desc"), aligned(8)))
#define TALLY_DEFINE_(kind, type, id, name, unit, help)                      \
	extern struct kind tally_id_##id TALLY_PLACE_ __attribute__((weak)); \
	struct kind tally_id_##id __attribute__((used)) = {                  \
		{"" name, "" help, "" unit, 0, 0, 0, 0, (uint8_t)(type), 0, 0}}

/* --- counting ------------------------------------------------------------------------------- */

#define TALLY_INC(id) tally_add_(&tally_id_##id, 1)
/* n is taken as unsigned 64 bit; the counter wraps at 2^64. */
#define TALLY_ADD(id, n) tally_add_(&tally_id_##id, (uint64_t)(n))
/* What this process and those forked from it have counted, uint64_t; for tests and logs. */
#define TALLY_VALUE(id) tally_value_(&tally_id_##id.d)

/* Set is a plain store that others see at once; of two threads that set, the last one wins. */
#define TALLY_GAUGE_SET(id, v) tally_gauge_set_(&tally_id_##id, (int64_t)(v))
/* n may be negative. Atomic: 20 cycles, more if threads contend for the same gauge. */
#define TALLY_GAUGE_ADD(id, n) tally_gauge_add_(&tally_id_##id, (int64_t)(n))
#define TALLY_GAUGE_VALUE(id)  ((int64_t)tally_value_(&tally_id_##id.d))

TALLY_FN_ void tally_add_(struct tally_counter *c, uint64_t n)
{
	struct tally_thread_ *t = &tally_thread_;
	uint64_t generation = __atomic_load_n(&tally_process_.generation, __ATOMIC_RELAXED);

	if (__builtin_expect(t->generation == generation, 1))
		tally_cell_add_((uint64_t *)(void *)(t->row + c->d.cell), n);
	else
		tally_add_slow_(&c->d, n);
}

TALLY_FN_ void tally_gauge_set_(struct tally_gauge *g, int64_t v)
{
	__atomic_store_n(tally_gauge_cell_(&g->d), (uint64_t)v, __ATOMIC_RELAXED);
}

TALLY_FN_ void tally_gauge_add_(struct tally_gauge *g, int64_t n)
{
	__atomic_fetch_add(tally_gauge_cell_(&g->d), (uint64_t)n, __ATOMIC_RELAXED);
}

#endif
