/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `tally check` and `tally size`: is a history whole, and how small is it. */
#include "tools/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/text.h"

#define EXIT_CLEAN   0
#define EXIT_DAMAGED 1
#define EXIT_NOT_RUN 2

static void print_damage(void *arg, const char *file, uint64_t offset, const char *what)
{
	text_put_clean(stdout, file);
	printf(": byte %llu: ", (unsigned long long)offset);
	text_put_clean(stdout, what);
	putchar('\n');
}

/* The history is an operand too, for it is all that these commands are about. */
static int choose_dir(
	const char *name, const char *option, int operands, char **operand, const char **ret)
{
	if (operands > 1)
		return tally_usage(name, "one directory, not %d", operands);
	if (operands && option)
		return tally_usage(name, "either --dir=%.60s or %.60s", option, operand[0]);
	*ret = operands ? operand[0] : option ? option : histdir_default();
	return CONF_EXIT_OK;
}

static int check(const char *dir)
{
	struct errmsg e = {""};
	long damages = histdir_check(dir, HISTDIR_OPTIONS, &e);

	if (!damages)
		damages = history_check(dir, print_damage, NULL, &e);
	if (damages < 0) {
		fprintf(stderr, "tally: %s\n", *e.text ? e.text : strerror((int)-damages));
		return EXIT_NOT_RUN;
	}
	if (!damages)
		printf("%s: clean\n", dir);
	else
		printf("%s: %ld damaged %s\n", dir, damages, damages == 1 ? "place" : "places");
	return damages ? EXIT_DAMAGED : EXIT_CLEAN;
}

int cmd_check(int argc, char **argv)
{
	char *dir = NULL;
	const struct conf_option options[] = {
		{"dir", CONF_STRING, &dir, "DIR", "the history"},
		{0},
	};
	const struct conf_program prog = {
		.name = "tally check",
		.summary = "Verifies every byte of a history and lists what is damaged.",
		.usage = "[DIR]",
		.epilog = "Exit code: 0 clean, 1 damaged, 2 could not be checked.",
		.options = options,
	};
	const char *chosen;
	int operand, code;

	if (tally_options(&prog, argc, argv, &operand, &code)) {
		code = choose_dir(prog.name, dir, argc - operand, argv + operand, &chosen);
		if (!code)
			code = check(chosen);
	} else if (code) {
		code = EXIT_NOT_RUN;
	}
	free(dir);
	return code;
}

static int size(const char *dir, bool json)
{
	struct history_size s;
	struct history *h;
	struct errmsg e = {""};
	double each;
	int err = histdir_open(dir, HISTDIR_OPTIONS, &h, &e);

	if (err)
		return tally_fail(err, &e);
	history_size(h, &s);
	each = s.samples ? (double)s.bytes / (double)s.samples : 0;
	printf(json ? "{\"files\":%llu,\"bytes\":%llu,\"series\":%llu,\"samples\":%llu,"
		      "\"bytes_per_sample\":%.4f}\n"
		    : "files             %llu\nbytes             %llu\nseries            %llu\n"
		      "samples           %llu\nbytes per sample  %.4f\n",
		(unsigned long long)s.files, (unsigned long long)s.bytes,
		(unsigned long long)s.series, (unsigned long long)s.samples, each);
	history_close(h);
	return CONF_EXIT_OK;
}

int cmd_size(int argc, char **argv)
{
	char *dir = NULL;
	bool json = false;
	const struct conf_option options[] = {
		{"dir", CONF_STRING, &dir, "DIR", "the history"},
		{"json", CONF_BOOL, &json, NULL, "print JSON"},
		{0},
	};
	const struct conf_program prog = {
		.name = "tally size",
		.summary = "Prints what a history holds and takes on disk.",
		.usage = "[OPTION]... [DIR]",
		.options = options,
	};
	const char *chosen;
	int operand, code;

	if (tally_options(&prog, argc, argv, &operand, &code)) {
		code = choose_dir(prog.name, dir, argc - operand, argv + operand, &chosen);
		if (!code)
			code = size(chosen, json);
	}
	free(dir);
	return code;
}
