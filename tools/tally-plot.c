/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `tally plot`: series as a graph, in the terminal or as a PNG picture. */
#include "tools/tally.h"

#include <langinfo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "tools/plot.h"
#include "tools/query.h"
#include "tools/text.h"

#define DEFAULT_COLUMNS 80
#define DEFAULT_ROWS    20

struct plot_args {
	struct query_source source;
	char *png, *size, *title, *colour;
	struct query_range range;
	uint32_t width, height;
	bool rate, increase;
	int png_width, png_height;
};

/* --- arguments ---------------------------------------------------------------------------------- */

static int check_size(struct plot_args *a)
{
	int end = 0;

	if (!a->size)
		return CONF_EXIT_OK;
	if (!a->png)
		return tally_usage("tally plot", "--size is for --png; the terminal plot has "
						 "--width and --height");
	if (sscanf(a->size, "%5dx%5d%n", &a->png_width, &a->png_height, &end) != 2 ||
		a->size[end] || a->png_width < 200 || a->png_height < 120 || a->png_width > 10000 ||
		a->png_height > 10000)
		return tally_usage("tally plot",
			"--size: '%.20s' is no size: give 900x300; at least 200x120, at most "
			"10000x10000",
			a->size);
	return CONF_EXIT_OK;
}

static int check_args(struct plot_args *a, int operands)
{
	static const char me[] = "tally plot";

	if (operands != 1)
		return tally_usage(
			me, operands ? "more than one selector" : "a selector is missing");
	if (a->rate && a->increase)
		return tally_usage(me, "--rate and --increase exclude each other");
	if (strcmp(a->colour, "auto") && strcmp(a->colour, "always") && strcmp(a->colour, "never"))
		return tally_usage(me, "--color: give auto, always or never");
	if (a->png && !strcmp(a->png, "-") && isatty(STDOUT_FILENO))
		return tally_usage(me, "--png=-: a picture is not written to a terminal");
	return check_size(a);
}

static bool wants_colour(const struct plot_args *a)
{
	const char *no = getenv("NO_COLOR");

	if (strcmp(a->colour, "auto"))
		return !strcmp(a->colour, "always");
	return isatty(STDOUT_FILENO) && !(no && *no);
}

static struct plot_terminal describe_terminal(const struct plot_args *a)
{
	struct plot_terminal t = {a->width, a->height,
		.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8"), .colour = wants_colour(a)};
	struct winsize w = {0};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) || !w.ws_col)
		w = (struct winsize){.ws_col = DEFAULT_COLUMNS, .ws_row = DEFAULT_ROWS + 4};
	if (!t.width)
		t.width = w.ws_col;
	if (!t.height)
		t.height = w.ws_row < DEFAULT_ROWS + 4 ? w.ws_row : DEFAULT_ROWS;
	return t;
}

/* --- the plot ------------------------------------------------------------------------------------- */

struct loaded {
	struct points points;
	double biggest;
	size_t index; /* of the pick */
};

static double biggest_value(const struct points *p)
{
	double biggest = -INFINITY;

	for (size_t i = 0; i < p->n; i++)
		biggest = fmax(biggest, number_to_double(p->v[i].value));
	return biggest;
}

static int by_size(const void *va, const void *vb)
{
	const struct loaded *a = va, *b = vb;

	return (a->biggest < b->biggest) - (a->biggest > b->biggest);
}

static int by_index(const void *va, const void *vb)
{
	const struct loaded *a = va, *b = vb;

	return (a->index > b->index) - (a->index < b->index);
}

/* Keeps the PLOT_SERIES_MAX biggest among n + 1. */
static size_t drop_smallest(struct loaded *all, size_t n)
{
	if (n <= PLOT_SERIES_MAX)
		return n;
	qsort(all, n, sizeof(*all), by_size);
	points_release(&all[n - 1].points);
	return n - 1;
}

static int load_all(struct history *h, const struct picks *picks, const struct window_spec *spec,
	struct loaded *all, size_t *ret_n, bool *damaged)
{
	size_t n = 0;
	int err = 0;

	for (size_t i = 0; i < picks->n && !err; i++) {
		struct loaded *l = &all[n];
		*l = (struct loaded){.index = i};
		err = query_load(h, &picks->v[i], spec, &l->points, damaged);
		l->biggest = err ? 0 : biggest_value(&l->points);
		n = drop_smallest(all, n + !err);
	}
	qsort(all, n, sizeof(*all), by_index);
	*ret_n = n;
	return err;
}

/* From the first to the last point; the range that was asked for where one was. */
static void set_range(struct plot *p, const struct plot_args *a, const struct window_spec *spec)
{
	double first = INFINITY, last = -INFINITY;

	for (size_t i = 0; i < p->n; i++) {
		const struct plot_series *s = &p->series[i];
		if (!s->n)
			continue;
		first = fmin(first, s->points[0].time);
		last = fmax(last, s->points[s->n - 1].time);
	}
	p->x.min = a->range.from || first > last ? (double)spec->from_ns / 1e9 : first;
	p->x.max = a->range.to || first > last ? (double)spec->to_ns / 1e9 : last;
}

