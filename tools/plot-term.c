/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plot made of characters.
 *
 *   title
 *   10 k +             .--.        one cell is 2 x 4 dots (braille), or one mark where lines must be
 *        |          .-'            told apart without colours, or where there is no UTF-8
 *    5 k +      .--'
 *        |  _.-'
 *      0 +----+---------+---
 *           14:00     14:05
 */
#include "tools/plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/text.h"

#define LEAST_WIDTH  20
#define LEAST_HEIGHT 3

struct cell {
	uint8_t dots; /* braille: bits of U+2800 */
	uint8_t series; /* drawn last here; 0: none, else its number + 1 */
};

struct canvas {
	const struct plot *plot;
	const struct plot_terminal *terminal;
	size_t columns, rows, margin; /* cells of the plot's area; characters left of it */
	int dots_x, dots_y; /* per cell */
	bool braille;
	struct cell *cells;
};

static const char *mark(const struct canvas *c, size_t series)
{
	static const char *const utf8[] = {
		"●", "+", "×", "○", "■", "▲", "□", "◆", "△", "◇", "#", "*"};
	static const char *const ascii[] = {
		"*", "+", "x", "o", "#", "@", "%", "&", "$", "=", "a", "b"};

	return c->terminal->utf8 ? utf8[series] : ascii[series];
}

/* Twelve of the terminal's 256 colours that can be told apart on light and dark. */
static int colour(size_t series)
{
	static const uint8_t colours[] = {33, 208, 35, 160, 135, 130, 205, 244, 142, 44, 25, 94};

	return colours[series];
}

static void set_colour(const struct canvas *c, FILE *out, size_t series)
{
	if (c->terminal->colour)
		fprintf(out, "\033[38;5;%dm", colour(series));
}

static void set_dim(const struct canvas *c, FILE *out)
{
	if (c->terminal->colour)
		fputs("\033[2m", out);
}

static void unset(const struct canvas *c, FILE *out)
{
	if (c->terminal->colour)
		fputs("\033[0m", out);
}

/* --- drawing ------------------------------------------------------------------------------------ */

static void put_dot(struct canvas *c, long x, long y, size_t series)
{
	static const uint8_t bits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
	struct cell *cell;

	if (x < 0 || y < 0 || x >= (long)c->columns * c->dots_x || y >= (long)c->rows * c->dots_y)
		return;
	cell = &c->cells[(size_t)(y / c->dots_y) * c->columns + (size_t)(x / c->dots_x)];
	cell->dots |= bits[y % c->dots_y][x % c->dots_x];
	cell->series = (uint8_t)(series + 1);
}

static long place(double at, const struct plot_axis *axis, size_t dots)
{
	double share = (at - axis->min) / (axis->max - axis->min);

	return lround(fmin(fmax(share, -1), 2) * (double)(dots - 1));
}

static long place_x(const struct canvas *c, double time)
{
	return place(time, &c->plot->x, c->columns * (size_t)c->dots_x);
}

static long place_y(const struct canvas *c, double value)
{
	size_t dots = c->rows * (size_t)c->dots_y;

	return (long)dots - 1 - place(value, &c->plot->y, dots);
}

static void draw_line(struct canvas *c, long x0, long y0, long x1, long y1, size_t series)
{
	long steps = labs(x1 - x0) > labs(y1 - y0) ? labs(x1 - x0) : labs(y1 - y0);

	for (long i = 0; i <= steps; i++) {
		double share = steps ? (double)i / (double)steps : 0;
		put_dot(c, x0 + lround(share * (double)(x1 - x0)),
			y0 + lround(share * (double)(y1 - y0)), series);
	}
}

static void draw_series(struct canvas *c, size_t i)
{
	const struct plot_series *s = &c->plot->series[i];
	long x = 0, y = 0;

	for (size_t j = 0; j < s->n; j++) {
		long x1 = place_x(c, s->points[j].time), y1 = place_y(c, s->points[j].value);
		if (s->points[j].apart)
			put_dot(c, x1, y1, i);
		else
			draw_line(c, x, y, x1, y1, i);
		x = x1;
		y = y1;
	}
}

/* --- printing ------------------------------------------------------------------------------------ */

static const struct plot_tick *tick_of_row(const struct canvas *c, size_t row)
{
	for (size_t i = 0; i < c->plot->y.n; i++)
		if (place_y(c, c->plot->y.ticks[i].at) / c->dots_y == (long)row)
			return &c->plot->y.ticks[i];
	return NULL;
}

static void put_right(FILE *out, const char *text, size_t width)
{
	fprintf(out, "%*s%s", (int)(width - text_width(text)), "", text);
}

static void print_cell(const struct canvas *c, const struct cell *cell, bool grid, FILE *out)
{
	if (!cell->series && !grid) {
		putc(' ', out);
		return;
	}
	if (!cell->series) {
		set_dim(c, out);
		fputs(c->terminal->utf8 ? "┈" : ".", out);
		unset(c, out);
		return;
	}
	set_colour(c, out, cell->series - 1u);
	if (c->braille) /* U+2800 + dots in UTF-8 */
		fprintf(out, "\xe2%c%c", 0xa0 | cell->dots >> 6, 0x80 | (cell->dots & 0x3f));
	else
		fputs(mark(c, cell->series - 1u), out);
	unset(c, out);
}

