/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values of series as a table for people, as JSON or as CSV. */
#ifndef TALLY_TOOLS_EMIT_H
#define TALLY_TOOLS_EMIT_H

#include "tools/picks.h"
#include "tools/table.h"
#include "tools/window.h"

enum emit_format { EMIT_TABLE, EMIT_JSON, EMIT_CSV };

struct emit {
	FILE *out;
	enum emit_format format;
	enum window_mode mode;
	bool latest; /* one point each: one table for all */
	size_t n; /* series so far */
	struct table table; /* latest only */
};

struct emit_series {
	const struct pick *pick; /* what it is; of a sum: its first */
	size_t summed; /* how many series were added up; 0: none, it is pick itself */
	const struct points *points;
};

void emit_begin(struct emit *e);
/* -ENOMEM */
int emit_series(struct emit *e, const struct emit_series *s);
int emit_end(struct emit *e);

/* Members of a JSON object, without braces, that say which series it is. */
void emit_json_identity(FILE *out, const struct pick *pick);
const char *emit_type_name(uint8_t type);

#endif
