/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options: values, files with every kind of mistake, command lines, and who wins. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/lib/conf.h"

static struct {
	char *config, *name;
	bool foreground, once;
	uint32_t count;
	uint64_t interval, size;
	char **list, **words;
	char *word;
} o;

/* Any word that begins with a letter up to m. */
static int check_word(const char *value, struct errmsg *e)
{
	return value[0] >= 'a' && value[0] <= 'm' ? 0 : err_set(e, -EINVAL, "a to m");
}

static const struct conf_option table[] = {
	{"config", CONF_STRING, &o.config, "FILE", "read options from FILE", .only_cli = true},
	{"name", CONF_STRING, &o.name, "NAME", "what the node is called"},
	{"foreground", CONF_BOOL, &o.foreground, NULL, "stay", .only_cli = true},
	{"once", CONF_BOOL, &o.once, NULL, "one"},
	{"count", CONF_U32, &o.count, "N", "how many", .min = 2, .max = 9},
	{"interval", CONF_DURATION, &o.interval, "TIME", "how often", .min = 100000000},
	{"ring-size", CONF_U64, &o.size, "SIZE", "how big"},
	{"producers", CONF_LIST, &o.list, "LIST",
		"which; a text that is long enough to be "
		"wrapped at the end of a line of eighty columns"},
	{"words", CONF_LIST, &o.words, "LIST", "checked", .check = check_word},
	{"word", CONF_STRING, &o.word, "WORD", "checked", .check = check_word},
	{0},
};

static const struct conf_program prog = {
	"tallyd", "Counts.", "[OPTION]...", "The end.", "/nonexistent/tallyd.conf", table};

static void setup(void)
{
	memset(&o, 0, sizeof(o));
	o.interval = 10000000000u;
}

static void free_list(char **list)
{
	for (char **s = list; s && *s; s++)
		free(*s);
	free(list);
}

static void teardown(void)
{
	free_list(o.list);
	free_list(o.words);
	free(o.word);
	free(o.name);
	free(o.config);
}

TestSuite(conf, .init = setup, .fini = teardown);

static char path[] = "/tmp/test_conf.XXXXXX";

static const char *make_file(const char *bytes, size_t n)
{
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, bytes, n), (ssize_t)n);
	close(fd);
	return path;
}

/* The file's code; the message goes to *e. */
static int read_text(const char *text, struct errmsg *e)
{
	int err = conf_read_file(&prog, make_file(text, strlen(text)), e);

	unlink(path);
	return err;
}

#define LOAD(e, ind, ...)                                                            \
	({                                                                           \
		char *av[] = {(char *)"tallyd", __VA_ARGS__, NULL};                  \
		conf_load(&prog, (int)(sizeof(av) / sizeof(av[0])) - 1, av, ind, e); \
	})

