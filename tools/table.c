// SPDX-License-Identifier: GPL-2.0-or-later
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

static void print_cell(FILE *out, const char *text, size_t width, bool right, bool last)
{
	int pad = (int)(width - text_width(text));

	if (right)
		fprintf(out, "%*s%s", pad, "", text);
	else
		fprintf(out, "%s%*s", text, last ? 0 : pad, "");
	fputs(last ? "\n" : "  ", out);
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
	for (size_t i = 0; i < t->cells; i++) {
		size_t col = i % t->columns;
		print_cell(out, t->cell[i], width[col], t->right >> col & 1, col + 1 == t->columns);
	}
	return 0;
}

void table_release(struct table *t)
{
	for (size_t i = 0; i < t->cells; i++)
		free(t->cell[i]);
	free(t->cell);
	*t = (struct table){0};
}
