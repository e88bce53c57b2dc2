/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The axes of a plot: round steps for values and times, and their labels. */
#include "tools/plot.h"

#include <math.h>
#include <string.h>
#include <time.h>

/* Below this share of the values' size a difference is rounding noise, not a range. */
#define LEAST_RANGE  1e-9
#define DECIMALS_MAX 10

double plot_nice_step(double range, size_t most, bool binary)
{
	double rough = range / (double)(most ? most : 1), power;

	if (!(rough > 0) || !isfinite(rough))
		return 1;
	if (binary && rough >= 1)
		return exp2(ceil(log2(rough) - 1e-9));
	power = pow(10, floor(log10(rough)));
	/* The factor allows for what log10 and the division rounded. */
	for (const double *nice = (const double[]){1, 2, 5, 10, 0}; *nice; nice++)
		if (*nice * power * (1 + 1e-9) >= rough)
			return *nice * power;
	return 10 * power;
}

/*
 * Which prefix makes 1 <= v < base; *ret_factor is what to multiply v with. There are no small ones for
 * bytes, nor for what has no unit: half of it is 0.5, not 500 m.
 */
static const char *choose_prefix(double v, struct plot_unit unit, double *ret_factor)
{
	static const char *const decimal[] = {"n", "µ", "m", "", "k", "M", "G", "T", "P", "E"};
	static const char *const powers[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
	double base = unit.binary ? 1024 : 1000;
	/* The largest that rounding to three digits would show as 1000 takes the next prefix. */
	int i = v > 0 ? (int)floor(log(v * 1.0005) / log(base) + 1e-12) : 0;
	int low = unit.binary || !*unit.symbol ? 0 : -3, high = 6;

	i = i < low ? low : i > high ? high : i;
	*ret_factor = pow(base, -i);
	return unit.binary ? powers[i] : decimal[i + 3];
}

static void format_scaled(
	double v, int decimals, const char *prefix, struct plot_unit unit, char *out)
{
	bool space = *prefix || *unit.symbol;

	/* No "-0". */
	if (fabs(v) < 0.5 * pow(10, -decimals))
		v = 0;
	snprintf(out, PLOT_VALUE_MAX, "%.*f%s%s%s", decimals, v, space ? " " : "", prefix,
		unit.symbol);
}

/* So that three significant digits are shown; whole small numbers are counts: 7, not 7.00. */
static int decimals_of_value(double shown)
{
	if (shown == 0 || (shown == floor(shown) && shown < 1000) || shown >= 99.95)
		return 0;
	if (shown >= 1)
		return shown >= 9.995 ? 1 : 2;
	return 2 - (int)floor(log10(shown * 1.0005));
}

void plot_format_value(double v, struct plot_unit unit, char *out)
{
	double factor, size = fabs(v);
	const char *prefix = choose_prefix(size, unit, &factor);
	int decimals;

	if (!isfinite(v) || size >= 1e21 || (size > 0 && size * factor < 1e-6)) {
		snprintf(out, PLOT_VALUE_MAX, isfinite(v) ? "%.3g" : "-", v);
		return;
	}
	decimals = decimals_of_value(size * factor);
	format_scaled(v * factor, decimals, v == 0 ? "" : prefix, unit, out);
}

/* Decimals without which two neighbours would read the same. */
static int decimals_of_step(double step)
{
	int decimals = 0;

	for (; decimals < DECIMALS_MAX && fabs(step - round(step)) > 1e-6 * step; decimals++)
		step *= 10;
	return decimals;
}

static void label_values(struct plot_axis *axis, double step, struct plot_unit unit)
{
	double factor, biggest = fmax(fabs(axis->min), fabs(axis->max));
	const char *prefix = choose_prefix(biggest, unit, &factor);
	int decimals = decimals_of_step(step * factor);
	bool no_prefix = biggest >= 1e21 || decimals == DECIMALS_MAX;

	for (size_t i = 0; i < axis->n; i++) {
		struct plot_tick *tick = &axis->ticks[i];

		if (fabs(tick->at) < step / 2)
			strcpy(tick->label, "0");
		else if (no_prefix)
			snprintf(tick->label, sizeof(tick->label), "%.*g",
				2 + (int)ceil(log10(biggest / step)), tick->at);
		else
			format_scaled(tick->at * factor, decimals, prefix, unit, tick->label);
	}
}

void plot_value_axis(
	struct plot_axis *axis, double min, double max, size_t most, struct plot_unit unit)
{
	double size = fmax(fabs(min), fabs(max)), step;

	if (most > PLOT_TICKS_MAX - 3)
		most = PLOT_TICKS_MAX - 3;
	if (max - min <= size * LEAST_RANGE) {
		double room = size > 0 ? size * 0.1 : 1;
		min = min >= 0 && min < room ? 0 : min - room;
		max += room;
	}
	step = plot_nice_step(max - min, most, unit.binary);
	*axis = (struct plot_axis){
		.min = floor(min / step + 1e-9) * step,
		.max = ceil(max / step - 1e-9) * step,
	};
	for (size_t i = 0; i < PLOT_TICKS_MAX; i++) {
		double at = axis->min + (double)i * step;
		if (at > axis->max + step / 2)
			break;
		axis->ticks[axis->n++].at = at;
	}
	label_values(axis, step, unit);
}

/* --- time -------------------------------------------------------------------------------------- */

static double time_step(double range, size_t most)
{
	static const double steps[] = {1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600,
		7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000,
		31536000};

	if (range < (double)most)
		return plot_nice_step(range, most, false);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (range / steps[i] <= (double)most)
			return steps[i];
	return plot_nice_step(range / 31536000, most, false) * 31536000;
}

static void label_time(struct plot_tick *tick, double step)
{
	time_t t = (time_t)floor(tick->at + 1e-6);
	struct tm tm;
	size_t len;

	localtime_r(&t, &tm);
	len = strftime(tick->label, sizeof(tick->label),
		step < 60      ? "%H:%M:%S"
		: step < 86400 ? "%H:%M"
			       : "%b %e",
		&tm);
	if (step < 1)
		snprintf(tick->label + len, sizeof(tick->label) - len, ".%03d",
			(int)((tick->at - (double)t) * 1000 + 0.5));
}

void plot_time_axis(struct plot_axis *axis, double min, double max, size_t most)
{
	time_t t = (time_t)min;
	double step, first;
	struct tm tm;

	if (most > PLOT_TICKS_MAX - 1)
		most = PLOT_TICKS_MAX - 1;
	*axis = (struct plot_axis){.min = min, .max = max > min ? max : min + 1};
	step = time_step(axis->max - min, most ? most : 1);
	/* Round times are those of the local clock: midnight, not 0:00 in Greenwich. */
	localtime_r(&t, &tm);
	first = ceil((min + (double)tm.tm_gmtoff) / step) * step - (double)tm.tm_gmtoff;
	for (double at = first; at <= axis->max && axis->n < PLOT_TICKS_MAX; at += step) {
		axis->ticks[axis->n].at = at;
		label_time(&axis->ticks[axis->n++], step);
	}
}

/* --- both --------------------------------------------------------------------------------------- */

void plot_scale(struct plot *p, size_t most_x, size_t most_y)
{
	double min = INFINITY, max = -INFINITY, from = p->x.min, to = p->x.max;

	for (size_t i = 0; i < p->n; i++)
		for (size_t j = 0; j < p->series[i].n; j++) {
			min = fmin(min, p->series[i].points[j].value);
			max = fmax(max, p->series[i].points[j].value);
		}
	if (min > max)
		min = max = 0;
	/* Zero belongs into the picture unless all values lie far above it. */
	if (p->from_zero || (min > 0 && min < max / 2))
		min = fmin(min, 0);
	plot_value_axis(&p->y, min, max, most_y, p->unit);
	plot_time_axis(&p->x, from, to, most_x);
}
