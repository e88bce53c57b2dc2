/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --help from the table of options, wrapped at 80 columns, with the defaults that are in force. */
#include "user/lib/confvalue.h"

#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 26
#define HELP_WIDTH  80

/* Text from column on, wrapped at words. The cursor stands at `at`. */
static void print_wrapped(const char *text, int at, int column)
{
	printf("%*s", column > at ? column - at : 0, "");
	at = column > at ? column : at;
	for (bool first = true; *text; first = false) {
		int len = (int)strcspn(text, " ");

		if (first) {
			at += printf("%.*s", len, text);
		} else if (at + 1 + len <= HELP_WIDTH - 1) {
			at += printf(" %.*s", len, text);
		} else {
			at = printf("\n%*s%.*s", column, "", len, text) - 1;
		}
		text += len;
		text += strspn(text, " ");
	}
	putchar('\n');
}

/* " (default 10s)", or nothing for what is empty, off or told in the help text itself. */
static void format_default(const struct conf_option *o, char *out, size_t size)
{
	char value[128] = "";

	if (o->type == CONF_STRING && *(char **)o->dest)
		snprintf(value, sizeof(value), "%s", *(char **)o->dest);
	else if (o->type == CONF_LIST && *(char ***)o->dest && **(char ***)o->dest)
		snprintf(value, sizeof(value), "%s", **(char ***)o->dest);
	else if (o->type == CONF_U32 && *(uint32_t *)o->dest)
		snprintf(value, sizeof(value), "%u", *(uint32_t *)o->dest);
	else if ((o->type == CONF_U64 || o->type == CONF_DURATION) && *(uint64_t *)o->dest)
		conf_format_number(o, *(uint64_t *)o->dest, value, sizeof(value));
	else if (o->type == CONF_BOOL && *(bool *)o->dest)
		snprintf(value, sizeof(value), "yes");
	out[0] = '\0';
	if (value[0] && !strstr(o->help, "default"))
		snprintf(out, size, " (default %s)", value);
}

static void print_option(const char *name, const char *arg, const char *help)
{
	int at = printf("  --%s%s%s", name, arg ? "=" : "", arg ? arg : "");

	if (at > HELP_COLUMN - 2) {
		putchar('\n');
		at = 0;
	}
	print_wrapped(help, at, HELP_COLUMN);
}

void conf_print_help(const struct conf_program *prog)
{
	char suffix[160], text[512];
	bool has_config = false;

	printf("Usage: %s %s\n", prog->name, prog->usage);
	print_wrapped(prog->summary, 0, 0);
	putchar('\n');
	for (const struct conf_option *o = prog->options; o->name; o++) {
		has_config |= !strcmp(o->name, "config");
		format_default(o, suffix, sizeof(suffix));
		snprintf(text, sizeof(text), "%s%s", o->help, suffix);
		print_option(o->name,
			o->type == CONF_BOOL ? NULL
			: o->arg             ? o->arg
					     : "VALUE",
			text);
	}
	if (prog->config && !has_config) {
		snprintf(text, sizeof(text), "read options from FILE (default %s)", prog->config);
		print_option("config", "FILE", text);
	}
	print_option("help", NULL, "print this help and exit");
	print_option("version", NULL, "print the version and exit");
	if (prog->epilog)
		printf("\n%s\n", prog->epilog);
}
