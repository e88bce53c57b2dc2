/* SPDX-License-Identifier: MIT */
/*
 * The slow path of tally: attaching an object to its rows, and claiming a row for a thread.
 * Applications include tally/tally.h, which includes this.
 *
 * How it stays exact:
 *
 *   A row is written by one thread only, so a plain add loses nothing. Whether the row that a thread
 *   remembers is still its own is one comparison: its generation against the process's, which stands
 *   on a page that the kernel wipes in every forked child. A new thread, a fork and a raw clone all
 *   fail it and come here.
 *
 *   The owner of a row is (generation, thread id). Rows of the dead are taken over only when none is
 *   free, and only if the kernel says that this thread of that process is gone.
 *
 *   A child of vfork runs on its parent's memory and thread: it counts on the parent's row while the
 *   parent sleeps, or, where the parent has none yet, on the shared row. It must never claim one, nor
 *   draw a generation in its parent's name: tally_may_be_vfork_().
 *
 *   When there is no row to be had, counts go to row 0 by atomic adds: slower, and as exact.
 *
 * Everything here is async-signal-safe: no lock is ever waited for but by threads that come while
 * another attaches the object, which it does with all signals blocked.
 */
#ifndef TALLY_ATTACH_H
#define TALLY_ATTACH_H

#include <tally/clock.h>
#include <tally/create.h>

TALLY_BEGIN_

enum tally_limits_ {
	TALLY_RETRY_ = 1 << 16, /* counts on the shared row before asking for a row again */
	TALLY_TID_BITS_ = 22, /* the kernel's limit of thread ids */
	TALLY_ATTACH_TURNS_ = 1 << 14, /* of waiting while another thread attaches: some seconds */
};

enum tally_state_ {
	TALLY_NEW_ = 0,
	TALLY_ATTACHED_ = 1,
	TALLY_EARLY_ = 2, /* not even private memory: counts stay in the descriptors */
};

#ifdef __cplusplus
extern "C" {
#endif

struct tally_object_ {
	uint32_t state; /* enum tally_state_ */
	uint32_t wipes; /* the kernel wipes tally_process_ on fork; else all threads share row 0 */
	uint32_t hint; /* where to look for a free row first */
	uint32_t claims; /* so that no two owners are the same word */
	struct tally_segment *segment;
	struct tally_segment_slot *tables;
	char *rows; /* row 0 */
};
extern struct tally_object_ tally_object_ TALLY_ONE_;
struct tally_object_ tally_object_;

#ifdef __cplusplus
}
#endif

/* --- rows ----------------------------------------------------------------------------------- */

TALLY_FN_ uint64_t *tally_row_words_(uint32_t r)
{
	return (uint64_t *)(void *)(tally_object_.rows +
				    (uint64_t)r * tally_object_.segment->row_size);
}

/* Sums n cells that follow each other, in all rows. */
TALLY_SLOW_ uint64_t tally_sum_cells_(uint32_t cell, uint32_t n)
{
	uint32_t rows = __atomic_load_n(&tally_object_.segment->rows, __ATOMIC_ACQUIRE);
	uint64_t sum = 0;

	for (uint32_t r = 0; r < rows; r++)
		for (uint32_t i = 0; i < n; i++)
			sum += __atomic_load_n(
				tally_row_words_(r) + cell / 8 + i, __ATOMIC_RELAXED);
	return sum;
}

/* What a series has counted; a histogram's count is that of its buckets. */
TALLY_SLOW_ uint64_t tally_count_cells_(const struct tally_desc_ *d, uint32_t cell)
{
	if (d->type == TALLY_TYPE_HISTOGRAM)
		return tally_sum_cells_(cell + 8, d->cells - 1);
	return tally_sum_cells_(cell, 1);
}

/* --- attaching ------------------------------------------------------------------------------ */

/* Draws this process's generation; the caller is `busy`, and sure that the memory is its own. */
TALLY_SLOW_ void tally_draw_(uint32_t pid, uint32_t pid_ns)
{
	struct tally_process_ *p = &tally_process_;
	uint64_t generation;

	do /* 0 is none and 1 is a new thread's: skipped when 2^32 have been drawn */
		generation =
			__atomic_add_fetch(&tally_object_.segment->generation, 1, __ATOMIC_RELAXED);
	while (generation < 2);
	p->pid = pid;
	p->pid_ns = pid_ns;
	__atomic_store_n(&p->generation, generation, __ATOMIC_RELEASE);
}

