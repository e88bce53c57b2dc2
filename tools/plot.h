/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plot: series of points, the two axes with their ticks, title and legend texts. It knows nothing
 * of pixels or characters; both renderers draw the same plot.
 */
#ifndef TALLY_TOOLS_PLOT_H
#define TALLY_TOOLS_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/picks.h"
#include "tools/window.h"
#include "user/lib/err.h"

#define PLOT_SERIES_MAX 12
#define PLOT_TICKS_MAX  24
#define PLOT_VALUE_MAX  32 /* bytes of a formatted value */

/* How values are written. */
struct plot_unit {
	bool binary; /* prefixes of 1024: Ki, Mi, Gi */
	const char *symbol; /* behind the prefix: "B", "s", "B/s" or "" */
};

struct plot_tick {
	double at;
	char label[PLOT_VALUE_MAX];
};

struct plot_axis {
	double min, max;
	size_t n;
	struct plot_tick ticks[PLOT_TICKS_MAX];
};

struct plot_point {
	double time; /* Unix seconds */
	double value; /* finite */
	bool apart; /* not to be joined with the point before: samples are missing */
};

struct plot_series {
	char *label;
	size_t n;
	struct plot_point *points;
	double last, mean, max; /* NaN without points */
};

struct plot {
	char *title, *subtitle; /* what; in which unit */
	char *span; /* from when to when */
	struct plot_unit unit;
	bool from_zero; /* rates: the axis begins at 0 */
	struct plot_axis x, y;
	size_t n;
	struct plot_series series[PLOT_SERIES_MAX];
	size_t left_out; /* series that did not fit, the smallest ones */
};

/* --- axes (plot.c) ---------------------------------------------------------------------------- */

/* 1, 2 or 5 x 10^k (binary: 2^k) that divides range into at most `most` parts. */
double plot_nice_step(double range, size_t most, bool binary);
/* Widens min..max to whole steps and sets at most `most` + 1 ticks. */
void plot_value_axis(
	struct plot_axis *axis, double min, double max, size_t most, struct plot_unit unit);
/* Ticks at round local times; min and max stay. */
void plot_time_axis(struct plot_axis *axis, double min, double max, size_t most);
/* "1.23 kB", three significant digits, -> out of PLOT_VALUE_MAX bytes. */
void plot_format_value(double v, struct plot_unit unit, char *out);
/* Sets both axes from the points. */
void plot_scale(struct plot *p, size_t most_x, size_t most_y);

/* --- contents (plot-data.c) --------------------------------------------------------------------- */

/*
 * Title, legend and unit from what the n picks have in common and where they differ. -ENOMEM.
 */
int plot_describe(struct plot *p, const struct pick *picks, size_t n, enum window_mode mode);
/* Takes the points in, with gaps where samples are missing. step_ns as in the window. -ENOMEM. */
int plot_take_points(
	struct plot_series *s, const struct points *points, enum window_mode mode, int64_t step_ns);
void plot_release(struct plot *p);

/* --- renderers -------------------------------------------------------------------------------- */

struct plot_terminal {
	size_t width, height; /* characters, of everything but the legend */
	bool utf8, colour;
};
int plot_print(const struct plot *p, const struct plot_terminal *t, FILE *out);
/* Smallest sensible picture is 200 x 120. path "-" is the standard output. */
int plot_write_png(struct plot *p, const char *path, int width, int height, struct errmsg *e);

#endif
