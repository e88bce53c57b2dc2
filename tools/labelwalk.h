/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Walking over canonical label text (user/lib/schema.h): name="value",... */
#ifndef TALLY_TOOLS_LABELWALK_H
#define TALLY_TOOLS_LABELWALK_H

#include <stdbool.h>

#include "user/lib/schema.h"

struct label {
	char name[SCHEMA_LABELS_MAX + 1];
	char value[SCHEMA_LABELS_MAX + 1]; /* unescaped */
};

/*
 * Takes the next label off *text. False at the end, and at text that is not canonical (which
 * schema_add() would have refused).
 */
bool label_next(const char **text, struct label *ret);
/* A histogram bucket's upper bound from its label le; NaN if there is none. */
double labels_bound(const char *labels);
/* Canonical text without the label le; at most SCHEMA_LABELS_MAX bytes and a zero. */
void labels_without_bound(const char *labels, char out[SCHEMA_LABELS_MAX + 1]);

#endif
