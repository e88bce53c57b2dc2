/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From samples to what is shown: raw values, the increase or the rate of a counter, each sample or
 * each step of time for itself.
 *
 *   samples      s0     s1     s2 | s3     s4(reset)    | s5
 *   increases           s1-s0  .. |  s3-s2  s4          |  s5-s4
 *   steps       [from ............|.....................|........ to)
 *
 * An increase belongs to the step in which its later sample lies, so that the steps add up exactly
 * to the whole. At a reset the counter began again: its value counts, nothing is subtracted.
 * Rates divide by the time between the samples that were subtracted, on the monotonic clock; across
 * a reset, where that clock may have begun again too, by realtime.
 */
#ifndef TALLY_TOOLS_WINDOW_H
#define TALLY_TOOLS_WINDOW_H

#include "gatherer/store/store.h"
#include "tools/number.h"

enum window_mode { WINDOW_VALUE, WINDOW_INCREASE, WINDOW_RATE };

struct window_spec {
	enum window_mode mode;
	int64_t from_ns, to_ns;
	int64_t step_ns; /* 0: one point for each sample */
};

struct point {
	int64_t time_ns; /* of the sample, or when its step begins */
	struct number value;
	double seconds; /* that the increase took; rates only */
	uint32_t flags; /* of the samples in it: SAMPLE_RESET, SAMPLE_GAP */
};

struct points {
	size_t n, cap;
	struct point *v; /* steps: ordered by time */
};

struct window {
	struct window_spec spec;
	struct points points;
	bool has_previous, may_be_born;
	int64_t born_after_ns;
	struct sample previous;
};

void window_init(struct window *w, const struct window_spec *spec);
void window_release(struct window *w);
/* The sample before the range, to subtract from the first one in it. */
void window_set_previous(struct window *w, const struct sample *s);
/*
 * There is none. A first sample after this time is of a counter that began between two polls: its value
 * is an increase (over an unknown time, so no rate). Else it is only what is counted from.
 */
void window_set_born_after(struct window *w, int64_t time_ns);
/* A sample_fn for history_read(); arg is the window. -ENOMEM. */
int window_add(void *arg, const struct series *def, const struct sample *s);
/* Ends the adding: rates are divided, points without a value dropped. */
void window_finish(struct window *w);

/* b's points are added to those of a at the same times; a keeps the times of both. */
int points_merge(struct points *a, const struct points *b);
void points_release(struct points *p);

#endif
