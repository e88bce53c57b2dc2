/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names of munin's fields. A field's name is the name of its file of values, so it must stay the
 * same as long as the series is the same, and never be given to another series.
 */
#ifndef TALLY_TOOLS_MUNIN_FIELD_H
#define TALLY_TOOLS_MUNIN_FIELD_H

#include <stdio.h>

#include "tools/picks.h"

#define MUNIN_FIELD_MAX 96u

struct munin_field {
	const struct pick *pick;
	char name[MUNIN_FIELD_MAX];
	char *label; /* for people: node and labels as they are */
	uint64_t hash;
	unsigned digits; /* of the hash in the name */
};

/* text by munin's rules: [A-Za-z_][A-Za-z0-9_]*, not "root"; cut to size - 18 so that a hash fits. */
void munin_clean_name(const char *text, char *out, size_t size);
/*
 * One field for each pick, the names distinct: those of series that would share a name get a hash of
 * the series' identity, all of them, so that none inherits the name when another goes away. -ENOMEM.
 */
int munin_fields_make(const struct picks *picks, struct munin_field **ret);
void munin_fields_free(struct munin_field *fields, size_t n);
/* What munin allows in labels and titles: one line, without # and \ . */
void munin_put_text(FILE *out, const char *s);

#endif
