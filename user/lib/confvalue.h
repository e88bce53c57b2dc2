/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values of options as text: numbers with units, yes and no. For conf.c and confhelp.c only. */
#ifndef TALLY_USER_LIB_CONFVALUE_H
#define TALLY_USER_LIB_CONFVALUE_H

#include <stddef.h>

#include "user/lib/conf.h"

/* -EINVAL: no such value; -ERANGE: not within 64 bits. */
int conf_parse_number(const char *text, uint64_t *ret);
int conf_parse_bool(const char *text, bool *ret);
/* A number as its option would take it, in the largest unit that keeps it whole. */
void conf_format_number(const struct conf_option *o, uint64_t v, char *out, size_t size);

#endif
