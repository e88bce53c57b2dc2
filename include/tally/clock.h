/* SPDX-License-Identifier: MIT */
/*
 * The clock of timers. The processor's own counter takes half as long to read as clock_gettime, and its
 * rate is measured against that: while nothing is known of it, times are the kernel's nanoseconds.
 *
 *	attach                     10 ms later, at the start of a timer
 *	  |  ticks and ns are read   |  ... again: ns per tick, to some 10 parts in a million
 *	  +--------------------------+----------------------------------------------------->
 *	    starts hold nanoseconds     starts hold ticks
 *
 * A start carries the rate it was taken under, so that a timer that spans the change is right too. The
 * counter is used only where the kernel itself uses it as its clock. On arm64 its rate is known.
 */
#ifndef TALLY_CLOCK_H
#define TALLY_CLOCK_H

#include <tally/layout.h>

TALLY_BEGIN_

#define TALLY_CALIBRATE_NS_ 10000000u
#define TALLY_CLOCK_TRIES_  4
#define TALLY_CLOCK_BITS_   13 /* what may be wrong is below 1 / 2^13 of what was measured: 122 ppm */

#ifdef __cplusplus
extern "C" {
#endif
struct tally_clock_ {
	uint64_t rate; /* ns per tick x 2^32; 0: not known (yet) */
	uint64_t ticks, ns; /* when the object attached; ticks 0: the counter is not to be used */
	uint64_t apart; /* ticks by which those two may be wrong */
};
extern struct tally_clock_ tally_clock_ TALLY_ONE_;
struct tally_clock_ tally_clock_;
/* libc's, which asks no kernel; time.h shows it under feature macros only. */
extern int tally_libc_clock_gettime_(int clock, int64_t *now) __asm__("clock_gettime");
#ifdef __cplusplus
}
#endif

/* When a timer was started. A value: copy it as you like. */
struct tally_start {
	uint64_t at, rate;
};

TALLY_FN_ uint64_t tally_ticks_(void)
{
#if defined(__x86_64__)
	uint32_t low, high;

	__asm__ __volatile__("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
#else
	uint64_t ticks;

	__asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#endif
}

TALLY_FN_ uint64_t tally_clock_ns_(void)
{
	int64_t now[2] = {0, 0};

	tally_libc_clock_gettime_(TALLY_CLOCK_MONOTONIC_, now);
	return (uint64_t)now[0] * 1000000000u + (uint64_t)now[1];
}

TALLY_FN_ uint64_t tally_scale_(uint64_t ticks, uint64_t rate)
{
	return (ticks >> 32) * rate + ((ticks & UINT32_MAX) * rate >> 32);
}

/*
 * Both clocks at once, and how far from each other they may have been read: a thread that is preempted
 * between them would take a wrong rate for the rest of its process. The best of some readings.
 */
TALLY_SLOW_ struct tally_clock_ tally_clock_read_(void)
{
	struct tally_clock_ best = {0, 0, 0, UINT64_MAX};

	for (int i = 0; i < TALLY_CLOCK_TRIES_; i++) {
		uint64_t before = tally_ticks_(), ns = tally_clock_ns_();
		uint64_t apart = tally_ticks_() - before;

		if (apart < best.apart) {
			best.ticks = before + apart / 2;
			best.ns = ns;
			best.apart = apart;
		}
	}
	return best;
}

/* The object attaches: if it has timers, ticks and nanoseconds are read for the first time. */
TALLY_SLOW_ void tally_clock_begin_(const struct tally_desc_ *d, uint32_t n)
{
	uint32_t timers = 0;

	for (uint32_t i = 0; i < n; i++)
		timers += d[i].type == TALLY_TYPE_HISTOGRAM && d[i].scale == -9;
	if (!timers)
		return;
#if defined(__x86_64__)
	{
		char name[16];
		const char *file =
			"/sys/devices/system/clocksource/clocksource0/current_clocksource";

		if (tally_sys_read_file_(file, name, sizeof(name)) != 4 ||
			memcmp(name, "tsc\n", 4) != 0)
			return;
		tally_clock_ = tally_clock_read_();
	}
#else
	{
		uint64_t hz;

		__asm__("mrs %0, cntfrq_el0" : "=r"(hz));
		if (hz > 0 && hz <= 4000000000u)
			tally_clock_.rate = (UINT64_C(1000000000) << 32) / hz;
	}
#endif
}

/* A start in nanoseconds; if 10 ms have passed since the object attached, the rate is known from now on. */
TALLY_SLOW_ struct tally_start tally_start_slow_(void)
{
	struct tally_start s = {tally_clock_ns_(), 0};
	uint64_t ticks, ns = s.at - tally_clock_.ns;
	struct tally_clock_ now;

	if (!tally_clock_.ticks || ns < TALLY_CALIBRATE_NS_)
		return s;
	now = tally_clock_read_();
	ticks = now.ticks - tally_clock_.ticks;
	ns = now.ns - tally_clock_.ns;
	/* else the process did not run while it read the clocks: at the next start, perhaps */
	if (ticks > ns / 8 && tally_clock_.apart + now.apart < ticks >> TALLY_CLOCK_BITS_) {
		while (ns > UINT32_MAX) {
			ns /= 2;
			ticks /= 2;
		}
		__atomic_store_n(&tally_clock_.rate, (ns << 32) / ticks, __ATOMIC_RELAXED);
	}
	return s;
}

TALLY_FN_ struct tally_start tally_start_(void)
{
	struct tally_start s;

	s.rate = __atomic_load_n(&tally_clock_.rate, __ATOMIC_RELAXED);
	if (__builtin_expect(s.rate == 0, 0))
		return tally_start_slow_();
	s.at = tally_ticks_();
	return s;
}

/* Nanoseconds since then; 0 if the clock went backwards. */
TALLY_FN_ uint64_t tally_elapsed_(struct tally_start s)
{
	uint64_t now = s.rate ? tally_ticks_() : tally_clock_ns_();

	if (now < s.at)
		return 0;
	return s.rate ? tally_scale_(now - s.at, s.rate) : now - s.at;
}

TALLY_END_

#endif
