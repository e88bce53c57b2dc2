/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A provider's ring as a history of one node: what reads histories reads the black box, too. */
#ifndef TALLY_TOOLS_RINGHIST_H
#define TALLY_TOOLS_RINGHIST_H

#include "gatherer/store/store.h"

/*
 * path: as for ringdir_records(). The ring is copied as it is now into a history in $TMPDIR, which is open and has no
 * name any more when this returns: history_refresh() must not be called. What is damaged is left out, with a line on
 * stderr. Signals that would end the program wait meanwhile.
 */
int ringhist_open(const char *path, struct history **ret, struct errmsg *e);

#endif
