/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "tools/text.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

static void expect(void (*put)(FILE *, const char *), const char *in, const char *want)
{
	char *got = NULL;
	size_t size;
	FILE *out = open_memstream(&got, &size);

	put(out, in);
	fclose(out);
	cr_assert_str_eq(got, want);
	free(got);
}

Test(text, json)
{
	expect(text_put_json, "a\"b\\c/é€😀", "\"a\\\"b\\\\c/é€😀\"");
	expect(text_put_json, "\n\t\x1b\x7f", "\"\\u000a\\u0009\\u001b\\u007f\"");
	expect(text_put_json, "", "\"\"");
}

/* Lone bytes, overlong forms, surrogates, what lies beyond Unicode, and a cut character. */
Test(text, json_never_has_bytes_that_are_no_utf8)
{
	expect(text_put_json, "\xff", "\"\\ufffd\"");
	expect(text_put_json, "\xc0\xaf", "\"\\ufffd\\ufffd\"");
	expect(text_put_json, "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"");
	expect(text_put_json, "\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
	expect(text_put_json, "a\xe2\x82", "\"a\\ufffd\\ufffd\"");
}

Test(text, csv_rfc_4180)
{
	expect(text_put_csv, "plain", "plain");
	expect(text_put_csv, "a,b", "\"a,b\"");
	expect(text_put_csv, "a\"b", "\"a\"\"b\"");
	expect(text_put_csv, "a\r\nb", "\"a\r\nb\"");
}

Test(text, terminals_get_no_control_characters)
{
	expect(text_put_clean, "\x1b[2Jé\xff", "\\x1b[2Jé\\xff");
	expect(text_put_clean, "\xc2\x9b", "\\xc2\\x9b");
}

Test(text, width)
{
	setlocale(LC_CTYPE, "C.utf8");
	cr_assert_eq(text_width("abc"), 3);
	cr_assert_eq(text_width("éµ┤"), 3);
	cr_assert_eq(text_width("漢"), 2);
}