Test(conf, durations)
{
	static const struct {
		const char *text;
		int err;
		uint64_t ns;
	} cases[] = {
		{"10", 0, 10000000000u},
		{"10s", 0, 10000000000u},
		{"500ms", 0, 500000000},
		{"1.5s", 0, 1500000000},
		{"0.25", 0, 250000000},
		{"2m", 0, 120000000000u},
		{"1h", 0, 3600000000000u},
		{"1d", 0, 86400000000000u},
		{"7us", 0, 7000},
		{"7ns", 0, 7},
		{"1.5ns", -EINVAL, 0},
		{"0.0000000001s", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"-1s", -EINVAL, 0},
		{" 1s", -EINVAL, 0},
		{"1 s", -EINVAL, 0},
		{"1w", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{"18446744073709551616", -ERANGE, 0},
		{"18446744073s", 0, 18446744073000000000u},
		{"18446744074s", -ERANGE, 0},
		{"300000d", -ERANGE, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t ns = 42;

		cr_expect_eq(
			conf_parse_duration(cases[i].text, &ns), cases[i].err, "%s", cases[i].text);
		cr_expect_eq(ns, cases[i].err ? 42 : cases[i].ns, "%s", cases[i].text);
	}
}

Test(conf, sizes)
{
	uint64_t v = 1;

	cr_expect_eq(conf_parse_size("64M", &v), 0);
	cr_expect_eq(v, 64u << 20);
	cr_expect_eq(conf_parse_size("1.5K", &v), 0);
	cr_expect_eq(v, 1536u);
	cr_expect_eq(conf_parse_size("64MB", &v), -EINVAL);
	cr_expect_eq(conf_parse_size("20000000000G", &v), -ERANGE);
	cr_expect_eq(v, 1536u);
}

Test(conf, file)
{
	struct errmsg e;

	cr_assert_eq(read_text("# comment\n\n[tallyd]\nname = a b ; said\n  interval: 2s\n"
			       "ring-size=1K\nonce = yes\nproducers = x, y ,,z\nproducers=w",
			     &e),
		0, "%s", e.text);
	cr_expect_str_eq(o.name, "a b");
	cr_expect_eq(o.interval, 2000000000u);
	cr_expect_eq(o.size, 1024u);
	cr_expect(o.once);
	cr_expect_str_eq(o.list[0], "x");
	cr_expect_str_eq(o.list[1], "y");
	cr_expect_str_eq(o.list[2], "z");
	cr_expect_str_eq(o.list[3], "w");
	cr_expect_null(o.list[4]);
}

/* Each mistake is refused and told with its line; the settings behind it are not taken. */
Test(conf, file_mistakes)
{
	static const struct {
		const char *text, *line, *words;
	} cases[] = {
		{"[tallyd]\nnmae = x\n", ":2: ", "did you mean 'name'"},
		{"[tallyd]\n\nqqqqqqqq = x\n", ":3: ", "--help"},
		{"[tallyd]\ninterval = 5 parsecs\n",
			":2: ", "'5 parsecs' is no value for 'interval': give a time"},
		{"[tallyd]\ninterval = 99ms\n", ":2: ", "at least 100ms"},
		{"[tallyd]\ncount = 10\n", ":2: ", "at most 9"},
		{"[tallyd]\ncount = 1.5\n", ":2: ", "a whole number"},
		{"[tallyd]\nonce = perhaps\n", ":2: ", "yes or no"},
		{"[tallyd]\nforeground = yes\n", ":2: ", "command line only"},
		{"[tallyd]\nname = x\n  and more\n", ":3: ", "neither"},
		{"[tallyd\nname = x\n", ":1: ", "neither"},
		{"name = x\n", ":1: ", "not in [tallyd]"},
		{"[other]\nname = x\n", ":2: ", "section [other]"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct errmsg e = {""};

		strcpy(path, "/tmp/test_conf.XXXXXX");
		cr_expect_eq(read_text(cases[i].text, &e), -EINVAL, "%s", cases[i].text);
		cr_expect(strstr(e.text, cases[i].line), "%s -> %s", cases[i].text, e.text);
		cr_expect(strstr(e.text, cases[i].words), "%s -> %s", cases[i].text, e.text);
		cr_expect(!strncmp(e.text, "/tmp/test_conf", 14), "%s", e.text);
	}
}

/* The longest line that is taken is taken whole; one byte more is refused. */
Test(conf, file_long_lines)
{
	char text[400];
	struct errmsg e;

	for (size_t n = 150; n < 320; n++) {
		int len = sprintf(text, "[tallyd]\nname = ");
		int err;

		memset(text + len, 'x', n);
		strcpy(text + len + n, n % 2 ? "\n" : "");
		free(o.name);
		o.name = NULL;
		strcpy(path, "/tmp/test_conf.XXXXXX");
		err = read_text(text, &e);
		if (n + 7 <= 198) {
			cr_assert_eq(err, 0, "%zu: %s", n, e.text);
			cr_assert_eq(strlen(o.name), n);
		} else if (n + 7 >= 200) {
			cr_assert_eq(err, -EINVAL, "%zu", n);
			cr_assert_null(o.name);
			cr_assert(strstr(e.text, ":2: "), "%s", e.text);
		} else if (!err) {
			cr_assert_eq(strlen(o.name), n);
		}
	}
}

Test(conf, file_zero_byte)
{
	struct errmsg e;

	cr_expect_eq(conf_read_file(&prog, make_file("[tallyd]\nname = x\0y\n", 20), &e), -EINVAL);
	cr_expect(strstr(e.text, ":2: a zero byte"), "%s", e.text);
	cr_expect_null(o.name);
	unlink(path);
}

Test(conf, file_missing)
{
	struct errmsg e;
	int ind;

	cr_expect_eq(conf_read_file(&prog, "/nonexistent/x", &e), -ENOENT);
	cr_expect_eq(conf_read_file(&prog, "/tmp", &e), -EIO);
	/* The default file may be absent, a named one may not. */
	cr_expect_eq(LOAD(&e, &ind, (char *)"--once"), 0);
	cr_expect_eq(LOAD(&e, &ind, (char *)"--config", (char *)"/nonexistent/x"), -ENOENT);
}

Test(conf, command_line)
{
	char *av[] = {(char *)"tallyd", (char *)"one", (char *)"--interval=1s", (char *)"-",
		(char *)"--name", (char *)"--odd", (char *)"--once", (char *)"two",
		(char *)"--no-once", (char *)"--foreground", (char *)"--producers=a,b",
		(char *)"--producers", (char *)"c", (char *)"--", (char *)"--count", NULL};
	struct errmsg e;
	int ind = 0;

	cr_assert_eq(conf_load(&prog, 15, av, &ind, &e), 0, "%s", e.text);
	cr_expect_eq(o.interval, 1000000000u);
	cr_expect_str_eq(o.name, "--odd");
	cr_expect(!o.once);
	cr_expect(o.foreground);
	cr_expect_str_eq(o.list[2], "c");
	cr_assert_eq(ind, 11);
	cr_expect_str_eq(av[11], "one");
	cr_expect_str_eq(av[12], "-");
	cr_expect_str_eq(av[13], "two");
	cr_expect_str_eq(av[14], "--count");
	cr_expect_eq(o.count, 0u);
}

Test(conf, command_line_wins)
{
	const char *text = "[tallyd]\nname = file\nproducers = a, b\ncount = 3\n";
	struct errmsg e;
	int ind;

	make_file(text, strlen(text));
	cr_assert_eq(LOAD(&e, &ind, (char *)"--name=cli", (char *)"--config", path,
			     (char *)"--producers=z"),
		0, "%s", e.text);
	unlink(path);
	cr_expect_str_eq(o.name, "cli");
	cr_expect_eq(o.count, 3u);
	cr_expect_str_eq(o.list[0], "z");
	cr_expect_null(o.list[1]);
}

Test(conf, command_line_mistakes)
{
	struct errmsg e;
	int ind = 77;

	cr_expect_eq(LOAD(&e, &ind, (char *)"--intervall=1s"), -EINVAL);
	cr_expect(strstr(e.text, "did you mean '--interval'"), "%s", e.text);
	cr_expect_eq(LOAD(&e, &ind, (char *)"--no-name"), -EINVAL);
	cr_expect_eq(LOAD(&e, &ind, (char *)"--name"), -EINVAL);
	cr_expect(strstr(e.text, "needs a value"), "%s", e.text);
	cr_expect_eq(LOAD(&e, &ind, (char *)"-x"), -EINVAL);
	cr_expect_eq(LOAD(&e, &ind, (char *)"--once=maybe"), -EINVAL);
	cr_expect_eq(LOAD(&e, &ind, (char *)"--count=4294967298"), -EINVAL);
	cr_expect_eq(ind, 77);
}

Test(conf, help)
{
	struct errmsg e;
	char line[512];
	bool seen = false;
	FILE *out;
	int ind;

	cr_redirect_stdout();
	cr_assert_eq(LOAD(&e, &ind, (char *)"--name=x", (char *)"--help"), 1);
	fflush(stdout);
	cr_expect_null(o.name, "help must come before anything is set");
	out = cr_get_redirected_stdout();
	while (fgets(line, sizeof(line), out)) {
		cr_expect_leq(strlen(line), 80u, "%s", line);
		seen |= strstr(line, "--interval=TIME") && strstr(line, "(default 10s)");
	}
	cr_expect(seen);
}

Test(conf, checked_where_they_stand)
{
	struct errmsg e = {""};
	int ind;

	cr_assert_eq(read_text("[tallyd]\nwords = a, b\nwords = c, zero\nword = x\n", &e), -EINVAL);
	cr_assert_not_null(
		strstr(e.text, ":3: 'zero' is no value for 'words': a to m"), "%s", e.text);
	cr_assert_str_eq(o.words[1], "b", "of a refused list nothing is taken");
	cr_assert_null(o.words[2]);
	cr_assert_eq(LOAD(&e, &ind, (char *)"--word=x"), -EINVAL);
	cr_assert_str_eq(e.text, "'x' is no value for '--word': a to m");
	cr_assert_null(o.word);
	cr_assert_eq(LOAD(&e, &ind, (char *)"--words=,"), -EINVAL, "no element at all");
	cr_assert_eq(LOAD(&e, &ind, (char *)"--count=10"), -EINVAL);
	cr_assert_not_null(strstr(e.text, "out of range for '--count'"), "%s", e.text);
	cr_assert_eq(LOAD(&e, &ind, (char *)"--words=d,e", (char *)"--word=f"), 0, "%s", e.text);
	cr_assert_str_eq(o.words[0], "d");
	cr_assert_null(o.words[2]);
}
