/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gatherer's furl: its secret is kept, its hosts follow the options, nothing is guessed. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gatherer/enrol.h"

static char dir[] = "/tmp/test-enrol-XXXXXX";
static struct gatherer_config cfg;

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(cfg.key_file, sizeof(cfg.key_file), "%s/key.pem", dir);
	snprintf(cfg.furl_path, sizeof(cfg.furl_path), "%s/furl", dir);
}

static void tear_down(void)
{
	unlink(cfg.key_file);
	unlink(cfg.furl_path);
	cr_assert_eq(rmdir(dir), 0, "something is left in %s", dir);
}

static int enrol(const char *host, struct furl *ret, struct errmsg *e)
{
	struct identity *id = NULL;
	int rc = enrol_open(&cfg, &host, 1, &id, ret, e);

	if (!rc)
		cr_assert_arr_eq(ret->id, identity_id(id), NODE_ID_SIZE);
	identity_free(id);
	return rc;
}

TestSuite(enrol, .init = set_up, .fini = tear_down);

Test(enrol, secret_is_kept_and_hosts_follow)
{
	static char *advertise[] = {"gatherer.example.org:7411", "[2001:db8::1]:7411", NULL};
	struct furl first, again;
	struct errmsg e = {""};
	struct stat before, after;

	cr_assert_eq(enrol("127.0.0.1:7411", &first, &e), 0, "%s", e.text);
	cr_assert_str_eq(first.hosts[0].host, "127.0.0.1");
	cr_assert_eq(stat(cfg.furl_path, &before), 0);
	cr_assert_eq(before.st_mode & 07777, 0600);
	cr_assert_eq(enrol("127.0.0.1:7411", &again, &e), 0);
	cr_assert_eq(stat(cfg.furl_path, &after), 0);
	cr_assert_eq(after.st_ino, before.st_ino, "the file was written again without need");
	cfg.advertise = advertise;
	cr_assert_eq(enrol("127.0.0.1:7411", &again, &e), 0, "%s", e.text);
	cr_assert_str_eq(again.secret, first.secret);
	cr_assert_eq(again.nhosts, 2);
	cr_assert_str_eq(again.hosts[1].host, "2001:db8::1");
	cr_assert_eq(furl_read_file(cfg.furl_path, &first, &e), 0);
	cr_assert_eq(first.nhosts, 2);
}

Test(enrol, nothing_is_guessed)
{
	static char *advertise[] = {"h:1", NULL}, *bad[] = {"h", NULL};
	struct furl f;
	struct errmsg e = {""};

	cr_assert_eq(enrol("0.0.0.0:7411", &f, &e), -EINVAL);
	cr_assert_not_null(strstr(e.text, "--advertise"), "%s", e.text);
	cr_assert_eq(enrol("[::]:7411", &f, &e), -EINVAL);
	cfg.advertise = bad;
	cr_assert_neq(enrol("0.0.0.0:7411", &f, &e), 0);
	cfg.advertise = advertise;
	cr_assert_eq(enrol("0.0.0.0:7411", &f, &e), 0, "%s", e.text);
}

Test(enrol, damaged_furl_stops_the_start)
{
	struct errmsg e = {""};
	struct furl f;
	FILE *file;

	file = fopen(cfg.furl_path, "w");
	fputs("tally://damaged\n", file);
	fclose(file);
	chmod(cfg.furl_path, 0600);
	cr_assert_eq(enrol("127.0.0.1:1", &f, &e), -EPROTO);
	cr_assert_not_null(strstr(e.text, cfg.furl_path), "%s", e.text);
}

Test(enrol, another_key_keeps_the_secret)
{
	struct furl first, again;
	struct errmsg e = {""};

	cr_assert_eq(enrol("127.0.0.1:1", &first, &e), 0);
	unlink(cfg.key_file);
	cr_assert_eq(enrol("127.0.0.1:1", &again, &e), 0, "%s", e.text);
	cr_assert_str_eq(again.secret, first.secret);
	cr_assert_neq(memcmp(again.id, first.id, NODE_ID_SIZE), 0);
}