static void print_row(const struct canvas *c, size_t row, FILE *out)
{
	const struct plot_tick *tick = tick_of_row(c, row);

	put_right(out, tick ? tick->label : "", c->margin);
	if (c->terminal->utf8)
		fputs(tick ? " ┤" : " │", out);
	else
		fputs(tick ? " +" : " |", out);
	for (size_t x = 0; x < c->columns; x++)
		print_cell(c, &c->cells[row * c->columns + x], tick, out);
	putc('\n', out);
}

static bool is_tick_column(const struct canvas *c, size_t column)
{
	for (size_t i = 0; i < c->plot->x.n; i++)
		if (place_x(c, c->plot->x.ticks[i].at) / c->dots_x == (long)column)
			return true;
	return false;
}

static void print_time_axis(const struct canvas *c, FILE *out)
{
	bool utf8 = c->terminal->utf8;
	size_t at = 0;

	fprintf(out, "%*s%s", (int)c->margin + 1, "", utf8 ? "└" : "+");
	for (size_t i = 0; i < c->columns; i++)
		fputs(is_tick_column(c, i) ? utf8 ? "┬" : "+" : utf8 ? "─" : "-", out);
	fprintf(out, "\n%*s", (int)c->margin + 2, "");
	for (size_t i = 0; i < c->plot->x.n; i++) {
		const struct plot_tick *tick = &c->plot->x.ticks[i];
		size_t len = strlen(tick->label);
		size_t column = (size_t)(place_x(c, tick->at) / c->dots_x);
		size_t start = column > len / 2 ? column - len / 2 : 0;

		/* One that would touch its neighbour or stick out is left out. */
		if ((at && start < at + 1) || start + len > c->columns + 4)
			continue;
		fprintf(out, "%*s%s", (int)(start - at), "", tick->label);
		at = start + len;
	}
	putc('\n', out);
}

static void print_legend(const struct canvas *c, FILE *out)
{
	size_t widest = 0;

	for (size_t i = 0; i < c->plot->n; i++) {
		size_t w = text_width(c->plot->series[i].label);
		widest = w > widest ? w : widest;
	}
	for (size_t i = 0; i < c->plot->n; i++) {
		const struct plot_series *s = &c->plot->series[i];
		char last[PLOT_VALUE_MAX], mean[PLOT_VALUE_MAX], max[PLOT_VALUE_MAX];

		plot_format_value(s->last, c->plot->unit, last);
		plot_format_value(s->mean, c->plot->unit, mean);
		plot_format_value(s->max, c->plot->unit, max);
		fprintf(out, "%*s", (int)c->margin + 2, "");
		set_colour(c, out, i);
		fputs(!c->braille ? mark(c, i) : "━━", out);
		unset(c, out);
		fprintf(out, " %s%*s", s->label, (int)(widest - text_width(s->label)), "");
		fputs("  last ", out);
		put_right(out, last, 10);
		fputs("  mean ", out);
		put_right(out, mean, 10);
		fputs("  max ", out);
		put_right(out, max, 10);
		putc('\n', out);
	}
	if (c->plot->left_out)
		fprintf(out, "%*s(and %zu smaller series)\n", (int)c->margin + 2, "",
			c->plot->left_out);
}

static void print_heading(const struct canvas *c, FILE *out)
{
	fprintf(out, "%*s%s", (int)c->margin + 2, "", c->plot->title);
	if (*c->plot->subtitle)
		fprintf(out, "%s%s", *c->plot->title ? ", " : "", c->plot->subtitle);
	putc('\n', out);
}

static void choose_size(struct canvas *c)
{
	const struct plot_terminal *t = c->terminal;
	size_t used;

	for (size_t i = 0; i < c->plot->y.n; i++) {
		size_t w = text_width(c->plot->y.ticks[i].label);
		c->margin = w > c->margin ? w : c->margin;
	}
	used = c->margin + 2;
	c->columns = t->width > used + LEAST_WIDTH ? t->width - used : LEAST_WIDTH;
	c->rows = t->height > LEAST_HEIGHT + 3 ? t->height - 3 : LEAST_HEIGHT;
}

int plot_print(const struct plot *p, const struct plot_terminal *t, FILE *out)
{
	struct canvas c = {.plot = p, .terminal = t, .dots_x = 1, .dots_y = 1};

	c.braille = t->utf8 && (t->colour || p->n == 1);
	if (c.braille) {
		c.dots_x = 2;
		c.dots_y = 4;
	}
	choose_size(&c);
	c.cells = calloc(c.columns * c.rows, sizeof(*c.cells));
	if (!c.cells)
		return -ENOMEM;
	for (size_t i = p->n; i > 0; i--)
		draw_series(&c, i - 1);
	print_heading(&c, out);
	for (size_t row = 0; row < c.rows; row++)
		print_row(&c, row, out);
	print_time_axis(&c, out);
	fprintf(out, "%*s%s\n", (int)c.margin + 2, "", p->span);
	print_legend(&c, out);
	free(c.cells);
	return 0;
}
