/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Texts that many series share: names, labels, units, helps. A copy of one that was copied a moment ago is that copy
 * once more, and a histogram's buckets have one help, a program's counters one text of labels. Nobody writes to them.
 */
#ifndef TALLY_USER_LIB_SHAREDTEXT_H
#define TALLY_USER_LIB_SHAREDTEXT_H

/* A copy, for text_free(); NULL: no memory. Safe in any thread. */
char *text_dup(const char *s);
/* NULL is allowed. */
void text_free(char *s);

#endif
