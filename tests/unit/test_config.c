/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options of the gatherer: defaults, addresses, intervals of single providers. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gatherer/config.h"
#include "user/lib/util.h"

#define PRINT "aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq"

static int load(struct gatherer_config *c, struct errmsg *e, const char *a, const char *b)
{
	char *argv[] = {"tally-gatherer", "--config", "/dev/null", (char *)a, (char *)b, NULL};
	int argc = 3 + (a != NULL) + (b != NULL);

	return config_load(argc, argv, c, e);
}

Test(config, defaults)
{
	struct gatherer_config c;
	struct errmsg e = {""};

	cr_assert_eq(load(&c, &e, NULL, NULL), 0, "%s", e.text);
	cr_assert_str_eq(c.listen[0], "127.0.0.1:7411");
	cr_assert_null(c.listen[1]);
	cr_assert_str_eq(c.http_listen, "127.0.0.1:7412");
	cr_assert_eq(c.interval_ns, 10 * NSEC_PER_SEC);
	cr_assert_eq(c.level, DIAG_INFO);
	cr_assert_str_eq(c.furl_path, "/var/lib/tally-gatherer/furl");
	cr_assert_str_eq(c.key_file, "/var/lib/tally-gatherer/key.pem");
	cr_assert_str_eq(c.history_dir, "/var/lib/tally-gatherer/history");
	config_release(&c);
}

Test(config, paths_follow_the_data_directory)
{
	struct gatherer_config c;
	struct errmsg e = {""};

	cr_assert_eq(load(&c, &e, "--data-dir=/x", "--furl-file=/y/f"), 0, "%s", e.text);
	cr_assert_str_eq(c.history_dir, "/x/history");
	cr_assert_str_eq(c.furl_path, "/y/f");
	config_release(&c);
}

Test(config, mistakes)
{
	static const struct {
		const char *option, *message;
	} cases[] = {
		{"--interval=10ms", "interval"},
		{"--interval=x", "interval"},
		{"--listen=nowhere", "ADDRESS:PORT"},
		{"--listen=localhost:1", "ADDRESS:PORT"},
		{"--listen=1.2.3.4", "ADDRESS:PORT"},
		{"--listen=1.2.3.4:70000", "'--listen': 1.2.3.4:70000: the port is out of range"},
		{"--listen=1.2.3.4:99999999999", "out of range"},
		{"--listen=[::1]:65536", "out of range"},
		{"--listen=", "'--listen'"},
		{"--advertise=host", "'--advertise': HOST:PORT"},
		{"--advertise=good:1,host:0", "'host:0' is no value for '--advertise': HOST:PORT"},
		{"--advertise=host:70000", "'--advertise': HOST:PORT"},
		{"--name=", "'--name': it must not be empty"},
		{"--data-dir=", "'--data-dir': it must not be empty"},
		{"--user=", "'--user': it must not be empty"},
		{"--http-listen=::1:80", "'--http-listen': ::1:80: ADDRESS:PORT"},
		{"--provider-interval=host", "'--provider-interval': NAME=TIME"},
		{"--provider-interval==5s", "NAME=TIME"},
		{"--provider-interval=host=1ms", "NAME=TIME"},
		{"--log-level=loud", "'loud' is no value for '--log-level': give error, warning"},
		{"--no-such-option=1", "no-such-option"},
		{"operand", "operand"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct gatherer_config c;
		struct errmsg e = {""};

		cr_assert_eq(load(&c, &e, cases[i].option, NULL), -EINVAL, "%s", cases[i].option);
		cr_assert_not_null(
			strstr(e.text, cases[i].message), "%s: %s", cases[i].option, e.text);
	}
}

Test(config, a_mistake_in_the_file_has_a_line)
{
	static const char *const lines[] = {"log-level = loud", "listen = 127.0.0.1:1, nowhere",
		"advertise = host", "provider-interval = a=1s, b", "name ="};

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		char path[] = "/tmp/test-config-XXXXXX", where[64];
		FILE *f = fdopen(mkstemp(path), "w");
		char *argv[] = {"tally-gatherer", "--config", path, NULL};
		struct gatherer_config c;
		struct errmsg e = {""};

		fprintf(f, "[tally-gatherer]\n# a comment\n%s\n", lines[i]);
		fclose(f);
		cr_assert_eq(config_load(3, argv, &c, &e), -EINVAL, "%s", lines[i]);
		unlink(path);
		snprintf(where, sizeof(where), "%s:3: ", path);
		cr_assert_eq(strncmp(e.text, where, strlen(where)), 0, "%s", e.text);
	}
}

Test(config, interval_of_one_provider)
{
	struct gatherer_config c;
	struct errmsg e = {""};

	cr_assert_eq(
		load(&c, &e, "--provider-interval=web=2s," PRINT "=3s,a=b=4s", "--interval=7s"), 0,
		"%s", e.text);
	cr_assert_eq(config_interval(&c, "other", "web"), 2 * NSEC_PER_SEC);
	cr_assert_eq(config_interval(&c, "other", "we"), 7 * NSEC_PER_SEC);
	cr_assert_eq(config_interval(&c, "other", "webb"), 7 * NSEC_PER_SEC);
	cr_assert_eq(config_interval(&c, PRINT, "unknown"), 3 * NSEC_PER_SEC);
	cr_assert_eq(config_interval(&c, PRINT, "web"), 3 * NSEC_PER_SEC, "the fingerprint wins");
	cr_assert_eq(config_interval(&c, "other", "a=b"), 4 * NSEC_PER_SEC);
	config_release(&c);
}

Test(config, addresses)
{
	struct sockaddr_storage addr;
	struct sockaddr_in *in = (struct sockaddr_in *)&addr;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&addr;
	socklen_t len;

	cr_assert_eq(config_parse_address("127.0.0.1:80", &addr, &len, NULL), 0);
	cr_assert_eq(addr.ss_family, AF_INET);
	cr_assert_eq(ntohs(in->sin_port), 80);
	cr_assert_eq(len, sizeof(*in));
	cr_assert_eq(config_parse_address("127.0.0.1:0", &addr, &len, NULL), 0);
	cr_assert_eq(in->sin_port, 0);
	cr_assert_eq(config_parse_address("[::1]:7411", &addr, &len, NULL), 0);
	cr_assert_eq(addr.ss_family, AF_INET6);
	cr_assert_eq(ntohs(in6->sin6_port), 7411);
	cr_assert_eq(config_parse_address("[::1]:0", &addr, &len, NULL), 0);
	cr_assert_eq(in6->sin6_port, 0);
}

/* Cut to the interval anyway: who set it is told, who did not is not bothered. */
Test(config, timeout_longer_than_the_interval, .init = cr_redirect_stderr)
{
	struct gatherer_config c;
	struct errmsg e = {""};
	char text[512] = "";

	cr_assert_eq(load(&c, &e, "--interval=1s", NULL), 0, "%s", e.text);
	config_release(&c);
	cr_assert_eq(load(&c, &e, "--interval=5s", "--poll-timeout=5s"), 0, "%s", e.text);
	config_release(&c);
	cr_assert_eq(load(&c, &e, "--interval=1s", "--poll-timeout=2s"), 0, "%s", e.text);
	config_release(&c);
	fflush(stderr);
	cr_assert_gt(fread(text, 1, sizeof(text) - 1, cr_get_redirected_stderr()), 0);
	cr_assert_not_null(strstr(text, "poll-timeout is longer than the interval"), "%s", text);
	cr_assert_eq(strchr(text, '\n'), strrchr(text, '\n'), "more than one line: %s", text);
}
