/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "tools/selector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct selector_node web = {"web 1", "abcdefgh"};

static bool matches(const char *text, const char *name, const char *labels)
{
	struct series s = {
		(char *)name, (char *)labels, "", "", METRIC_COUNTER, VALUE_U64, SERIES_VALUE, 0};
	struct errmsg e = {""};
	struct selector sel;
	bool match;

	cr_assert_eq(selector_parse(text, &sel, &e), 0, "%s: %s", text, e.text);
	match = selector_match(&sel, &web, &s);
	selector_release(&sel);
	return match;
}

static void refuse(const char *text, const char *message)
{
	struct errmsg e = {""};
	struct selector sel = {.n = 77};

	cr_assert_eq(selector_parse(text, &sel, &e), -EINVAL, "'%s' was taken", text);
	cr_assert(strstr(e.text, message), "'%s' said: %s", text, e.text);
	cr_assert_eq(sel.n, 77, "outputs are untouched on failure");
}

Test(selector, names)
{
	cr_assert(matches("http_requests", "http_requests", ""));
	cr_assert(matches("http_requests_total", "http_requests", ""));
	cr_assert(matches(" http_* ", "http_requests", ""));
	cr_assert(matches("*_total", "http_requests", ""));
	cr_assert(matches("http_request[st]", "http_requests", ""));
	cr_assert_not(matches("http", "http_requests", ""));
	cr_assert_not(matches("http_requests_sum", "http_requests", ""));
	cr_assert_not(matches("HTTP_requests", "http_requests", ""));
}

Test(selector, parts_of_a_histogram)
{
	struct series s = {"wait_seconds", "le=\"0.1\"", "", "", METRIC_HISTOGRAM, VALUE_U64,
		SERIES_BUCKET, 0};
	struct selector sel;

	cr_assert_eq(selector_parse("wait_seconds_bucket{le=\"0.1\"}", &sel, NULL), 0);
	cr_assert(selector_match(&sel, &web, &s));
	s.part = SERIES_SUM;
	s.labels = "";
	cr_assert_not(selector_match(&sel, &web, &s));
	selector_release(&sel);
}

Test(selector, labels)
{
	static const char labels[] = "mode=\"user\",path=\"/a,b\\\"}\"";

	cr_assert(matches("{mode=\"user\"}", "cpu", labels));
	cr_assert(matches("cpu{mode=user}", "cpu", labels));
	cr_assert(matches("cpu { mode = user , path =~ \"/a*\" , }", "cpu", labels));
	cr_assert(matches("cpu{path=\"/a,b\\\"}\"}", "cpu", labels));
	cr_assert(matches("cpu{}", "cpu", labels));
	cr_assert(matches("cpu{mode!=idle,mode!~\"i*\"}", "cpu", labels));
	cr_assert_not(matches("cpu{mode!=user}", "cpu", labels));
	cr_assert_not(matches("cpu{mode!~\"u*\"}", "cpu", labels));
	cr_assert_not(matches("cpu{mode=\"u*\"}", "cpu", labels), "= takes no globs");
	cr_assert_not(matches("cpu{mode=user,path=x}", "cpu", labels), "all must match");
}

Test(selector, an_absent_label_is_empty)
{
	cr_assert(matches("cpu{mode=\"\"}", "cpu", ""));
	cr_assert(matches("cpu{mode!=user}", "cpu", ""));
	cr_assert_not(matches("cpu{mode=~\"?*\"}", "cpu", ""));
}

Test(selector, node_is_a_label)
{
	cr_assert(matches("{node=\"web 1\"}", "cpu", ""));
	cr_assert(matches("{node=~\"web*\"}", "cpu", ""));
	cr_assert(matches("{node=abcdefgh}", "cpu", ""), "the fingerprint names it too");
	cr_assert_not(matches("{node=db}", "cpu", "node=\"db\""), "a label cannot forge the node");
	cr_assert_not(matches("{node!=abcdefgh}", "cpu", ""));
	cr_assert(matches("{node!=db}", "cpu", ""));
}

Test(selector, refusals_name_the_column)
{
	refuse("", "column 1");
	refuse("cpu{mode", "column 9");
	refuse("cpu{mode=}", "a value is missing at column 10");
	refuse("cpu{mode~x}", "column 9");
	refuse("cpu{=x}", "label's name is missing at column 5");
	refuse("cpu{mode=\"x}", "closing \" is missing");
	refuse("cpu{mode=x mode=y}", "comma or }");
	refuse("cpu{mode=x}z", "unexpected text at column 12");
	refuse("cpu mode", "unexpected text");
	refuse("cpu}", "unexpected text");
}

Test(selector, bounded)
{
	char text[2048] = "{";
	struct errmsg e;
	struct selector sel;

	for (int i = 0; i <= SELECTOR_MATCHERS_MAX; i++)
		strcat(text, "a=b,");
	strcat(text, "}");
	cr_assert_eq(selector_parse(text, &sel, &e), -E2BIG);
}

Test(selector, added_matchers_count)
{
	struct series s = {"cpu", "", "", "", METRIC_GAUGE, VALUE_U64, SERIES_VALUE, 0};
	struct selector sel;

	cr_assert_eq(selector_parse("cpu", &sel, NULL), 0);
	cr_assert_eq(selector_add(&sel, "node", MATCH_EQUAL, "db"), 0);
	cr_assert_not(selector_match(&sel, &web, &s));
	for (size_t i = 1; i < SELECTOR_MATCHERS_MAX; i++)
		cr_assert_eq(selector_add(&sel, "x", MATCH_EQUAL, ""), 0);
	cr_assert_eq(selector_add(&sel, "x", MATCH_EQUAL, ""), -E2BIG);
	selector_release(&sel);
}

/* Whatever is typed: refused, or taken and usable; never a crash. */
Test(selector, survives_noise)
{
	static const char letters[] = "ab{}=~!\"\\, *[n";
	const char *given = getenv("TALLY_SEED");
	unsigned seed = given ? (unsigned)atoi(given) : (unsigned)time(NULL);
	struct series s = {"a", "b=\"a\"", "", "", METRIC_GAUGE, VALUE_U64, SERIES_VALUE, 0};
	int taken = 0;

	printf("TALLY_SEED=%u\n", seed);
	srand(seed);
	for (int i = 0; i < 100000; i++) {
		char text[16] = "";
		struct errmsg e;
		struct selector sel;

		for (int j = rand() % 15; j > 0; j--)
			text[strlen(text)] = letters[(size_t)rand() % (sizeof(letters) - 1)];
		if (selector_parse(text, &sel, &e))
			continue;
		taken++;
		selector_match(&sel, &web, &s);
		selector_release(&sel);
	}
	cr_assert_gt(taken, 0);
}
