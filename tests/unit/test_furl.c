/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Furls: exact round trip, and a clear refusal of everything that is not quite one. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/lib/furl.h"

#define PIN    "aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq"
#define SECRET "abcdefghijklmnopqrstuvwxyz234567"

static char dir[] = "/tmp/test-furl-XXXXXX";

static void make_dir(void)
{
	cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
	char cmd[80];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	cr_assert_eq(system(cmd), 0);
}

static const char *in_dir(const char *name)
{
	static char path[80];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void write_file(const char *name, const char *text, mode_t mode)
{
	FILE *f = fopen(in_dir(name), "w");

	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
	cr_assert_eq(chmod(in_dir(name), mode), 0);
}

Test(furl, round_trip)
{
	static const char *const texts[] = {
		"tally://" PIN "@127.0.0.1:7411/" SECRET,
		"tally://" PIN "@gatherer.example.org:1/x",
		"tally://" PIN "@[::1]:65535,[2001:db8::7]:7411,host-2_b:80/A-z_09",
	};

	for (size_t i = 0; i < 3; i++) {
		char again[FURL_TEXT_MAX];
		struct errmsg e;
		struct furl f;

		cr_assert_eq(furl_parse(texts[i], &f, &e), 0, "%s", e.text);
		cr_assert_eq(furl_format(&f, again, sizeof(again)), 0);
		cr_assert_str_eq(again, texts[i]);
		cr_assert_eq(furl_format(&f, again, strlen(texts[i])), -E2BIG);
		cr_assert_eq(furl_format(&f, again, strlen(texts[i]) + 1), 0);
	}
}

Test(furl, parts)
{
	struct errmsg e;
	struct furl f;

	cr_assert_eq(furl_parse("tally://" PIN "@[fe80::1]:9,b:10/s3cret", &f, &e), 0);
	cr_assert_eq(f.nhosts, 2);
	cr_assert_str_eq(f.hosts[0].host, "fe80::1");
	cr_assert_str_eq(f.hosts[0].port, "9");
	cr_assert_str_eq(f.hosts[1].host, "b");
	cr_assert_str_eq(f.secret, "s3cret");
	for (unsigned int i = 0; i < NODE_ID_SIZE; i++)
		cr_assert_eq(f.id[i], i);
}

Test(furl, refusals_keep_the_output_and_the_secret)
{
	static const char *const bad[] = {
		"",
		"tally://",
		"http://" PIN "@h:1/" SECRET,
		PIN "@h:1/" SECRET,
		"tally://" PIN "a@h:1/" SECRET,
		"tally://0" PIN "@h:1/" SECRET,
		"tally://aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypr@h:1/" SECRET,
		"tally://AAAQEAYEAUDAOCAJBIFQYDIOB4IBCEQTCQKRMFYYDENBWHA5DYPQ@h:1/" SECRET,
		"tally://" PIN "@/" SECRET,
		"tally://" PIN "@h/" SECRET,
		"tally://" PIN "@h:/" SECRET,
		"tally://" PIN "@h:0/" SECRET,
		"tally://" PIN "@h:65536/" SECRET,
		"tally://" PIN "@h:123456/" SECRET,
		"tally://" PIN "@h:+1/" SECRET,
		"tally://" PIN "@h:01/" SECRET,
		"tally://" PIN "@:1/" SECRET,
		"tally://" PIN "@h:1,/" SECRET,
		"tally://" PIN "@h:1,,h:2/" SECRET,
		"tally://" PIN "@::1:1/" SECRET,
		"tally://" PIN "@[::1:1/" SECRET,
		"tally://" PIN "@[]:1/" SECRET,
		"tally://" PIN "@[h]:1/" SECRET,
		"tally://" PIN "@[::1]/" SECRET,
		"tally://" PIN "@h h:1/" SECRET,
		"tally://" PIN "@h:1",
		"tally://" PIN "@h:1/",
		"tally://" PIN "@h:1/" SECRET "/x",
		"tally://" PIN "@h:1/" SECRET " ",
		"tally://" PIN "@a:1,b:1,c:1,d:1,e:1,f:1,g:1,h:1,i:1/" SECRET,
	};
	struct furl f, untouched;

	memset(&f, 0x5a, sizeof(f));
	untouched = f;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct errmsg e = {""};

		cr_assert_eq(furl_parse(bad[i], &f, &e), -EPROTO, "taken: %s", bad[i]);
		cr_assert_gt(strlen(e.text), 10);
		cr_assert_null(strstr(e.text, SECRET), "%s", e.text);
		cr_assert_arr_eq((char *)&f, (char *)&untouched, sizeof(f));
	}
}

