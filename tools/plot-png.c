/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plot as a picture, through cairo.
 *
 *   +------------------------------------------------+
 *   | title                                    span  |
 *   | unit                                           |
 *   |  10 k |---------------------------------       |
 *   |   5 k |---------------------------------       |
 *   |     0 +----+---------+---------+--------       |
 *   |         14:00     14:05     14:10              |
 *   | == legend            == legend                 |
 *   +------------------------------------------------+
 */
#include "tools/plot.h"

#include <cairo/cairo.h>
#include <math.h>
#include <string.h>

#define EDGE         14.0
#define TEXT_SIZE    11.0
#define TITLE_SIZE   14.0
#define LINE_HEIGHT  17.0
#define LABEL_ROOM   80.0 /* pixels for one label of the time axis */
#define SWATCH       16.0
#define LEAST_WIDTH  200
#define LEAST_HEIGHT 120

struct picture {
	struct plot *plot;
	cairo_t *cr;
	double width, height;
	double left, top, right, bottom; /* the plot's area */
	size_t legend_columns, legend_lines;
	double legend_width; /* of one column */
};

static void set_grey(cairo_t *cr, double g)
{
	cairo_set_source_rgb(cr, g, g, g);
}

static void set_colour(cairo_t *cr, size_t series, double alpha)
{
	static const uint32_t colours[PLOT_SERIES_MAX] = {0x1f6fb4, 0xe6760c, 0x2a9437, 0xcc2b2f,
		0x7d56b5, 0x85553f, 0xd65fae, 0x6b7480, 0xa8a015, 0x16a8b8, 0x274690, 0x8c2d5a};
	uint32_t rgb = colours[series];

	cairo_set_source_rgba(
		cr, (rgb >> 16) / 255.0, (rgb >> 8 & 255) / 255.0, (rgb & 255) / 255.0, alpha);
}

