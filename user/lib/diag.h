/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log of a program: one line per change of state, on stderr. Under systemd (JOURNAL_STREAM set)
 * each line begins with its <priority>, else with the time and the program's name.
 * Thread safe: one write(2) a line. Control characters from outside are shown as \xNN.
 */
#ifndef TALLY_USER_LIB_DIAG_H
#define TALLY_USER_LIB_DIAG_H

#include <stdbool.h>
#include <stdint.h>

enum diag_level {
	DIAG_ERROR = 3,
	DIAG_WARNING = 4,
	DIAG_NOTICE = 5,
	DIAG_INFO = 6,
	DIAG_DEBUG = 7
};

void diag_init(const char *program, enum diag_level show_up_to);
void diag(enum diag_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define diag_error(...)   diag(DIAG_ERROR, __VA_ARGS__)
#define diag_warning(...) diag(DIAG_WARNING, __VA_ARGS__)
#define diag_notice(...)  diag(DIAG_NOTICE, __VA_ARGS__)
#define diag_info(...)    diag(DIAG_INFO, __VA_ARGS__)
#define diag_debug(...)   diag(DIAG_DEBUG, __VA_ARGS__)

/* At most one line per `every_ns` for this place; suppressed ones are counted and told with the next. */
struct diag_limit {
	uint64_t next_ns, suppressed;
};
bool diag_allowed(struct diag_limit *l, uint64_t now_ns, uint64_t every_ns);

#endif