Test(furl, overlong_parts)
{
	static char text[FURL_TEXT_MAX + 100];
	char host[300], secret[200];
	struct furl f;

	memset(host, 'h', sizeof(host));
	memset(secret, 's', sizeof(secret));
	snprintf(text, sizeof(text), "tally://" PIN "@%.255s:1/%.127s", host, secret);
	cr_assert_eq(furl_parse(text, &f, NULL), 0);
	snprintf(text, sizeof(text), "tally://" PIN "@%.256s:1/%.127s", host, secret);
	cr_assert_eq(furl_parse(text, &f, NULL), -EPROTO);
	snprintf(text, sizeof(text), "tally://" PIN "@%.255s:1/%.128s", host, secret);
	cr_assert_eq(furl_parse(text, &f, NULL), -EPROTO);
	memset(text, 'x', sizeof(text) - 1);
	cr_assert_eq(furl_parse(text, &f, NULL), -EPROTO);
}

Test(furl, file, .init = make_dir, .fini = remove_dir)
{
	struct furl f, g;
	struct errmsg e = {""};
	struct stat st;

	cr_assert_eq(furl_read_file(in_dir("none"), &f, &e), -ENOENT);
	cr_assert_str_empty(e.text);
	cr_assert_eq(furl_parse("tally://" PIN "@h:1/" SECRET, &f, &e), 0);
	cr_assert_eq(furl_write_file(in_dir("furl"), &f, &e), 0, "%s", e.text);
	cr_assert_eq(stat(in_dir("furl"), &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
	cr_assert_eq(furl_read_file(in_dir("furl"), &g, &e), 0, "%s", e.text);
	cr_assert_arr_eq(g.id, f.id, sizeof(f.id));
	cr_assert_str_eq(g.secret, f.secret);
	cr_assert_str_eq(g.hosts[0].host, "h");
}

Test(furl, file_refusals, .init = make_dir, .fini = remove_dir)
{
	static const struct {
		const char *text;
		mode_t mode;
		int code;
		const char *message;
	} cases[] = {
		{"tally://" PIN "@h:1/" SECRET "\n", 0600, 0, NULL},
		{"tally://" PIN "@h:1/" SECRET "\r\n\n", 0400, 0, NULL},
		{"tally://" PIN "@h:1/" SECRET "\n", 0640, -EKEYREJECTED, "chmod 600"},
		{"tally://" PIN "@h:1/" SECRET "\n", 0602, -EKEYREJECTED, "chmod 600"},
		{"tally://" PIN "@h:1/" SECRET "\ntally://" PIN "@h:1/" SECRET "\n", 0600, -EPROTO,
			"more than one line"},
		{"", 0600, -EPROTO, "empty"},
		{"\n\n", 0600, -EPROTO, "empty"},
		{"nonsense", 0600, -EPROTO, "tally://"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct errmsg e = {""};
		struct furl f;

		write_file("furl", cases[i].text, cases[i].mode);
		cr_assert_eq(furl_read_file(in_dir("furl"), &f, &e), cases[i].code, "case %zu: %s",
			i, e.text);
		if (cases[i].message)
			cr_assert_not_null(strstr(e.text, cases[i].message), "%s", e.text);
		cr_assert_null(strstr(e.text, SECRET));
		unlink(in_dir("furl"));
	}
}

Test(furl, file_kinds, .init = make_dir, .fini = remove_dir)
{
	char target[80];
	struct errmsg e;
	struct furl f;

	cr_assert_eq(mkfifo(in_dir("fifo"), 0600), 0);
	cr_assert_eq(furl_read_file(in_dir("fifo"), &f, &e), -EKEYREJECTED);
	write_file("furl", "tally://" PIN "@h:1/" SECRET "\n", 0600);
	strcpy(target, in_dir("furl"));
	cr_assert_eq(symlink(target, in_dir("link")), 0);
	cr_assert_eq(furl_read_file(in_dir("link"), &f, &e), -ELOOP);
	cr_assert_eq(furl_read_file(dir, &f, &e), -EKEYREJECTED);
}

Test(furl, secrets_differ)
{
	char a[128], b[128];

	cr_assert_eq(furl_new_secret(a), 0);
	cr_assert_eq(furl_new_secret(b), 0);
	cr_assert_eq(strlen(a), FURL_SECRET_LEN);
	cr_assert_str_neq(a, b);
	cr_assert_eq(strspn(a, "abcdefghijklmnopqrstuvwxyz234567"), FURL_SECRET_LEN);
}
