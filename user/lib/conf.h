/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of a program: one table drives the command line (--name value), the ini file
 * (name = value in [section of the program]), --help, and the check of unknown or malformed ones.
 * The command line wins over the file.
 */
#ifndef TALLY_USER_LIB_CONF_H
#define TALLY_USER_LIB_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "user/lib/diag.h"
#include "user/lib/err.h"

enum conf_type {
	CONF_STRING, /* char **: replaced by a copy; start it with a strdup'ed default or NULL */
	CONF_BOOL, /* bool *: --name, --no-name; yes, no, true, false, 1, 0 in the file */
	CONF_U32, /* uint32_t * */
	CONF_U64, /* uint64_t *: bytes may end in K, M, G (powers of 1024) */
	CONF_DURATION, /* uint64_t * nanoseconds: 10s, 500ms, 2m, 1h, 1d; a bare number is seconds */
	CONF_LIST, /* char ***: NULL-terminated; may be given several times, or comma-separated */
};

struct conf_option {
	const char *name; /* "interval"; NULL ends the table */
	enum conf_type type;
	void *dest;
	const char *arg; /* how help shows the value: "TIME", "DIR" */
	const char *help; /* one line, without a full stop */
	uint64_t min, max; /* for numbers and durations; both 0: any */
	bool only_cli; /* not allowed in the file (--config itself, --foreground, --once) */
	/*
	 * For texts and lists: -EINVAL with what is accepted in *e ("give a name"). Called for each
	 * element of a list, and with "" for a list that has none.
	 */
	int (*check)(const char *value, struct errmsg *e);
};

/* A check: any text but none. */
int conf_check_not_empty(const char *value, struct errmsg *e);
/* A check: names of levels of the log; and what such a name means. */
int conf_check_level(const char *value, struct errmsg *e);
int conf_parse_level(const char *text, enum diag_level *ret);
#define CONF_LEVELS "error, warning, notice, info or debug"

struct conf_program {
	const char *name; /* "tallyd": also the ini section */
	const char *summary; /* one line for --help */
	const char *usage; /* "[OPTION]... [PRODUCER]" */
	const char *epilog; /* more text for --help, or NULL */
	const char *config; /* default configuration file, or NULL; missing default is no error */
	const struct conf_option *options;
};

/*
 * Reads --config FILE (or the default), then the command line. *ret_optind is the index of the first
 * operand in argv. Returns 1 after --help or --version was printed: the caller ends with 0.
 * On a mistake: -EINVAL (usage, exit code 2) or another code (file not readable, exit code 1), and
 * *e says file, line and what to do.
 */
int conf_load(
	const struct conf_program *prog, int argc, char **argv, int *ret_optind, struct errmsg *e);
/*
 * Reads one ini file into the table's destinations. A line over 198 bytes (the reader's limit) is
 * refused, not cut; indentation means nothing. " ;" begins a comment. Long lists: repeat the name.
 */
int conf_read_file(const struct conf_program *prog, const char *path, struct errmsg *e);
int conf_parse_duration(const char *text, uint64_t *ret_ns);
int conf_parse_size(const char *text, uint64_t *ret_bytes);
void conf_print_help(const struct conf_program *prog);

#define TALLY_VERSION_TEXT "0.1.0"
#define CONF_EXIT_OK       0
#define CONF_EXIT_FAIL     1
#define CONF_EXIT_USAGE    2

#endif