/* Where it counts while there are no rows. */
TALLY_FN_ uint64_t *tally_early_(struct tally_desc_ *d)
{
	return d->home ? d->home : &d->early;
}

/*
 * What was counted while there were no rows moves to where there are some now. Who finds no rows adds
 * to early, and looks again; who has made rows says so, and moves: so one of both sees the other.
 */
TALLY_MANY_ void tally_move_early_(struct tally_desc_ *d)
{
	uint64_t *shared = __atomic_load_n(&d->shared, __ATOMIC_SEQ_CST);
	uint64_t early, sum;

	/* most often there is nothing */
	if (!__atomic_load_n(tally_early_(d), __ATOMIC_SEQ_CST) &&
		!__atomic_load_n(&d->early_sum, __ATOMIC_SEQ_CST))
		return;
	early = __atomic_exchange_n(tally_early_(d), 0, __ATOMIC_SEQ_CST);
	sum = __atomic_exchange_n(&d->early_sum, 0, __ATOMIC_SEQ_CST);
	if (d->type != TALLY_TYPE_HISTOGRAM) {
		__atomic_fetch_add(shared, early, __ATOMIC_RELAXED);
		return;
	}
	/* each value is not known any more: all count as their mean */
	__atomic_fetch_add(shared, sum, __ATOMIC_RELAXED);
	if (early)
		__atomic_fetch_add(
			shared + 1 + tally_bucket_(d, sum / early), early, __ATOMIC_RELAXED);
}

TALLY_MANY_ void tally_attach_desc_(struct tally_desc_ *d, int used_before)
{
	uint64_t *shared = (uint64_t *)(void *)(tally_object_.rows + d->cell);

	if (used_before && !d->slots && d->cells) {
		d->past = tally_count_cells_(d, d->cell);
		d->past_sum = d->cells > 1 ? tally_sum_cells_(d->cell, 1) : 0;
	}
	__atomic_store_n(&d->shared, shared, __ATOMIC_SEQ_CST);
	tally_move_early_(d);
}

TALLY_SLOW_ void tally_attach_rows_(void)
{
	struct tally_object_ *o = &tally_object_;
	struct tally_plan_ plan;
	char *base = (char *)0;
	int used_before;

	if (tally_make_plan_(&plan) == 0) {
		base = tally_segment_(&plan);
		if (!base) {
			base = tally_sys_mmap_(plan.size, -1);
			if (base)
				tally_fill_(&plan, base);
		}
	}
	if (base) {
		o->segment = (struct tally_segment *)(void *)base;
		o->rows = base + plan.rows_off;
		o->tables = (struct tally_segment_slot *)(void *)(base + plan.tables_off);
		used_before = o->segment->generation > 1;
		for (uint32_t i = 0; i < plan.n; i++)
			if (plan.desc[i].self == &plan.desc[i])
				tally_attach_desc_(&plan.desc[i], used_before);
		tally_clock_begin_(plan.desc, plan.n);
		tally_draw_(tally_sys_getpid_(), plan.pid_ns);
	}
	__atomic_store_n(&o->state, base ? TALLY_ATTACHED_ : TALLY_EARLY_, __ATOMIC_RELEASE);
}

/*
 * Attaches the object, once. A thread that comes while another does it waits: its count must not be
 * lost if the process is killed next. A child forked meanwhile finds `busy` wiped and does it itself.
 */
