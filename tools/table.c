/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables: all cells are kept until the widths are known. */
#include "tools/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/text.h"

void table_init(struct table *t, uint32_t right, size_t columns, const char *const heading[])
{
	*t = (struct table){.columns = columns, .right = right};
	table_add(t, heading);
}

void table_add(struct table *t, const char *const row[])
{
	char **grown;

	if (t->failed)
		return;
	grown = reallocarray(t->cell, t->cells + t->columns, sizeof(*grown));
	t->failed = !grown;
	if (!grown)
		return;
	t->cell = grown;
	for (size_t i = 0; i < t->columns; i++) {
		t->cell[t->cells + i] = text_clean(row[i]);
		t->failed |= !t->cell[t->cells + i];
	}
	t->cells += t->columns;
}

/* Cells of the row up to the last one that is not empty: lines don't end in blanks. */
static size_t cells_to_print(char *const row[], size_t columns)
{
	while (columns && !*row[columns - 1])
		columns--;
	return columns;
}

static void print_row(const struct table *t, FILE *out, char *const row[], const size_t width[])
{
	size_t n = cells_to_print(row, t->columns);

	for (size_t i = 0; i < n; i++) {
		int pad = (int)(width[i] - text_width(row[i]));
		if (t->right >> i & 1)
			fprintf(out, "%*s%s", pad, "", row[i]);
		else
			fprintf(out, "%s%*s", row[i], i + 1 < n ? pad : 0, "");
		if (i + 1 < n)
			fputs("  ", out);
	}
	putc('\n', out);
}

int table_print(const struct table *t, FILE *out)
{
	size_t width[TABLE_COLUMNS_MAX] = {0};

	if (t->failed)
		return -ENOMEM;
	for (size_t i = 0; i < t->cells; i++) {
		size_t w = text_width(t->cell[i]);
		if (w > width[i % t->columns])
			width[i % t->columns] = w;
	}
	for (size_t i = 0; i < t->cells; i += t->columns)
		print_row(t, out, &t->cell[i], width);
	return 0;
}

void table_release(struct table *t)
{
	for (size_t i = 0; i < t->cells; i++)
		free(t->cell[i]);
	free(t->cell);
	*t = (struct table){0};
}
