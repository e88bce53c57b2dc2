/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of a program from one table: ini file, then command line, then --help.
 *
 * Files are read by inih, which by itself cuts lines at its buffer's size and takes an indented line
 * for more of the value before. Both would lose a setting without a word, so lines go through a
 * reader of our own: one that is too long is refused, and indentation means nothing.
 */
#include "user/lib/confvalue.h"

#include <ctype.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum source { FROM_DEFAULT, FROM_FILE, FROM_CLI };

struct parse {
	const struct conf_program *prog;
	uint8_t *set_by; /* enum source of each option: a later source replaces a list */
	enum source source;
	const char *path; /* FROM_FILE */
	FILE *file;
	unsigned line;
	int code; /* first mistake, told in *e */
	struct errmsg *e;
};

static size_t table_size(const struct conf_program *prog)
{
	size_t n = 0;

	while (prog->options[n].name)
		n++;
	return n;
}

static int parse_init(struct parse *p, const struct conf_program *prog, struct errmsg *e)
{
	*p = (struct parse){.prog = prog, .e = e};
	p->set_by = calloc(table_size(prog) + 1, 1);
	return p->set_by ? 0 : err_set(e, -ENOMEM, "out of memory");
}

/* --- mistakes -------------------------------------------------------------------------------- */

/* Keeps the first one: what comes after it is often its consequence. */
static int mistake(struct parse *p, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int mistake(struct parse *p, int code, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	if (p->code)
		return p->code;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	p->code = p->source == FROM_FILE ? err_set(p->e, code, "%s:%u: %s", p->path, p->line, text)
					 : err_set(p->e, code, "%s", text);
	return p->code;
}

/* Levenshtein's distance of two short names, one row at a time. */
static size_t distance(const char *a, const char *b)
{
	size_t row[64], la = strlen(a), lb = strlen(b);

	if (la >= 64 || lb >= 64)
		return 64;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			best = row[j] + 1 < best ? row[j] + 1 : best;
			row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
		}
	}
	return row[lb];
}

/* Options are named as they were written. */
static const char *option_dashes(const struct parse *p)
{
	return p->source == FROM_CLI ? "--" : "";
}

static int unknown_option(struct parse *p, const char *name)
{
	const char *dashes = option_dashes(p);
	const struct conf_option *best = NULL;
	size_t least = strlen(name) / 3 + 2;

	for (const struct conf_option *o = p->prog->options; o->name; o++) {
		size_t d = distance(name, o->name);

		if (d < least) {
			least = d;
			best = o;
		}
	}
	if (best)
		return mistake(p, -EINVAL, "unknown option '%s%.60s'; did you mean '%s%s'?", dashes,
			name, dashes, best->name);
	return mistake(p, -EINVAL, "unknown option '%s%.60s'; '%s --help' lists them", dashes, name,
		p->prog->name);
}

/* --- setting --------------------------------------------------------------------------------- */

static int set_string(char **dest, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*dest);
	*dest = copy;
	return 0;
}

static void list_clear(char ***list)
{
	for (char **s = *list; s && *s; s++)
		free(*s);
	free(*list);
	*list = NULL;
}

static int list_append(char ***list, const char *text, size_t len)
{
	size_t n = 0;
	char **grown, *copy;

	while (*list && (*list)[n])
		n++;
	copy = strndup(text, len);
	grown = copy ? reallocarray(*list, n + 2, sizeof(char *)) : NULL;
	if (!grown) {
		free(copy);
		return -ENOMEM;
	}
	grown[n] = copy;
	grown[n + 1] = NULL;
	*list = grown;
	return 0;
}

/* Comma-separated, spaces around elements ignored, empty elements too. Appended to the list. */
static int split_list(const char *value, char ***list)
{
	int err = 0;

	while (*value && !err) {
		size_t len = strcspn(value, ","), end = len;
		const char *next = value + len + (value[len] == ',');

		while (end && isspace((unsigned char)*value))
			value++, end--;
		while (end && isspace((unsigned char)value[end - 1]))
			end--;
		if (end)
			err = list_append(list, value, end);
		value = next;
	}
	return err;
}

static int set_number(const struct conf_option *o, const char *value)
{
	uint64_t v;
	int err;

	if (o->type == CONF_DURATION)
		err = conf_parse_duration(value, &v);
	else
		err = o->type == CONF_U64 ? conf_parse_size(value, &v)
					  : conf_parse_number(value, &v);
	if (err)
		return err;
	if ((o->min || o->max) && (v < o->min || (o->max && v > o->max)))
		return -ERANGE;
	if (o->type != CONF_U32) {
		*(uint64_t *)o->dest = v;
		return 0;
	}
	if (v > UINT32_MAX)
		return -ERANGE;
	*(uint32_t *)o->dest = (uint32_t)v;
	return 0;
}

