/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The `tally` command: one table drives dispatch, the list in --help and the suggestions. */
#include "tools/tally.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

static const struct command {
	const char *name, *help;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"live", "counters of running programs, straight from their segments", cmd_live},
	{"ended", "processes that ended last, from the provider of this machine", cmd_ended},
	{"cost", "what the provider of this machine costs, by producer and BPF program", cmd_cost},
	{"doctor", "what is wrong with the provider and gatherer of this machine", cmd_doctor},
	{"ls", "nodes and series in a history", cmd_ls},
	{"get", "values: newest, raw, by steps, as rates or exact increases", cmd_get},
	{"plot", "a graph in the terminal or as a PNG picture", cmd_plot},
	{"check", "verify every byte of a history", cmd_check},
	{"size", "files, samples and bytes per sample of a history", cmd_size},
};

#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_help(FILE *out)
{
	fputs("Usage: tally COMMAND [OPTION]... [OPERAND]...\n"
	      "Looks at counters: live ones, and those in a gatherer's history.\n\n",
		out);
	for (size_t i = 0; i < NCOMMANDS; i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
	fputs("\n'tally COMMAND --help' tells a command's options; 'tally --version' the version.\n"
	      "The history is --dir DIR, or $TALLY_HISTORY, or the gatherer's own.\n",
		out);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < NCOMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* How many letters, at least, differ: enough to guess what a short word was meant to be. */
static size_t difference(const char *a, const char *b)
{
	size_t head = 0, la = strlen(a), lb = strlen(b), shorter = la < lb ? la : lb, tail = 0;

	while (head < shorter && a[head] == b[head])
		head++;
	while (tail < shorter - head && a[la - 1 - tail] == b[lb - 1 - tail])
		tail++;
	return (la > lb ? la : lb) - head - tail;
}

static int unknown_command(const char *name)
{
	const struct command *best = NULL;
	size_t least = 3;

	for (size_t i = 0; i < NCOMMANDS; i++) {
		size_t d = difference(name, commands[i].name);
		if (d < least && d < strlen(commands[i].name)) {
			least = d;
			best = &commands[i];
		}
	}
	if (best)
		fprintf(stderr, "tally: unknown command '%.60s'; did you mean '%s'?\n", name,
			best->name);
	else
		fprintf(stderr, "tally: unknown command '%.60s'; 'tally --help' lists them\n",
			name);
	return CONF_EXIT_USAGE;
}

/* Values that did not reach the disk or the pipe are a failure, not a short list. */
static int close_output(int code)
{
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "tally: writing the output: %s\n", strerror(errno));
		return code ? code : CONF_EXIT_FAIL;
	}
	return code;
}

static int run(int argc, char **argv)
{
	const struct command *command;
	char *help[] = {argv[0], "--help", NULL};

	if (argc < 2) {
		print_help(stderr);
		return CONF_EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("tally " TALLY_VERSION_TEXT);
		return CONF_EXIT_OK;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
		(argc == 2 && !strcmp(argv[1], "help"))) {
		print_help(stdout);
		return CONF_EXIT_OK;
	}
	if (!strcmp(argv[1], "help")) {
		command = find_command(argv[2]);
		return command ? command->run(2, help) : unknown_command(argv[2]);
	}
	command = find_command(argv[1]);
	return command ? command->run(argc - 1, argv + 1) : unknown_command(argv[1]);
}

int main(int argc, char **argv)
{
	setlocale(LC_CTYPE, "");
	return close_output(run(argc, argv));
}
