/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "tools/timearg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SEC 1000000000ll
#define NOW (1700000000 * SEC) /* 2023-11-14T22:13:20Z */

static int64_t parse(const char *text)
{
	int64_t ns = -1;

	cr_assert_eq(time_parse(text, NOW, &ns), 0, "'%s' was refused", text);
	return ns;
}

static void refuse(const char *text)
{
	int64_t ns = 42;

	cr_assert_eq(time_parse(text, NOW, &ns), -EINVAL, "'%s' was taken", text);
	cr_assert_eq(ns, 42);
}

static void set_zone(void)
{
	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
}

Test(timearg, relative)
{
	cr_assert_eq(parse("now"), NOW);
	cr_assert_eq(parse("-10m"), NOW - 600 * SEC);
	cr_assert_eq(parse("-90"), NOW - 90 * SEC);
	cr_assert_eq(parse("-500ms"), NOW - SEC / 2);
}

Test(timearg, unix_seconds_are_exact)
{
	cr_assert_eq(parse("1700000000"), NOW);
	cr_assert_eq(parse("1700000000.123456789"), NOW + 123456789);
	cr_assert_eq(parse("1700000000.1234567891"), NOW + 123456789);
	cr_assert_eq(parse("0"), 0);
}

Test(timearg, rfc3339, .init = set_zone)
{
	cr_assert_eq(parse("2023-11-14T22:13:20Z"), NOW);
	cr_assert_eq(parse("2023-11-14T22:13:20.5Z"), NOW + SEC / 2);
	cr_assert_eq(parse("2023-11-14T23:13:20+01:00"), NOW);
	cr_assert_eq(parse("2023-11-14T16:43:20-05:30"), NOW);
	cr_assert_eq(parse("2023-11-14 23:13:20"), NOW, "without zone: local");
	cr_assert_eq(parse("2023-11-14T23:13"), NOW - 20 * SEC);
	cr_assert_eq(parse("2023-11-14"), NOW - (23 * 3600 + 13 * 60 + 20) * SEC);
	cr_assert_eq(parse("2024-02-29T00:00:00Z"), 1709164800 * SEC);
}

Test(timearg, refusals)
{
	static const char *const wrong[] = {"", "-", "-x", "tomorrow", "12x", "1e9",
		"99999999999999999999", "9999999999999", "2023-13-01", "2023-02-30T00:00:00Z",
		"2023-11-14T25:00:00Z", "2023-11-14T22:13:20+1", "2023-11-14T22:13:20+01:99",
		"2023-11-14T22:13:20Zz", "2023-11-14x", "1700000000.", "-9999999999999d"};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		refuse(wrong[i]);
}

Test(timearg, formats, .init = set_zone)
{
	char text[TIME_TEXT_MAX];

	time_format_utc(NOW + 5, text);
	cr_assert_str_eq(text, "2023-11-14T22:13:20.000000005Z");
	time_format_local(NOW + 5000000, text);
	cr_assert_str_eq(text, "2023-11-14 23:13:20.005");
	time_format_unix(NOW + 5, text);
	cr_assert_str_eq(text, "1700000000.000000005");
	time_format_unix(-SEC / 2, text);
	cr_assert_str_eq(text, "-0.500000000");
	time_format_utc(-SEC / 2, text);
	cr_assert_str_eq(text, "1969-12-31T23:59:59.500000000Z");
}

Test(timearg, what_is_printed_can_be_typed)
{
	char text[TIME_TEXT_MAX];

	time_format_utc(NOW + 123456789, text);
	cr_assert_eq(parse(text), NOW + 123456789);
	time_format_unix(NOW + 123456789, text);
	cr_assert_eq(parse(text), NOW + 123456789);
}