static int bad_value(struct parse *p, const struct conf_option *o, const char *value, int err)
{
	static const char *const wanted[] = {
		[CONF_STRING] = "text",
		[CONF_BOOL] = "yes or no",
		[CONF_U32] = "a whole number",
		[CONF_U64] = "a whole number, with K, M or G for powers of 1024",
		[CONF_DURATION] = "a time like 10s, 500ms, 2m, 1h or 1d",
		[CONF_LIST] = "names separated by commas",
	};
	const char *dashes = option_dashes(p);
	char low[32], high[32] = "";

	if (err == -ENOMEM)
		return mistake(p, err, "out of memory");
	if (err != -ERANGE)
		return mistake(p, -EINVAL, "'%.80s' is no value for '%s%s': give %s", value, dashes,
			o->name, wanted[o->type]);
	conf_format_number(o, o->min, low, sizeof(low));
	if (o->max)
		conf_format_number(o, o->max, high, sizeof(high));
	return mistake(p, -EINVAL, "'%.80s' is out of range for '%s%s': at least %s%s%s", value,
		dashes, o->name, low, o->max ? ", at most " : "", high);
}

static int check_text(struct parse *p, const struct conf_option *o, const char *value)
{
	struct errmsg why = {""};
	int err = o->check ? o->check(value, &why) : 0;

	return err ? mistake(p, err, "'%.80s' is no value for '%s%s': %s", value, option_dashes(p),
			     o->name, why.text)
		   : 0;
}

/* What the value's elements are is known once it is split: they are checked before they count. */
static int set_list(struct parse *p, const struct conf_option *o, const char *value)
{
	char ***dest = o->dest, **added = NULL;
	int err = split_list(value, &added);

	if (!err && !added)
		err = check_text(p, o, value);
	for (char **s = added; s && *s && !err; s++)
		err = check_text(p, o, *s);
	if (!err && p->set_by[o - p->prog->options] != p->source)
		list_clear(dest);
	for (char **s = added; s && *s && !err; s++)
		err = list_append(dest, *s, strlen(*s));
	list_clear(&added);
	return err;
}

static int set_value(struct parse *p, const struct conf_option *o, const char *value)
{
	uint8_t *set_by = &p->set_by[o - p->prog->options];
	int err;

	switch (o->type) {
	case CONF_STRING:
		err = check_text(p, o, value);
		if (!err)
			err = set_string(o->dest, value);
		break;
	case CONF_BOOL:
		err = conf_parse_bool(value, o->dest);
		break;
	case CONF_LIST:
		err = set_list(p, o, value);
		break;
	default:
		err = set_number(o, value);
	}
	if (p->code)
		return p->code;
	if (err)
		return bad_value(p, o, value, err);
	*set_by = (uint8_t)p->source;
	return 0;
}

static const struct conf_option *find_option(
	const struct conf_program *prog, const char *name, size_t len)
{
	for (const struct conf_option *o = prog->options; o->name; o++)
		if (strlen(o->name) == len && !memcmp(o->name, name, len))
			return o;
	return NULL;
}

/* --- file ------------------------------------------------------------------------------------ */

/* inih's fgets: the next line without its indentation. NULL ends the file, or a refused line. */
static char *read_line(char *out, int size, void *arg)
{
	struct parse *p = arg;
	size_t len, skip;
	int c = 0, n = 0;

	if (p->code)
		return NULL;
	for (len = 0; len < (size_t)size - 1 && c != '\n'; len++) {
		c = getc(p->file);
		if (c == EOF)
			break;
		out[len] = (char)c;
		n |= !c;
	}
	if (!len)
		return NULL;
	out[len] = '\0';
	p->line++;
	/* A full buffer is a whole line only if that ends right here. */
	if (len == (size_t)size - 1 && c != '\n' && (c = getc(p->file)) != EOF) {
		mistake(p, -EINVAL, "this line is longer than %d bytes", size - 2);
		return NULL;
	}
	if (n) {
		mistake(p, -EINVAL, "a zero byte in this line");
		return NULL;
	}
	skip = strspn(out, " \t");
	memmove(out, out + skip, len - skip + 1);
	return out;
}

/* inih's handler: 1 to go on. */
static int take_setting(void *arg, const char *section, const char *name, const char *value)
{
	struct parse *p = arg;
	const struct conf_option *o = find_option(p->prog, name, strlen(name));

	if (p->code)
		return 0;
	if (strcmp(section, p->prog->name)) {
		mistake(p, -EINVAL, "'%.60s' stands in section [%.60s], not in [%s]", name, section,
			p->prog->name);
		return 0;
	}
	if (!o) {
		unknown_option(p, name);
		return 0;
	}
	if (o->only_cli) {
		mistake(p, -EINVAL, "'%s' is for the command line only", name);
		return 0;
	}
	return !set_value(p, o, value);
}

static int read_settings(struct parse *p, const char *path)
{
	int bad_line;

	p->source = FROM_FILE;
	p->path = path;
	p->line = 0;
	p->file = fopen(path, "re");
	if (!p->file)
		return err_set(p->e, -errno, "%s: %s", path, strerror(errno));
	bad_line = ini_parse_stream(read_line, p, take_setting, p);
	if (!p->code && ferror(p->file))
		p->code = err_set(p->e, -EIO, "%s: can't be read (is it a directory?)", path);
	/* inih reads on behind a malformed line: that line is the first mistake then. */
	if (bad_line > 0 && (!p->code || (unsigned)bad_line < p->line)) {
		p->code = 0;
		p->line = (unsigned)bad_line;
		mistake(p, -EINVAL, "neither [section] nor name = value");
	}
	fclose(p->file);
	p->file = NULL;
	return p->code;
}

