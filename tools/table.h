/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table for people: columns as wide as their widest cell. */
#ifndef TALLY_TOOLS_TABLE_H
#define TALLY_TOOLS_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 8

struct table {
	size_t columns, cells;
	uint32_t right; /* bit i: column i is flush right */
	char **cell; /* columns x rows; row 0 is the heading */
	bool failed;
};

/* Heading as the first row. Cells are made printable and copied. */
void table_init(struct table *t, uint32_t right, size_t columns, const char *const heading[]);
void table_add(struct table *t, const char *const row[]);
/* -ENOMEM if a cell was lost on the way; nothing is printed then. */
int table_print(const struct table *t, FILE *out);
void table_release(struct table *t);

#endif
