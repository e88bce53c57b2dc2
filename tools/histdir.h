/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a history is. The reader takes any directory, also one without a file of its own in it, as it must
 * beside a writer; who asks a person's question about the wrong directory shall hear so.
 */
#ifndef TALLY_TOOLS_HISTDIR_H
#define TALLY_TOOLS_HISTDIR_H

#include "gatherer/store/store.h"

/* How the commands are told of a history, for messages. */
#define HISTDIR_OPTIONS "--dir or $TALLY_HISTORY"

/* Default history: $TALLY_HISTORY, or where the gatherer keeps it. */
const char *histdir_default(void);
/*
 * Does dir hold a history? If not, a negative code, and a message that ends with the directory that may
 * have been meant, or with how to name another one (options).
 */
int histdir_check(const char *dir, const char *options, struct errmsg *e);
/* history_open() of one that is there. */
int histdir_open(const char *dir, const char *options, struct history **ret, struct errmsg *e);

#endif
