/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `tally` command: its subcommands, one file each, and what they share.
 *
 * A subcommand gets argv[0] = its own name and returns the exit code: 0 well, 1 failed, 2 used
 * wrongly (`check` has its own meaning for 1 and 2).
 */
#ifndef TALLY_TOOLS_TALLY_H
#define TALLY_TOOLS_TALLY_H

#include "gatherer/store/store.h"
#include "tools/histdir.h"
#include "user/lib/conf.h"

int cmd_live(int argc, char **argv);
int cmd_ended(int argc, char **argv);
int cmd_cost(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_get(int argc, char **argv);
int cmd_plot(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_size(int argc, char **argv);

/* Prints "tally: text" on stderr; returns CONF_EXIT_FAIL, or CONF_EXIT_USAGE for -EINVAL. */
int tally_fail(int err, const struct errmsg *e);
int tally_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Reads options. True: go on; false: end with *ret_exit. */
bool tally_options(
	const struct conf_program *prog, int argc, char **argv, int *ret_operand, int *ret_exit);

#endif
