/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text at the edge: names and labels come from any user of any node, so all of it is escaped. */
#ifndef TALLY_TOOLS_TEXT_H
#define TALLY_TOOLS_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* A JSON string with its quotes; bytes that are no UTF-8 become U+FFFD. */
void text_put_json(FILE *out, const char *s);
/* A CSV field (RFC 4180): quoted if it holds a comma, a quote or a line break. */
void text_put_csv(FILE *out, const char *s);
/* For terminals and munin: control characters and bytes that are no UTF-8 become \xNN. */
void text_put_clean(FILE *out, const char *s);
/* The same into a new string, NULL without memory. */
char *text_clean(const char *s);
/* Columns that s takes on a terminal. */
size_t text_width(const char *s);
/* printf into a new string, NULL without memory. */
char *text_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
