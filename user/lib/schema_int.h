/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks of text from outside, shared within the library. */
#ifndef TALLY_USER_LIB_SCHEMA_INT_H
#define TALLY_USER_LIB_SCHEMA_INT_H

#include "user/lib/schema.h"

/* Length of the valid UTF-8 sequence at s, which is no control character; 0 if there is none. */
size_t text_char(const char *s, size_t n);
/* Canonical as labels_format() makes it. */
bool labels_valid(const char *labels);

#endif
