/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all subcommands do the same way: options and messages. */
#include "tools/tally.h"

#include <stdarg.h>
#include <stdio.h>

int tally_fail(int err, const struct errmsg *e)
{
	fprintf(stderr, "tally: %s\n", e->text);
	return err == -EINVAL ? CONF_EXIT_USAGE : CONF_EXIT_FAIL;
}

int tally_usage(const char *command, const char *fmt, ...)
{
	va_list ap;

	fputs("tally: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " ('%s --help' tells more)\n", command);
	return CONF_EXIT_USAGE;
}

bool tally_options(
	const struct conf_program *prog, int argc, char **argv, int *ret_operand, int *ret_exit)
{
	struct errmsg e = {""};
	int err = conf_load(prog, argc, argv, ret_operand, &e);

	if (!err)
		return true;
	*ret_exit = err > 0 ? CONF_EXIT_OK : tally_fail(err, &e);
	return false;
}
