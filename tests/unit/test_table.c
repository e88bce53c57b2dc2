/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "tools/table.h"

#include <locale.h>
#include <stdlib.h>

static void set_locale(void)
{
	setlocale(LC_CTYPE, "C.utf8");
}

Test(table, columns_are_aligned_and_cells_printable, .init = set_locale)
{
	struct table t;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	table_init(&t, 2, 3, (const char *[]){"NAME", "VALUE", "NOTE"});
	table_add(&t, (const char *[]){"é", "1", ""});
	table_add(&t, (const char *[]){"a\x1b[2J", "1234567", "x"});
	cr_assert_eq(table_print(&t, out), 0);
	fclose(out);
	cr_assert_str_eq(text, "NAME        VALUE  NOTE\n"
			       "é               1\n"
			       "a\\x1b[2J  1234567  x\n");
	free(text);
	table_release(&t);
}
