/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/testrand.h"
#include "user/lib/schema.h"
#include "user/lib/sharedtext.h"
#include "user/lib/util.h"
#include "user/lib/wire.pb-c.h"

static const struct series good = {
	.name = "http_requests",
	.labels = "code=\"200\",path=\"/a \\\"b\\\"\"",
	.unit = "",
	.help = "Requests served",
	.type = METRIC_COUNTER,
	.kind = VALUE_U64,
};

static int add_changed(void (*change)(struct series *))
{
	struct schema s = {0};
	struct series x = good;
	int err;

	change(&x);
	err = schema_add(&s, &x);
	schema_release(&s);
	return err;
}

#define REFUSED(code, statement)                                           \
	do {                                                               \
		void change(struct series *s)                              \
		{                                                          \
			statement;                                         \
		}                                                          \
		cr_assert_eq(add_changed(change), code, "%s", #statement); \
	} while (0)

static char *long_text(size_t n, char c)
{
	static char text[8192];

	memset(text, c, n);
	text[n] = '\0';
	return text;
}

Test(schema, malformed_series_are_refused)
{
	REFUSED(0, (void)s);
	REFUSED(0, s->unit = NULL);
	REFUSED(0, s->labels = "");
	REFUSED(0, s->name = long_text(255, 'a'));
	REFUSED(-EPROTO, s->name = "");
	REFUSED(-EPROTO, s->name = "9x");
	REFUSED(-EPROTO, s->name = "a-b");
	REFUSED(-EPROTO, s->name = long_text(256, 'a'));
	REFUSED(-EPROTO, s->labels = "a");
	REFUSED(-EPROTO, s->labels = "a=\"1");
	REFUSED(-EPROTO, s->labels = "a=\"1\",");
	REFUSED(-EPROTO, s->labels = "b=\"1\",a=\"2\"");
	REFUSED(-EPROTO, s->labels = "a=\"1\",a=\"2\"");
	REFUSED(-EPROTO, s->labels = "a=\"\\x\"");
	REFUSED(-EPROTO, s->labels = "a=\"\\");
	REFUSED(-EPROTO, s->labels = "a=\"\x1b[2J\"");
	REFUSED(-EPROTO, s->labels = "a=\"\xc0\xaf\"");
	REFUSED(-E2BIG, s->labels = long_text(4097, 'a'));
	REFUSED(-E2BIG, s->help = long_text(1025, 'a'));
	REFUSED(-EPROTO, s->help = "two\nlines");
	REFUSED(-EPROTO, s->type = 0);
	REFUSED(-EPROTO, s->type = 4);
	REFUSED(-EPROTO, s->kind = 0);
	REFUSED(-EPROTO, s->kind = 4);
	REFUSED(-EPROTO, s->part = SERIES_SUM);
	REFUSED(-EPROTO, s->type = METRIC_HISTOGRAM);
	REFUSED(0, s->type = METRIC_HISTOGRAM; s->part = SERIES_SUM);
	REFUSED(-EPROTO, s->type = METRIC_HISTOGRAM; s->part = SERIES_BUCKET);
	REFUSED(0, s->type = METRIC_HISTOGRAM; s->part = SERIES_BUCKET; s->labels = "le=\"1\"");
	REFUSED(-EPROTO, s->scale = 19);
	REFUSED(-EPROTO, s->scale = -19);
	REFUSED(-EPROTO, s->kind = VALUE_F64; s->scale = 1);
}

static void make_schema(struct schema *s, size_t n)
{
	char labels[32];

	*s = (struct schema){.id = 3, .interval_ms = 1000, .start_ns = 1ull << 60};
	s->group = strdup("proc.stat");
	for (size_t i = 0; i < n; i++) {
		struct series x = good;

		snprintf(labels, sizeof(labels), "i=\"%zu\"", i);
		x.labels = labels;
		x.scale = (int8_t)(i % 37) - 18;
		cr_assert_eq(schema_add(s, &x), 0);
	}
}

Test(schema, the_message_brings_everything_back)
{
	struct schema a, b, c;
	struct buf m = BUF_INIT;

	make_schema(&a, 1000);
	cr_assert_eq(schema_encode(&a, &m), 0);
	cr_assert_eq(schema_decode(m.data, m.len, &b), 0);
	cr_assert(b.id == 3 && schema_equal_shape(&a, &b));
	cr_assert_eq(schema_copy(&c, &b), 0);
	cr_assert(schema_equal_shape(&a, &c));
	c.series[999].scale++;
	cr_assert(!schema_equal_shape(&a, &c));
	c.series[999].scale--;
	c.start_ns++;
	cr_assert(!schema_equal_shape(&a, &c));
	schema_release(&c);
	for (size_t n = 0; n < m.len; n += 97)
		if (schema_decode(m.data, n, &c) == 0) { /* cut between two fields */
			cr_assert_lt(c.n, a.n);
			schema_release(&c);
		}
	schema_release(&a);
	schema_release(&b);
	buf_release(&m);
}

Test(schema, the_same_series_twice_is_refused)
{
	struct schema a, b = {.id = 77};
	struct buf m = BUF_INIT;

	make_schema(&a, 10);
	text_free(a.series[3].labels);
	a.series[3].labels = text_dup(a.series[8].labels);
	cr_assert_eq(schema_encode(&a, &m), 0);
	cr_assert_eq(schema_decode(m.data, m.len, &b), -EPROTO);
	cr_assert_eq(b.id, 77, "output untouched");
	schema_release(&a);
	buf_release(&m);
}

Test(schema, numbers_that_do_not_fit_are_refused)
{
	Tally__Series item = TALLY__SERIES__INIT, *items[] = {&item};
	Tally__Schema m = TALLY__SCHEMA__INIT;
	uint8_t bytes[256];
	struct schema s;

	item.name = "x";
	item.kind = VALUE_U64;
	item.type = METRIC_GAUGE + 256;
	m.id = 1;
	m.group = "g";
	m.n_series = 1;
	m.series = items;
	cr_assert_eq(schema_decode(bytes, tally__schema__pack(&m, bytes), &s), -EPROTO);
	item.type = METRIC_GAUGE;
	item.scale = 256;
	cr_assert_eq(schema_decode(bytes, tally__schema__pack(&m, bytes), &s), -EPROTO);
	item.scale = 0;
	m.group = "";
	cr_assert_eq(schema_decode(bytes, tally__schema__pack(&m, bytes), &s), -EPROTO);
	m.group = "g";
	cr_assert_eq(schema_decode(bytes, tally__schema__pack(&m, bytes), &s), 0);
	schema_release(&s);
}

Test(schema, label_text_is_sorted_and_escaped)
{
	const char *names[] = {"user", "path", "a"};
	const char *values[] = {"\x1b\xff"
				"end",
		"x\"y\\z\n", ""};
	struct buf b = BUF_INIT;
	char out[32];

	cr_assert_eq(labels_format(&b, 3, names, values), 0);
	buf_put_u8(&b, 0);
	cr_assert_str_eq((char *)b.data,
		"a=\"\",path=\"x\\\"y\\\\z\\n\",user=\"\xef\xbf\xbd\xef\xbf\xbd"
		"end\"");
	cr_assert_eq(labels_get((char *)b.data, "path", out, sizeof(out)), 0);
	cr_assert_str_eq(out, "x\"y\\z\n");
	cr_assert_eq(labels_get((char *)b.data, "pat", out, sizeof(out)), -ENOENT);
	cr_assert_eq(labels_get((char *)b.data, "path", out, 6), -E2BIG);
	buf_reset(&b);
	names[0] = "path";
	cr_assert_eq(labels_format(&b, 3, names, values), -EPROTO, "twice");
	names[0] = "a b";
	cr_assert_eq(labels_format(&b, 3, names, values), -EPROTO);
	cr_assert_eq(b.len, 0);
	buf_release(&b);
}

Test(schema, label_text_of_random_bytes_is_valid)
{
	struct schema s = {0};
	char value[20];
	const char *names[] = {"x"}, *values[] = {value};

	test_rand_init();
	for (int round = 0; round < 5000; round++) {
		struct series x = good;
		struct buf b = BUF_INIT;

		for (size_t i = 0; i < sizeof(value) - 1; i++)
			value[i] = (char)test_rand();
		value[sizeof(value) - 1] = '\0';
		cr_assert_eq(labels_format(&b, 1, names, values), 0);
		buf_put_u8(&b, 0);
		x.labels = (char *)b.data;
		cr_assert_eq(schema_add(&s, &x), 0);
		buf_release(&b);
	}
	schema_release(&s);
}

static void assert_text(uint64_t value, uint8_t kind, int8_t scale, const char *expected)
{
	char out[64];
	size_t n = value_format(value, kind, scale, out, sizeof(out));

	cr_assert_str_eq(out, expected);
	cr_assert_eq(n, strlen(expected));
}

static void assert_double(double d, const char *expected)
{
	uint64_t bits;

	memcpy(&bits, &d, sizeof(bits));
	assert_text(bits, VALUE_F64, 0, expected);
}

Test(schema, values_are_exact_text)
{
	assert_text(UINT64_MAX, VALUE_U64, 0, "18446744073709551615");
	assert_text(1ull << 63, VALUE_I64, 0, "-9223372036854775808");
	assert_text(1ull << 63, VALUE_I64, -18, "-9.223372036854775808");
	assert_text(UINT64_MAX, VALUE_U64, -9, "18446744073.709551615");
	assert_text(1500000000, VALUE_U64, -9, "1.5");
	assert_text(5, VALUE_U64, -3, "0.005");
	assert_text(0, VALUE_U64, -9, "0");
	assert_text(0, VALUE_U64, 3, "0");
	assert_text(100, VALUE_U64, -2, "1");
	assert_text(10, VALUE_U64, -2, "0.1");
	assert_text(UINT64_MAX, VALUE_I64, 3, "-1000");
	assert_text(UINT64_MAX, VALUE_U64, 18, "18446744073709551615000000000000000000");
	assert_double(0.1, "0.1");
	assert_double(-0.0, "-0");
	assert_double(1e22, "1e+22");
	assert_double(44.833999999999996, "44.833999999999996");
	assert_double(5e-324, "5e-324");
	assert_double(INFINITY, "+Inf");
	assert_double(-INFINITY, "-Inf");
	assert_double(NAN, "NaN");
	cr_assert_eq(value_to_double(1500000000, VALUE_U64, -9), 1.5);
	cr_assert_eq(value_to_double((uint64_t)-2, VALUE_I64, 3), -2000.0);
}

static void assert_printed(uint8_t type, uint8_t part, char *labels, const char *expected)
{
	struct series s = good;
	struct buf b = BUF_INIT;

	s.type = type;
	s.part = part;
	s.labels = labels;
	series_print(&s, &b);
	buf_put_u8(&b, 0);
	cr_assert_str_eq((char *)b.data, expected);
	buf_release(&b);
}

Test(schema, names_are_those_of_openmetrics)
{
	assert_printed(METRIC_COUNTER, SERIES_VALUE, "a=\"1\"", "http_requests_total{a=\"1\"}");
	assert_printed(METRIC_GAUGE, SERIES_VALUE, "", "http_requests");
	assert_printed(METRIC_HISTOGRAM, SERIES_SUM, "", "http_requests_sum");
	assert_printed(
		METRIC_HISTOGRAM, SERIES_BUCKET, "le=\"1\"", "http_requests_bucket{le=\"1\"}");
}

/* A text is valid if each of its characters is, wherever it stands and whatever stands beside. */
Test(schema, text_of_every_byte_at_every_place)
{
	char text[20];

	for (size_t n = 1; n <= sizeof(text); n++)
		for (size_t at = 0; at < n; at++)
			for (int c = 0; c < 256; c++) {
				memset(text, n % 2 ? ' ' : '~', n);
				text[at] = (char)c;
				cr_assert_eq(text_valid(text, n), c >= 0x20 && c < 0x7f,
					"byte %#x at %zu of %zu", (unsigned)c, at, n);
			}
	memcpy(text, "1234567\xc3\xa9 0123456789", sizeof(text));
	cr_assert(text_valid(text, sizeof(text)), "two bytes on both sides of the eighth");
	cr_assert_not(text_valid(text, 8), "half of them");
}

Test(schema, text_is_made_valid)
{
	char valid[] = "caf\xc3\xa9", bad[] = "caf\xc3 ~\x7f\n\xa9";

	text_make_valid(valid);
	text_make_valid(bad);
	cr_assert_str_eq(valid, "caf\xc3\xa9");
	cr_assert_str_eq(bad, "caf? ~???");
}

/* Every byte at every place of a name: words of eight, and what is left after them. */
Test(schema, names_byte_by_byte)
{
	for (size_t n = 1; n <= 19; n++)
		for (size_t at = 0; at < n; at++)
			for (unsigned c = 1; c < 256; c++) {
				bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
					      c == '_' || c == ':';
				bool digit = at && c >= '0' && c <= '9';
				char name[20] = "";

				memset(name, 'm', n);
				name[at] = (char)c;
				cr_assert_eq(metric_name_valid(name), letter || digit,
					"byte %#x at %zu of %zu", c, at, n);
			}
}

/* Up to eight bytes after whole words: a bad one is found, and a character over the edge is whole. */
Test(schema, text_after_the_last_word)
{
	for (size_t n = 9; n <= 24; n++)
		for (size_t at = 0; at < n; at++) {
			char text[25] = "";

			memset(text, 't', n);
			cr_assert(text_valid(text, n));
			text[at] = '\n';
			cr_assert_not(text_valid(text, n), "a line's end at %zu of %zu", at, n);
			text[at] = (char)0xa9;
			cr_assert_not(text_valid(text, n), "a half at %zu of %zu", at, n);
			if (!at)
				continue;
			text[at - 1] = (char)0xc3;
			cr_assert(text_valid(text, n), "two bytes up to %zu of %zu", at, n);
			cr_assert_not(text_valid(text, at), "cut at %zu", at);
		}
}
