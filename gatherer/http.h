/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HTTP, in processes of its own: no request can slow down or break what takes in data. They open
 * history for reading only and hold no key.
 *
 *   gatherer --fork--> keeper --fork--> server     the keeper starts a server again that died;
 *                                                  both end when the gatherer ends
 *
 * A keeper that died is started again by the gatherer. That one knows keys by then and has threads,
 * so what it forks becomes this program anew (exec), and a keeper right at the start of main().
 */
#ifndef TALLY_GATHERER_HTTP_H
#define TALLY_GATHERER_HTTP_H

#include <stdbool.h>
#include <sys/types.h>

#include "gatherer/config.h"

/*
 * Starts the keeper. To be called before threads are made, keys are loaded and history is opened; fd
 * is a listening socket, which the caller may close after. Returns the keeper's pid or a negative code.
 */
pid_t http_start(const struct gatherer_config *cfg, int fd, struct errmsg *e);
/*
 * Another keeper, at any time; fd and the result as above. The program must call http_keeper_main() if
 * http_is_keeper().
 */
pid_t http_start_again(const struct gatherer_config *cfg, int fd, struct errmsg *e);
bool http_is_keeper(int argc, char **argv);
void http_keeper_main(char **argv) __attribute__((noreturn));
/* Ends the keeper and its server, and waits for it. */
void http_stop(pid_t keeper);
/* The server itself: serves until the process is ended. Returns only on failure. */
int http_serve(const char *history_dir, int fd, struct errmsg *e);

#endif