int conf_read_file(const struct conf_program *prog, const char *path, struct errmsg *e)
{
	struct parse p;
	int err = parse_init(&p, prog, e);

	if (!err)
		err = read_settings(&p, path);
	free(p.set_by);
	return err;
}

/* --- command line ---------------------------------------------------------------------------- */

struct word {
	const struct conf_option *option; /* NULL: an operand, or one of the built-in ones */
	const char *value;
	bool help, version, config, operand;
};

/* The word at argv[*i], and its value from the next one if need be; *i moves behind them. */
static int next_word(struct parse *p, int argc, char **argv, int *i, struct word *ret)
{
	const char *arg = argv[(*i)++], *name = arg + 2;
	size_t len = strcspn(name, "=");
	bool has_value = name[len] == '=';
	const struct conf_option *o;

	*ret = (struct word){0};
	if (!strcmp(arg, "-h") || !strcmp(arg, "--help")) {
		ret->help = true;
		return 0;
	}
	if (!strcmp(arg, "-V") || !strcmp(arg, "--version")) {
		ret->version = true;
		return 0;
	}
	if (arg[1] != '-')
		return mistake(p, -EINVAL, "unknown option '%.60s'; options begin with --", arg);
	o = find_option(p->prog, name, len);
	ret->config = len == 6 && !memcmp(name, "config", 6) && (o || p->prog->config);
	if (!o && !ret->config) {
		if (len > 3 && !strncmp(name, "no-", 3))
			o = find_option(p->prog, name + 3, len - 3);
		if (!o || o->type != CONF_BOOL)
			return unknown_option(p, name);
		if (has_value)
			return mistake(p, -EINVAL, "'--no-%s' takes no value", o->name);
		ret->value = "no";
	}
	ret->option = o;
	if (has_value)
		ret->value = name + len + 1;
	else if (o && o->type == CONF_BOOL)
		ret->value = ret->value ? ret->value : "yes";
	else if (*i < argc)
		ret->value = argv[(*i)++];
	else
		return mistake(p, -EINVAL, "'--%s' needs a value", name);
	return 0;
}

static bool is_operand(const char *arg)
{
	return arg[0] != '-' || !arg[1];
}

/* First pass: nothing is set yet, so that --help shows the true defaults. */
static int find_config(struct parse *p, int argc, char **argv, const char **ret_path)
{
	struct word w;

	for (int i = 1; i < argc && strcmp(argv[i], "--");) {
		if (is_operand(argv[i])) {
			i++;
			continue;
		}
		if (next_word(p, argc, argv, &i, &w))
			return p->code;
		if (w.help) {
			conf_print_help(p->prog);
			return 1;
		}
		if (w.version) {
			printf("%s %s\n", p->prog->name, TALLY_VERSION_TEXT);
			return 1;
		}
		if (w.config)
			*ret_path = w.value;
	}
	return 0;
}

/* Second pass: options are set, and operands moved behind them in argv, in their order. */
static int take_arguments(struct parse *p, int argc, char **argv, int *ret_optind)
{
	char **options = calloc(2 * (size_t)argc + 1, sizeof(char *));
	char **operands = options + argc;
	size_t noptions = 0, noperands = 0;
	struct word w;

	if (!options)
		return mistake(p, -ENOMEM, "out of memory");
	for (int i = 1, first; (first = i) < argc && !p->code;) {
		if (is_operand(argv[i])) {
			operands[noperands++] = argv[i++];
			continue;
		}
		if (!strcmp(argv[i], "--")) {
			options[noptions++] = argv[i++];
			while (i < argc)
				operands[noperands++] = argv[i++];
			break;
		}
		if (!next_word(p, argc, argv, &i, &w) && w.option)
			set_value(p, w.option, w.value);
		while (first < i)
			options[noptions++] = argv[first++];
	}
	if (!p->code) {
		memcpy(argv + 1, options, noptions * sizeof(char *));
		memcpy(argv + 1 + noptions, operands, noperands * sizeof(char *));
		*ret_optind = 1 + (int)noptions;
	}
	free(options);
	return p->code;
}

int conf_load(
	const struct conf_program *prog, int argc, char **argv, int *ret_optind, struct errmsg *e)
{
	const char *path = NULL;
	struct parse p;
	int err;

	err = parse_init(&p, prog, e);
	if (err)
		return err;
	p.source = FROM_CLI;
	err = find_config(&p, argc, argv, &path);
	if (err)
		goto out;
	if (path || prog->config) {
		err = read_settings(&p, path ? path : prog->config);
		if (err == -ENOENT && !path)
			err = 0;
		if (err)
			goto out;
	}
	p.source = FROM_CLI;
	err = take_arguments(&p, argc, argv, ret_optind);
out:
	free(p.set_by);
	return err;
}