static void set_font(cairo_t *cr, double size, bool bold)
{
	cairo_select_font_face(cr, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
		bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
	cairo_set_font_size(cr, size);
}

static double width_of(cairo_t *cr, const char *text)
{
	cairo_text_extents_t e;

	cairo_text_extents(cr, text, &e);
	return e.x_advance;
}

/* share: 0 begins at x, 0.5 is centred, 1 ends at x. y is the baseline. */
static void put_text(cairo_t *cr, double x, double y, double share, const char *text)
{
	cairo_move_to(cr, round(x - share * width_of(cr, text)), round(y));
	cairo_show_text(cr, text);
}

/* --- layout --------------------------------------------------------------------------------------- */

static void legend_text(const struct picture *p, size_t i, char *out, size_t size)
{
	const struct plot_series *s = &p->plot->series[i];
	char last[PLOT_VALUE_MAX], mean[PLOT_VALUE_MAX], max[PLOT_VALUE_MAX];

	plot_format_value(s->last, p->plot->unit, last);
	plot_format_value(s->mean, p->plot->unit, mean);
	plot_format_value(s->max, p->plot->unit, max);
	snprintf(out, size, "%s   last %s, mean %s, max %s", s->label, last, mean, max);
}

static void lay_out_legend(struct picture *p)
{
	double room = p->width - 2 * EDGE, widest = 0;
	char text[1024];

	for (size_t i = 0; i < p->plot->n; i++) {
		legend_text(p, i, text, sizeof(text));
		widest = fmax(widest, width_of(p->cr, text) + 2.5 * SWATCH);
	}
	p->legend_columns = (size_t)fmax(1, fmin(floor(room / widest), 4));
	p->legend_width = fmin(room / (double)p->legend_columns, room);
	p->legend_lines = (p->plot->n + p->legend_columns - 1) / p->legend_columns;
	p->legend_lines += p->plot->left_out > 0;
	/* The plot itself keeps more than half of the picture. */
	while (p->legend_lines > 1 && (double)p->legend_lines * LINE_HEIGHT > p->height * 0.4)
		p->legend_lines--;
}

static void lay_out(struct picture *p)
{
	double widest = 0;

	set_font(p->cr, TEXT_SIZE, false);
	lay_out_legend(p);
	p->top = EDGE + TITLE_SIZE + LINE_HEIGHT + 8;
	p->bottom = p->height - EDGE - LINE_HEIGHT - 6 - (double)p->legend_lines * LINE_HEIGHT;
	p->bottom = round(fmax(p->bottom, p->top + 20)) + 0.5;
	p->top = round(p->top) + 0.5;
	plot_scale(p->plot, (size_t)((p->width - 2 * EDGE) / LABEL_ROOM),
		(size_t)fmax(2, (p->bottom - p->top) / 32));
	for (size_t i = 0; i < p->plot->y.n; i++)
		widest = fmax(widest, width_of(p->cr, p->plot->y.ticks[i].label));
	p->left = round(EDGE + widest + 8) + 0.5;
	p->right = round(p->width - EDGE - 4) + 0.5;
}

static double place_x(const struct picture *p, double time)
{
	const struct plot_axis *a = &p->plot->x;

	return p->left + (time - a->min) / (a->max - a->min) * (p->right - p->left);
}

static double place_y(const struct picture *p, double value)
{
	const struct plot_axis *a = &p->plot->y;

	return p->bottom - (value - a->min) / (a->max - a->min) * (p->bottom - p->top);
}

/* --- drawing ---------------------------------------------------------------------------------------- */

static void draw_rule(cairo_t *cr, double x0, double y0, double x1, double y1)
{
	cairo_move_to(cr, x0, y0);
	cairo_line_to(cr, x1, y1);
	cairo_stroke(cr);
}

static void draw_grid(const struct picture *p)
{
	cairo_t *cr = p->cr;

	cairo_set_line_width(cr, 1);
	for (size_t i = 0; i < p->plot->y.n; i++) {
		const struct plot_tick *tick = &p->plot->y.ticks[i];
		double y = floor(place_y(p, tick->at)) + 0.5;

		set_grey(cr, 0.9);
		draw_rule(cr, p->left, y, p->right, y);
		set_grey(cr, 0.3);
		put_text(cr, p->left - 7, y + TEXT_SIZE * 0.36, 1, tick->label);
	}
	for (size_t i = 0; i < p->plot->x.n; i++) {
		const struct plot_tick *tick = &p->plot->x.ticks[i];
		double x = floor(place_x(p, tick->at)) + 0.5;
		double half = width_of(cr, tick->label) / 2;

		set_grey(cr, 0.93);
		draw_rule(cr, x, p->top, x, p->bottom);
		set_grey(cr, 0.45);
		draw_rule(cr, x, p->bottom, x, p->bottom + 4);
		set_grey(cr, 0.3);
		if (x + half < p->width - 2)
			put_text(cr, x, p->bottom + LINE_HEIGHT, 0.5, tick->label);
	}
	set_grey(cr, 0.45);
	draw_rule(cr, p->left, p->bottom, p->right, p->bottom);
	draw_rule(cr, p->left, p->top, p->left, p->bottom);
}

static size_t end_of_run(const struct plot_series *s, size_t i)
{
	for (i++; i < s->n && !s->points[i].apart; i++)
		;
	return i;
}

static void trace(const struct picture *p, const struct plot_series *s, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		cairo_line_to(p->cr, place_x(p, s->points[i].time), place_y(p, s->points[i].value));
}

/* Between the line and zero. */
static void fill_run(const struct picture *p, size_t series, size_t from, size_t to)
{
	const struct plot_series *s = &p->plot->series[series];
	double base = place_y(p, 0);

	cairo_move_to(p->cr, place_x(p, s->points[from].time), base);
	trace(p, s, from, to);
	cairo_line_to(p->cr, place_x(p, s->points[to - 1].time), base);
	cairo_close_path(p->cr);
	set_colour(p->cr, series, 0.13);
	cairo_fill(p->cr);
}

static void draw_series(const struct picture *p, size_t series)
{
	const struct plot_series *s = &p->plot->series[series];
	/* An area that does not begin at zero would show a wrong proportion. */
	bool fill = p->plot->n == 1 && p->plot->y.min <= 0 && p->plot->y.max >= 0;
	size_t end;

	for (size_t i = 0; i < s->n; i = end) {
		end = end_of_run(s, i);
		if (fill)
			fill_run(p, series, i, end);
		set_colour(p->cr, series, 1);
		cairo_set_line_width(p->cr, 1.6);
		/* A point without neighbours is a dot: a round cap on a line of no length. */
		cairo_move_to(p->cr, place_x(p, s->points[i].time), place_y(p, s->points[i].value));
		cairo_set_line_width(p->cr, end == i + 1 ? 4 : 1.6);
		trace(p, s, i, end);
		cairo_stroke(p->cr);
	}
}

static void draw_all_series(const struct picture *p)
{
	cairo_save(p->cr);
	cairo_rectangle(p->cr, p->left, p->top - 2, p->right - p->left + 2, p->bottom - p->top + 3);
	cairo_clip(p->cr);
	cairo_set_line_cap(p->cr, CAIRO_LINE_CAP_ROUND);
	cairo_set_line_join(p->cr, CAIRO_LINE_JOIN_ROUND);
	/* The first one is drawn last: it lies on top. */
	for (size_t i = p->plot->n; i > 0; i--)
		draw_series(p, i - 1);
	cairo_restore(p->cr);
}

static void draw_heading(const struct picture *p)
{
	double y = EDGE + TITLE_SIZE * 0.8, span;

	set_font(p->cr, TEXT_SIZE, false);
	span = width_of(p->cr, p->plot->span);
	set_grey(p->cr, 0.4);
	put_text(p->cr, p->width - EDGE, y, 1, p->plot->span);
	put_text(p->cr, EDGE, y + LINE_HEIGHT + 1, 0, p->plot->subtitle);
	set_font(p->cr, TITLE_SIZE, true);
	set_grey(p->cr, 0.12);
	cairo_save(p->cr);
	cairo_rectangle(p->cr, 0, 0, fmax(p->width - 2 * EDGE - span - 10, 60), p->height);
	cairo_clip(p->cr);
	put_text(p->cr, EDGE, y, 0, p->plot->title);
	cairo_restore(p->cr);
}

static void draw_legend_entry(const struct picture *p, size_t i, double x, double y)
{
	char text[1024];

	legend_text(p, i, text, sizeof(text));
	set_colour(p->cr, i, 1);
	cairo_set_line_width(p->cr, 3);
	draw_rule(p->cr, x, y - TEXT_SIZE * 0.36, x + SWATCH, y - TEXT_SIZE * 0.36);
	set_grey(p->cr, 0.2);
	put_text(p->cr, x + SWATCH + 6, y, 0, text);
}

static void draw_legend(const struct picture *p)
{
	double first = p->bottom + 2 * LINE_HEIGHT + 6;
	size_t room = p->legend_lines * p->legend_columns, shown = p->plot->n, left_out;
	char text[64];

	set_font(p->cr, TEXT_SIZE, false);
	if (shown + (p->plot->left_out > 0) > room)
		shown = room ? room - 1 : 0;
	for (size_t i = 0; i < shown; i++)
		draw_legend_entry(p, i, EDGE + (double)(i % p->legend_columns) * p->legend_width,
			first + (double)(i / p->legend_columns) * LINE_HEIGHT);
	left_out = p->plot->n - shown + p->plot->left_out;
	if (!left_out)
		return;
	snprintf(text, sizeof(text), "and %zu more", left_out);
	set_grey(p->cr, 0.4);
	put_text(p->cr, EDGE + (double)(shown % p->legend_columns) * p->legend_width,
		first + (double)(shown / p->legend_columns) * LINE_HEIGHT, 0, text);
}

static int cairo_failed(cairo_status_t status, struct errmsg *e)
{
	return err_set(e, -EIO, "no picture: %s", cairo_status_to_string(status));
}

/* Bytes of a picture, and what went wrong with them. */
struct sink {
	FILE *file;
	int err;
};

static cairo_status_t write_bytes(void *closure, const unsigned char *data, unsigned len)
{
	struct sink *sink = closure;

	errno = 0;
	if (fwrite(data, 1, len, sink->file) == len)
		return CAIRO_STATUS_SUCCESS;
	sink->err = errno ? -errno : -EIO;
	return CAIRO_STATUS_WRITE_ERROR;
}

static int write_surface(cairo_surface_t *surface, const char *path, struct errmsg *e)
{
	bool to_stdout = !strcmp(path, "-");
	struct sink sink = {.file = to_stdout ? stdout : fopen(path, "wbe")};
	cairo_status_t status;

	if (!sink.file)
		return err_set(e, -EIO, "%.300s: %s", path, strerror(errno));
	status = cairo_surface_write_to_png_stream(surface, write_bytes, &sink);
	if ((to_stdout ? fflush(stdout) : fclose(sink.file)) && !sink.err)
		sink.err = -errno;
	if (sink.err)
		return err_set(e, -EIO, "%.300s: %s", to_stdout ? "standard output" : path,
			strerror(-sink.err));
	return status ? cairo_failed(status, e) : 0;
}

int plot_write_png(struct plot *plot, const char *path, int width, int height, struct errmsg *e)
{
	struct picture p = {.plot = plot,
		.width = width > LEAST_WIDTH ? width : LEAST_WIDTH,
		.height = height > LEAST_HEIGHT ? height : LEAST_HEIGHT};
	cairo_surface_t *surface =
		cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)p.width, (int)p.height);
	cairo_status_t status;
	int err;

	p.cr = cairo_create(surface);
	set_grey(p.cr, 1);
	cairo_paint(p.cr);
	lay_out(&p);
	draw_grid(&p);
	draw_all_series(&p);
	draw_heading(&p);
	draw_legend(&p);
	status = cairo_status(p.cr);
	err = status ? cairo_failed(status, e) : write_surface(surface, path, e);
	cairo_destroy(p.cr);
	cairo_surface_destroy(surface);
	return err;
}