static char *make_span(const struct plot_axis *x)
{
	time_t from = (time_t)x->min, to = (time_t)x->max;
	char text[128];
	struct tm a, b;
	bool same_day;
	size_t len;

	localtime_r(&from, &a);
	localtime_r(&to, &b);
	same_day = a.tm_yday == b.tm_yday && a.tm_year == b.tm_year;
	len = strftime(text, sizeof(text), "%F %T to ", &a);
	strftime(text + len, sizeof(text) - len, same_day ? "%T %Z" : "%F %T %Z", &b);
	return strdup(text);
}

static int fill_plot(struct plot *p, const struct plot_args *a, const struct picks *picks,
	const struct window_spec *spec, const struct loaded *all, size_t n)
{
	struct pick shown[PLOT_SERIES_MAX];
	int err;

	for (size_t i = 0; i < n; i++)
		shown[i] = picks->v[all[i].index];
	err = plot_describe(p, shown, n, spec->mode);
	for (size_t i = 0; i < n && !err; i++)
		err = plot_take_points(&p->series[i], &all[i].points, spec->mode, spec->step_ns);
	if (err)
		return err;
	if (a->title) {
		free(p->title);
		p->title = text_clean(a->title);
	}
	p->left_out = picks->n - n;
	set_range(p, a, spec);
	p->span = make_span(&p->x);
	return p->title && p->span ? 0 : -ENOMEM;
}

static int render(struct plot *p, const struct plot_args *a, struct errmsg *e)
{
	struct plot_terminal t;
	int err;

	if (a->png)
		return plot_write_png(p, a->png, a->png_width, a->png_height, e);
	t = describe_terminal(a);
	plot_scale(p, t.width / 12, t.height / 4);
	err = plot_print(p, &t, stdout);
	return err ? err_set(e, err, "out of memory") : 0;
}

static int draw(struct history *h, const struct plot_args *a, const struct picks *picks,
	const struct window_spec *spec, struct errmsg *e)
{
	struct loaded all[PLOT_SERIES_MAX + 1];
	struct plot plot = {0};
	bool damaged = false;
	size_t n = 0;
	int err = load_all(h, picks, spec, all, &n, &damaged);

	if (!err)
		err = fill_plot(&plot, a, picks, spec, all, n);
	if (err)
		err_set(e, err, "%s: %s", query_source_name(&a->source), strerror(-err));
	else
		err = render(&plot, a, e);
	if (!err && damaged)
		err = err_set(e, -EBADMSG,
			"%s: damaged blocks were left out; 'tally check' lists them",
			query_source_name(&a->source));
	for (size_t i = 0; i < n; i++)
		points_release(&all[i].points);
	plot_release(&plot);
	return err;
}

static int run(const struct plot_args *a, const char *selector, struct errmsg *e)
{
	enum window_mode mode = a->rate       ? WINDOW_RATE
				: a->increase ? WINDOW_INCREASE
					      : WINDOW_VALUE;
	struct picks picks = {0};
	struct window_spec spec;
	struct history *h;
	int err = query_open(&a->source, selector, &h, &picks, e);

	if (err)
		return err;
	if (mode != WINDOW_VALUE)
		err = query_keep_counters(&picks, e);
	if (!err)
		err = query_resolve(&a->range, &picks, mode, &spec, e);
	if (!err)
		err = draw(h, a, &picks, &spec, e);
	picks_release(&picks);
	history_close(h);
	return err;
}

int cmd_plot(int argc, char **argv)
{
	struct plot_args a = {.source = query_source_new(),
		.colour = strdup("auto"),
		.png_width = 900,
		.png_height = 300};
	const struct conf_option options[] = {
		QUERY_SOURCE_OPTIONS(a.source),
		{"rate", CONF_BOOL, &a.rate, NULL, "per second, of counters"},
		{"increase", CONF_BOOL, &a.increase, NULL, "increase, of counters"},
		{"from", CONF_STRING, &a.range.from, "TIME", QUERY_HELP_FROM},
		{"to", CONF_STRING, &a.range.to, "TIME", QUERY_HELP_TO},
		{"step", CONF_STRING, &a.range.step, "TIME", QUERY_HELP_STEP},
		{"title", CONF_STRING, &a.title, "TEXT", "instead of the metric's name"},
		{"width", CONF_U32, &a.width, "COLUMNS",
			"of the terminal plot (default: the terminal's)", .min = 30, .max = 1000},
		{"height", CONF_U32, &a.height, "ROWS", "of the terminal plot (default 20)",
			.min = 6, .max = 500},
		{"color", CONF_STRING, &a.colour, "WHEN", "auto, always or never"},
		{"png", CONF_STRING, &a.png, "FILE",
			"write a picture instead (-: to standard output)"},
		{"size", CONF_STRING, &a.size, "WxH",
			"of the picture, in pixels (default 900x300)"},
		{0},
	};
	const struct conf_program prog = {
		.name = "tally plot",
		.summary = "Draws the series that SELECTOR means, at most twelve.",
		.usage = "[OPTION]... SELECTOR",
		.epilog = "SELECTOR is as for 'tally get'. A counter is best drawn with --rate.",
		.options = options,
	};
	struct errmsg e = {""};
	int operand, code, err;

	if (tally_options(&prog, argc, argv, &operand, &code)) {
		code = check_args(&a, argc - operand);
		err = code ? 0 : run(&a, argv[operand], &e);
		if (err)
			code = tally_fail(err, &e);
	}
	query_source_release(&a.source);
	free(a.size);
	free(a.title);
	free(a.colour);
	free(a.png);
	free(a.range.from);
	free(a.range.to);
	free(a.range.step);
	return code;
}