TALLY_SLOW_ void tally_attach_(void)
{
	struct tally_object_ *o = &tally_object_;
	struct tally_process_ *p = &tally_process_;
	uint64_t signals;

	if (__atomic_load_n(&o->state, __ATOMIC_ACQUIRE) != TALLY_NEW_ || !__start_tally2_desc)
		return;
	tally_sys_block_signals_(&signals);
	/* Emulators (qemu-user) say yes to whatever they don't know, and wipe nothing: who accepts an
	 * advice that does not exist is not believed. */
	if (tally_sys_(SYS_madvise, (long)p, sizeof(*p), -1, 0, 0, 0) != 0 &&
		tally_sys_(SYS_madvise, (long)p, sizeof(*p), TALLY_MADV_WIPEONFORK_, 0, 0, 0) == 0)
		o->wipes = 1;
	for (uint32_t i = 0; i < TALLY_ATTACH_TURNS_; i++) {
		uint32_t idle = 0;

		if (__atomic_load_n(&o->state, __ATOMIC_ACQUIRE) != TALLY_NEW_)
			break;
		if (__atomic_compare_exchange_n(
			    &p->busy, &idle, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
			if (o->state == TALLY_NEW_)
				tally_attach_rows_();
			__atomic_store_n(&p->busy, 0, __ATOMIC_RELEASE);
			break;
		}
		tally_sys_wait_(i);
	}
	tally_sys_restore_signals_(&signals);
}

/* So that a program's counters are seen before it counts. Files without counters attach nothing. */
__attribute__((__constructor__(101), __used__, __no_instrument_function__)) static void
tally_construct_(void)
{
	tally_attach_();
}

/*
 * An object that is unloaded leaves its segment mapped: nothing tells dlclose from exit, after which
 * other threads still count. It leaves word where, for tally_reload_() if it is loaded again.
 */
__attribute__((__destructor__(101), __used__, __no_instrument_function__)) static void
tally_destruct_(void)
{
	struct tally_segment *seg = tally_object_.segment;

	/* no system call at exit; a child that has not counted leaves no word, as it is its parent's row */
	if (!seg || !tally_process_.pid)
		return;
	seg->unloaded_pid = tally_process_.pid;
	seg->unloaded_generation =
		(uint32_t)__atomic_load_n(&tally_process_.generation, __ATOMIC_RELAXED);
	__atomic_store_n(&seg->unloaded, (uint64_t)(uintptr_t)seg, __ATOMIC_RELEASE);
}

/* --- claiming a row --------------------------------------------------------------------------- */

/* One add to memory: whole against signal handlers, and no other thread writes there. */
TALLY_FN_ void tally_cell_add_(uint64_t *cell, uint64_t n)
{
#if defined(__x86_64__)
	/* The address in one register: base plus index costs three times as much. */
	__asm__("" : "+r"(cell));
	__asm__ __volatile__("addq %1, %0" : "+m"(*cell) : "er"(n) : "cc");
#else
	__atomic_fetch_add(cell, n, __ATOMIC_RELAXED);
#endif
}

/*
 * May this be a child of vfork, of a process that has not drawn its generation? libc registers a list
 * of robust mutexes for each thread and for the child of fork, but not for that of vfork: who has one is
 * none. Else (raw clone, other C libraries) the kernel is asked whether the parent has the same memory.
 * Where it does not tell, nobody draws, and all count on the shared row.
 */
TALLY_SLOW_ int tally_may_be_vfork_(uint32_t pid)
{
	uint32_t parent = (uint32_t)tally_sys_(SYS_getppid, 0, 0, 0, 0, 0, 0);
	uint64_t list[2] = {0, 0};
	long same;

	if (tally_sys_(SYS_get_robust_list, 0, (long)&list[0], (long)&list[1], 0, 0, 0) == 0 &&
		list[0])
		return 0;
	if (parent == 0 || tally_sys_(SYS_kcmp, pid, pid, TALLY_KCMP_VM_, 0, 0, 0) != 0)
		return 1;
	same = tally_sys_(SYS_kcmp, pid, parent, TALLY_KCMP_VM_, 0, 0, 0);
	/* The parent is a stranger: one who shared this memory could be compared with it. */
	if (same == -TALLY_EPERM_)
		return tally_sys_(SYS_prctl, TALLY_PR_GET_DUMPABLE_, 0, 0, 0, 0, 0) != 1;
	return same <= 0;
}

/* This process's generation, drawn if it has none; 0 if this is not the time or not the process. */
TALLY_SLOW_ uint64_t tally_generation_(void)
{
	struct tally_process_ *p = &tally_process_;
	uint32_t pid = tally_sys_getpid_(), idle = 0;

	/* a filter refuses it: two processes of one number would take each other for dead */
	if ((int32_t)pid <= 0) {
		tally_thread_.retry = TALLY_RETRY_;
		return 0;
	}
	if (!__atomic_load_n(&p->generation, __ATOMIC_ACQUIRE)) {
		if (tally_may_be_vfork_(pid)) {
			tally_thread_.retry = TALLY_RETRY_;
			return 0;
		}
		if (!__atomic_compare_exchange_n(
			    &p->busy, &idle, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return 0;
		if (!p->generation)
			tally_draw_(pid, tally_namespace_("/proc/self/ns/pid"));
		__atomic_store_n(&p->busy, 0, __ATOMIC_RELEASE);
	}
	if (pid != p->pid) { /* a child of vfork: it is not asked at each of its counts */
		tally_thread_.retry = TALLY_RETRY_;
		return 0;
	}
	return p->generation;
}

/*
 * Is the owner gone for sure? Within one pid namespace (pid, tid) names one living thread; another
 * that got the same numbers only makes a dead owner look alive, to all but itself.
 */
TALLY_SLOW_ int tally_owner_gone_(const uint64_t *row, uint64_t owner)
{
	uint64_t process = __atomic_load_n(&row[1], __ATOMIC_RELAXED);
	uint64_t ns = __atomic_load_n(&row[2], __ATOMIC_RELAXED);
	uint64_t generation = owner >> 32;

	if (process >> 32 != generation || ns >> 32 != generation)
		return 0;
	if (generation != tally_process_.generation &&
		((uint32_t)ns == 0 || (uint32_t)ns != tally_process_.pid_ns))
		return 0;
	/* who had this process's own number before it is dead, whatever the kernel says of the number */
	if (generation != tally_process_.generation && (uint32_t)process == tally_process_.pid)
		return 1;
	return tally_sys_(SYS_tgkill, (long)(uint32_t)process,
		       (long)(owner & ((1u << TALLY_TID_BITS_) - 1)), 0, 0, 0, 0) == -TALLY_ESRCH_;
}

/* Frees the rows of the dead; returns how many. */
TALLY_SLOW_ uint32_t tally_free_dead_rows_(uint32_t rows)
{
	uint32_t freed = 0;

	for (uint32_t r = 1; r < rows; r++) {
		uint64_t *row = tally_row_words_(r);
		uint64_t owner = __atomic_load_n(&row[0], __ATOMIC_ACQUIRE);

		if (owner && tally_owner_gone_(row, owner) &&
			__atomic_compare_exchange_n(
				&row[0], &owner, 0, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			freed++;
	}
	return freed;
}

/* Twice as many rows, as far as there is memory for them; how many there are then. */
TALLY_SLOW_ uint32_t tally_more_rows_(uint32_t rows)
{
	struct tally_segment *seg = tally_object_.segment;
	uint64_t want = 2 * (uint64_t)rows < seg->rows_max ? 2 * (uint64_t)rows : seg->rows_max;
	uint64_t have = tally_round_(seg->rows_off + (uint64_t)rows * seg->row_size, 4096);
	uint32_t got, seen = rows;

	while (have < seg->rows_off + want * seg->row_size &&
		tally_sys_populate_((char *)seg + have) >= 0)
		have += 4096;
	want = (have - seg->rows_off) / seg->row_size;
	got = want < seg->rows_max ? (uint32_t)want : seg->rows_max;
	while (seen < got && !__atomic_compare_exchange_n(
				     &seg->rows, &seen, got, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	return seen < got ? got : seen;
}

TALLY_SLOW_ char *tally_take_free_row_(uint32_t rows, uint64_t owner)
{
	uint64_t generation = owner >> 32 << 32;
	uint32_t hint = __atomic_load_n(&tally_object_.hint, __ATOMIC_RELAXED);

	for (uint32_t i = 0; i + 1 < rows; i++) {
		uint32_t r = 1 + (hint + i) % (rows - 1);
		uint64_t *row = tally_row_words_(r);
		uint64_t nobody = 0;

		if (__atomic_load_n(&row[0], __ATOMIC_RELAXED) ||
			!__atomic_compare_exchange_n(
				&row[0], &nobody, owner, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		__atomic_store_n(&row[1], generation | tally_process_.pid, __ATOMIC_RELAXED);
		__atomic_store_n(&row[2], generation | tally_process_.pid_ns, __ATOMIC_RELEASE);
		__atomic_store_n(&tally_object_.hint, r, __ATOMIC_RELAXED);
		return (char *)row;
	}
	return (char *)0;
}

/* A row for this thread: a free one, else one of the dead, else a new one, else NULL. */
TALLY_SLOW_ char *tally_claim_row_(uint64_t generation)
{
	struct tally_segment *seg = tally_object_.segment;
	uint64_t claim = __atomic_fetch_add(&tally_object_.claims, 1, __ATOMIC_RELAXED);
	uint32_t tid = tally_sys_gettid_(), rows = __atomic_load_n(&seg->rows, __ATOMIC_ACQUIRE);
	uint64_t owner = generation << 32 | (claim << TALLY_TID_BITS_ & UINT32_MAX) | tid;
	char *row;

	/* a filter refuses it: others would take this thread for dead */
	if ((int32_t)tid <= 0)
		return (char *)0;
	row = tally_take_free_row_(rows, owner);
	while (!row) {
		uint32_t freed = tally_free_dead_rows_(rows), before = rows;

		/* looked again even if none was freed: another thread may have freed them all */
		row = tally_take_free_row_(rows, owner);
		if (row || freed)
			continue;
		rows = tally_more_rows_(rows);
		if (rows == before)
			break;
		row = tally_take_free_row_(rows, owner);
	}
	return row;
}

/* This thread's row, claimed if need be; NULL if it must count on the shared row. */
TALLY_SLOW_ char *tally_own_row_(void)
{
	struct tally_thread_ *t = &tally_thread_;
	uint64_t generation;
	char *row;

	if (__atomic_load_n(&tally_object_.state, __ATOMIC_ACQUIRE) == TALLY_NEW_)
		tally_attach_();
	if (__atomic_load_n(&tally_object_.state, __ATOMIC_ACQUIRE) != TALLY_ATTACHED_ ||
		!tally_object_.wipes)
		return (char *)0;
	if (t->retry && t->retry--)
		return (char *)0;
	generation = tally_generation_();
	if (!generation)
		return (char *)0;
	row = tally_claim_row_(generation);
	if (!row) {
		t->retry = TALLY_RETRY_;
		return row;
	}
	/* In this order: a signal handler that counts in between comes here and claims a row too,
	 * which is one row more, and no harm. */
	t->row = row;
	t->way = (uintptr_t)row + TALLY_ROW_HEADER - (uintptr_t)__start_tally2_cells;
	__asm__ __volatile__("" ::: "memory");
	t->generation = generation;
	return row;
}

/* The cell in row 0, or NULL if there are no rows; cell 0: the first one. */
TALLY_FN_ uint64_t *tally_shared_cell_(const struct tally_desc_ *d, uint32_t cell)
{
	uint64_t *shared = __atomic_load_n(&d->shared, __ATOMIC_ACQUIRE);

	return shared && cell ? shared + (cell - d->cell) / 8 : shared;
}

TALLY_SLOW_ void tally_add_slow_(struct tally_desc_ *d, uint32_t cell, uint64_t n)
{
	char *row = tally_own_row_();
	uint64_t *shared;

	cell = cell ? cell : d->cell; /* it may have its place only since now */
	shared = row ? (uint64_t *)(void *)(row + cell) : tally_shared_cell_(d, cell);
	__atomic_fetch_add(shared ? shared : tally_early_(d), n, __ATOMIC_SEQ_CST);
	if (!shared && __atomic_load_n(&d->shared, __ATOMIC_SEQ_CST))
		tally_move_early_(d);
}

/*
 * Where a handle's counter would have its home, if it had one. While there are no rows, and so never will
 * be any for a handle, it is the word that counts instead.
 */
TALLY_FN_ uintptr_t tally_home_of_(struct tally_desc_ *d, uint32_t cell)
{
	return cell ? (uintptr_t)__start_tally2_cells + cell - TALLY_ROW_HEADER
		    : (uintptr_t)tally_early_(d);
}

/* The cell in row 0 of a handle's counter, or its word instead. */
TALLY_FN_ uint64_t *tally_home_shared_(uintptr_t home)
{
	if (__atomic_load_n(&tally_object_.state, __ATOMIC_ACQUIRE) != TALLY_ATTACHED_)
		return (uint64_t *)home;
	return (uint64_t *)((uintptr_t)tally_object_.rows + TALLY_ROW_HEADER + home -
			    (uintptr_t)__start_tally2_cells);
}

TALLY_SLOW_ void tally_add_home_slow_(uintptr_t home, uint64_t n)
{
	char *row = tally_own_row_();
	uint64_t *cell = row ? (uint64_t *)(home + tally_thread_.way) : tally_home_shared_(home);

	__atomic_fetch_add(cell, n, __ATOMIC_RELAXED);
}

TALLY_SLOW_ uint64_t tally_value_home_(uintptr_t home)
{
	if (__atomic_load_n(&tally_object_.state, __ATOMIC_ACQUIRE) != TALLY_ATTACHED_)
		return __atomic_load_n((uint64_t *)home, __ATOMIC_RELAXED);
	return tally_sum_cells_(
		(uint32_t)(home - (uintptr_t)__start_tally2_cells + TALLY_ROW_HEADER), 1);
}

/* A series of a table, so many bytes behind its first. */
TALLY_SLOW_ void tally_add_at_slow_(struct tally_desc_ *d, uint32_t at, uint64_t n)
{
	tally_attach_();
	tally_add_slow_(d, d->cell ? d->cell + at : 0, n);
}

TALLY_SLOW_ void tally_record_slow_(struct tally_desc_ *d, uint32_t cell, uint64_t v, uint64_t n)
{
	char *row = tally_own_row_();
	uint64_t *shared, at = 1 + tally_bucket_(d, v);

	cell = cell ? cell : d->cell;
	shared = row ? (uint64_t *)(void *)(row + cell) : tally_shared_cell_(d, cell);
	__atomic_fetch_add(shared ? shared + at : &d->early, n, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(shared ? shared : &d->early_sum, n * v, __ATOMIC_SEQ_CST);
	if (!shared && __atomic_load_n(&d->shared, __ATOMIC_SEQ_CST))
		tally_move_early_(d);
}

/* --- gauges and values ------------------------------------------------------------------------ */

TALLY_SLOW_ uint64_t *tally_gauge_slow_(struct tally_desc_ *d, uint32_t cell)
{
	uint64_t *shared;

	tally_attach_();
	shared = tally_shared_cell_(d, cell);
	return shared ? shared : &d->early;
}

TALLY_FN_ uint64_t *tally_gauge_cell_(struct tally_desc_ *d, uint32_t cell)
{
	uint64_t *shared = tally_shared_cell_(d, cell);

	return __builtin_expect(shared != (uint64_t *)0, 1) ? shared : tally_gauge_slow_(d, cell);
}

/* The cell of a series, and in *ret what it has in row 0, or NULL if there are no rows. */
TALLY_SLOW_ uint32_t tally_look_(struct tally_desc_ *d, uint32_t cell, uint64_t **ret)
{
	tally_attach_();
	cell = cell ? cell : d->cell;
	*ret = tally_shared_cell_(d, cell);
	return cell;
}

/* Of a gauge what it is, of a counter or histogram how often it has counted; cell 0: no handle. */
TALLY_SLOW_ uint64_t tally_value_(struct tally_desc_ *d, uint32_t cell)
{
	uint64_t *shared;
	uint32_t at = tally_look_(d, cell, &shared);

	if (!shared)
		return __atomic_load_n(tally_early_(d), __ATOMIC_RELAXED);
	if (d->type == TALLY_TYPE_GAUGE || d->type == TALLY_TYPE_GAUGE_DOUBLE)
		return __atomic_load_n(shared, __ATOMIC_RELAXED);
	return tally_count_cells_(d, at) - d->past;
}

/* The sum of a histogram's values. */
TALLY_SLOW_ uint64_t tally_value_sum_(struct tally_desc_ *d, uint32_t cell)
{
	uint64_t *shared;
	uint32_t at = tally_look_(d, cell, &shared);

	return shared ? tally_sum_cells_(at, 1) - d->past_sum
		      : __atomic_load_n(&d->early_sum, __ATOMIC_RELAXED);
}

/* How many values a histogram has in the bucket of v, since its segment was made. */
TALLY_SLOW_ uint64_t tally_value_bucket_(struct tally_desc_ *d, uint32_t cell, uint64_t v)
{
	uint64_t *shared;
	uint32_t at = tally_look_(d, cell, &shared);

	return shared ? tally_sum_cells_(at + 8 + 8 * tally_bucket_(d, v), 1) : 0;
}

/* --- labels ----------------------------------------------------------------------------------- */

/* Label values as a slot has them; 0 if there are too many or they are too long. */
TALLY_SLOW_ uint32_t tally_slot_text_(
	const struct tally_desc_ *d, const char *const *values, uint32_t n, char *out)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < n; i++) {
		const char *s = values[i] ? values[i] : "";

		if (i > 0)
			out[at++] = TALLY_LABEL_VALUE[0];
		for (; *s; s++) {
			if (at + 2 >= TALLY_SLOT_TEXT)
				return 0;
			/* control characters are no text, and two of them separate values */
			out[at++] = *s;
			if ((unsigned char)*s < 0x20 || *s == 0x7f)
				out[at - 1] = '?';
		}
	}
	out[at] = '\0';
	return n == d->nnames ? at + 1 : 0;
}

/* Makes a free slot ours and fills it; 0 if somebody was faster. */
TALLY_SLOW_ int tally_take_slot_(
	struct tally_segment_slot *slot, uint32_t hash, const char *text, uint32_t len)
{
	struct tally_segment *seg = tally_object_.segment;
	uint32_t nobody = TALLY_SLOT_FREE;

	__atomic_fetch_add(&seg->inserts, 1, __ATOMIC_RELEASE);
	if (!__atomic_compare_exchange_n(&slot->state, &nobody, TALLY_SLOT_WRITING, 0,
		    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return 0;
	slot->hash = hash;
	memcpy(slot->text, text, len);
	__atomic_store_n(&slot->state, TALLY_SLOT_READY, __ATOMIC_RELEASE);
	__atomic_fetch_add(&seg->inserts, 1, __ATOMIC_RELEASE);
	return 1;
}

/*
 * Which series of the table has these label values: a slot that has them, else a free one, else the
 * overflow. Two that insert the same values at once may make two series of them: readers sum them up.
 * A slot whose writer was killed in it stays as it is.
 */
TALLY_SLOW_ uint32_t tally_find_slot_(struct tally_desc_ *d, const char *const *values, uint32_t n)
{
	struct tally_segment_slot *slots = tally_object_.tables + d->table;
	uint32_t usable = d->slots - 1, hash = 0, len;
	char text[TALLY_SLOT_TEXT];

	len = tally_slot_text_(d, values, n, text);
	if (len)
		hash = (uint32_t)(tally_hash_(0xcbf29ce484222325u, text) >> 32);
	for (uint32_t i = 0; len && i < usable; i++) {
		uint32_t at = (uint32_t)(((uint64_t)hash + i) % usable);
		uint32_t state = __atomic_load_n(&slots[at].state, __ATOMIC_ACQUIRE);

		if (state == TALLY_SLOT_FREE && tally_take_slot_(&slots[at], hash, text, len))
			return at;
		state = __atomic_load_n(&slots[at].state, __ATOMIC_ACQUIRE);
		if (state == TALLY_SLOT_READY && slots[at].hash == hash &&
			memcmp(slots[at].text, text, len) == 0)
			return at;
	}
	if (__atomic_load_n(&slots[usable].state, __ATOMIC_ACQUIRE) == TALLY_SLOT_FREE)
		tally_take_slot_(&slots[usable], hash, len ? text : "?", len ? len : 2);
	return usable;
}

/* The first cell of the series with these label values; 0 while the object has no rows. */
TALLY_SLOW_ uint32_t tally_series_(struct tally_desc_ *d, const char *const *values, uint32_t n)
{
	/* 0 means that there will be no rows ever: so who attaches is waited for */
	do
		tally_attach_();
	while (__atomic_load_n(&tally_object_.state, __ATOMIC_ACQUIRE) == TALLY_NEW_);
	if (!__atomic_load_n(&d->shared, __ATOMIC_ACQUIRE))
		return 0;
	return d->cell + 8 * d->cells * tally_find_slot_(d, values, n);
}

TALLY_END_

#endif
