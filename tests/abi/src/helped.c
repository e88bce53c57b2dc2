/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A unit test that uses tally/test.h as people do. Without an argument all of it holds; "fail": three
 * expectations that don't; "abort": an assertion that doesn't.
 */
#include <string.h>

#include <tally/test.h>

TALLY_COUNTER(requests, "requests", "Requests");
TALLY_HISTOGRAM(sizes, "size_bytes", "bytes", 1, 4096, "Sizes");
TALLY_GAUGE(level, "level", "Level");
TALLY_GAUGE_DOUBLE(load, "load", "", "Load");
TALLY_COUNTER_SET(by_method, "by_method", "By method", "method", "get", "put");
TALLY_COUNTER_BY(by_path, "by_path", "By path", 2, "path");

static void serve(uint64_t bytes)
{
	TALLY_INC(requests);
	TALLY_RECORD(sizes, bytes);
}

static int check(int good, int line)
{
	if (!good)
		fprintf(stderr, "helped.c:%d is wrong\n", line);
	return !good;
}
#define CHECK(what) failed += check(what, __LINE__)

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	struct tally_counter_handle path;
	int failed = 0, n = 0;

	serve(1); /* so that values don't begin at 0 */
	CHECK(TALLY_CHANGE(requests, serve(5)) == 1);
	CHECK(TALLY_CHANGE(requests, serve(5), serve(6)) == 2);
	CHECK(TALLY_CHANGE(requests, n++) == 0 && n == 1);
	CHECK(TALLY_CHANGE(sizes, {
		serve(7);
		serve(8);
		TALLY_INC(requests);
	}) == 2);
	CHECK(TALLY_CHANGE_OF(TALLY_HISTOGRAM_SUM(sizes), serve(100), serve(11)) == 111);
	CHECK(TALLY_CHANGE_OF(TALLY_GAUGE_VALUE(level), TALLY_GAUGE_ADD(level, -3)) == -3);
	CHECK(TALLY_CHANGE_OF(TALLY_GAUGE_DOUBLE_VALUE(load), TALLY_GAUGE_DOUBLE_ADD(load, 0.5)) >
		0.4);
	CHECK(TALLY_CHANGE_OF(TALLY_VALUE_AT(by_method, 1), TALLY_ADD_AT(by_method, 1, 4)) == 4);
	CHECK(TALLY_CHANGE_OF(TALLY_VALUE_AT(by_method, 0), TALLY_INC_AT(by_method, 1)) == 0);
	CHECK(TALLY_CHANGE_OF(TALLY_VALUE_AT(by_method, 9), TALLY_INC_AT(by_method, 2)) == 1);
	path = TALLY_COUNTER_HANDLE(by_path, "/");
	CHECK(TALLY_CHANGE_OF(TALLY_VALUE_H(path), TALLY_INC_H(path)) == 1);
	/* one in the other: names of their own */
	CHECK(TALLY_EXPECT_CHANGE(requests, 1, TALLY_EXPECT_CHANGE(sizes, 1, serve(3))) == 1);
	CHECK(TALLY_EXPECT_CHANGE_OF(TALLY_GAUGE_VALUE(level), -1, TALLY_GAUGE_ADD(level, -1)));
	TALLY_ASSERT_CHANGE(requests, 1, serve(1));
	CHECK(TALLY_TEST_FAILURES() == 0);

	if (!strcmp(how, "abort"))
		TALLY_ASSERT_CHANGE(requests, 0, serve(1)); /* line A */
	if (!strcmp(how, "fail")) {
		CHECK(TALLY_EXPECT_CHANGE(requests, 3, serve(1)) == 0); /* line B */
		TALLY_EXPECT_CHANGE(sizes, 0, serve(1), serve(2)); /* line C */
#define LEVEL TALLY_GAUGE_VALUE(level)
		TALLY_EXPECT_CHANGE_OF(LEVEL, 2, TALLY_GAUGE_ADD(level, -2)); /* line D */
		CHECK(TALLY_TEST_FAILURES() == 3);
	}
	if (failed)
		return 99;
	return TALLY_TEST_FAILURES() != 0;
}
