/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options of tally-gatherer: the table, and the checks that need more than one of them. */
#include "gatherer/config.h"

#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/lib/conf.h"
#include "user/lib/furl.h"
#include "user/lib/util.h"

#define INTERVAL_MIN (100 * NSEC_PER_MSEC)
#define INTERVAL_MAX (24 * 3600 * NSEC_PER_SEC)
#define POLL_TIMEOUT (10 * NSEC_PER_SEC) /* default; cut to the interval without a word */

static int config_defaults(struct gatherer_config *c)
{
	c->data_dir = strdup("/var/lib/tally-gatherer");
	c->http_listen = strdup("127.0.0.1:7412");
	c->user = strdup("tally-gatherer");
	c->name = strdup("gatherer");
	c->log_level = strdup("info");
	c->interval_ns = 10 * NSEC_PER_SEC;
	c->poll_timeout_ns = POLL_TIMEOUT;
	c->sync_interval_ns = NSEC_PER_SEC;
	c->head_bytes = 64u << 20;
	c->head_age_ns = 3600 * NSEC_PER_SEC;
	c->max_providers = 10000;
	return c->data_dir && c->http_listen && c->user && c->name && c->log_level ? 0 : -ENOMEM;
}

/* --- checks of values ------------------------------------------------------------------------ */

static int check_address(const char *text, struct errmsg *e)
{
	struct sockaddr_storage addr;
	socklen_t len;

	return config_parse_address(text, &addr, &len, e);
}

/* Empty: no HTTP. */
static int check_http_address(const char *text, struct errmsg *e)
{
	return text[0] ? check_address(text, e) : 0;
}

/* As the furl's reader sees it. Empty: the addresses that we listen on. */
static int check_host(const char *text, struct errmsg *e)
{
	char furl[FURL_TEXT_MAX], fingerprint[FINGERPRINT_SIZE];
	static const uint8_t id[NODE_ID_SIZE];
	struct errmsg why;
	struct furl f;

	if (!text[0])
		return 0;
	fingerprint_format(id, fingerprint);
	snprintf(furl, sizeof(furl), "tally://%s@%.1500s/x", fingerprint, text);
	return furl_parse(furl, &f, &why)
		       ? err_set(e, -EINVAL,
				 "HOST:PORT is wanted (IPv6: [ADDRESS]:PORT), PORT "
				 "from 1 to 65535")
		       : 0;
}

static int check_interval(const char *text, struct errmsg *e)
{
	const char *equals = strrchr(text, '=');
	uint64_t ns;

	if (!text[0] || (equals && equals != text && !conf_parse_duration(equals + 1, &ns) &&
				ns >= INTERVAL_MIN && ns <= INTERVAL_MAX))
		return 0;
	return err_set(e, -EINVAL, "NAME=TIME is wanted, TIME from 1s to 24h");
}

/* --- options --------------------------------------------------------------------------------- */

static int config_read(int argc, char **argv, struct gatherer_config *c, struct errmsg *e)
{
	const struct conf_option options[] = {
		{"config", CONF_STRING, &c->config_file, "FILE",
			"configuration file (/etc/tally/tally-gatherer.conf)", 0, 0, true},
		{"foreground", CONF_BOOL, &c->foreground, NULL, "stay attached to the terminal", 0,
			0, true},
		{"check-config", CONF_BOOL, &c->check_config, NULL,
			"say whether options, configuration file and furl are good, and exit", 0, 0,
			true},
		{"print-furl", CONF_BOOL, &c->print_furl, NULL,
			"print the furl for providers, and exit", 0, 0, true},
		{"data-dir", CONF_STRING, &c->data_dir, "DIR", "key, furl and history",
			.check = conf_check_not_empty},
		{"listen", CONF_LIST, &c->listen, "ADDR:PORT",
			"addresses for providers (127.0.0.1:7411)", .check = check_address},
		{"advertise", CONF_LIST, &c->advertise, "HOST:PORT",
			"how providers reach us, for the furl (as listen)", .check = check_host},
		{"http-listen", CONF_STRING, &c->http_listen, "ADDR:PORT",
			"address for /metrics; empty turns HTTP off", .check = check_http_address},
		{"interval", CONF_DURATION, &c->interval_ns, "TIME",
			"how often providers are polled", INTERVAL_MIN, INTERVAL_MAX},
		{"provider-interval", CONF_LIST, &c->provider_intervals, "WHO=TIME",
			"interval of one provider, by its name or fingerprint",
			.check = check_interval},
		{"poll-timeout", CONF_DURATION, &c->poll_timeout_ns, "TIME",
			"when an answer is late, at most the interval", INTERVAL_MIN, INTERVAL_MAX},
		{"sync-interval", CONF_DURATION, &c->sync_interval_ns, "TIME",
			"gather what arrives in this time for one sync", 0, 60 * NSEC_PER_SEC},
		{"furl-file", CONF_STRING, &c->furl_file, "FILE",
			"where the furl is written (furl in the data directory)"},
		{"name", CONF_STRING, &c->name, "NAME", "name of the gatherer's own metrics",
			.check = conf_check_not_empty},
		{"max-providers", CONF_U32, &c->max_providers, "N", "providers that may enrol", 1,
			1000000},
		{"head-size", CONF_U64, &c->head_bytes, "BYTES",
			"seal the head of history at this size", 4096, 1ull << 40},
		{"head-age", CONF_DURATION, &c->head_age_ns, "TIME", "... or at this age",
			NSEC_PER_SEC, 365 * 24 * 3600 * NSEC_PER_SEC},
		{"user", CONF_STRING, &c->user, "USER",
			"whom to become when started by root; nobody, if USER does not exist",
			.check = conf_check_not_empty},
		{"log-level", CONF_STRING, &c->log_level, "LEVEL", CONF_LEVELS,
			.check = conf_check_level},
		{NULL},
	};
	const struct conf_program prog = {
		.name = "tally-gatherer",
		.summary = "Polls providers and keeps the history of their metrics.",
		.usage = "[OPTION]...",
		.config = "/etc/tally/tally-gatherer.conf",
		.options = options,
	};
	int optind = argc, rc = conf_load(&prog, argc, argv, &optind, e);

	if (!rc && optind < argc)
		rc = err_set(e, -EINVAL, "no operand is expected: %s", argv[optind]);
	return rc;
}

static int list_or_default(char ***list, const char *text)
{
	if (*list && **list)
		return 0;
	free(*list);
	*list = calloc(2, sizeof(**list));
	if (!*list || !(**list = strdup(text)))
		return -ENOMEM;
	return 0;
}

static int check_paths(struct gatherer_config *c, struct errmsg *e)
{
	if (strlen(c->data_dir) > 3000 || (c->furl_file && strlen(c->furl_file) > 3000))
		return err_set(e, -EINVAL, "path too long");
	snprintf(c->history_dir, sizeof(c->history_dir), "%s/history", c->data_dir);
	snprintf(c->key_file, sizeof(c->key_file), "%s/key.pem", c->data_dir);
	if (c->furl_file && *c->furl_file)
		snprintf(c->furl_path, sizeof(c->furl_path), "%s", c->furl_file);
	else
		snprintf(c->furl_path, sizeof(c->furl_path), "%s/furl", c->data_dir);
	return 0;
}

/* Longer than the interval it has no effect, which somebody who set it should know. */
static void check_timeout(const struct gatherer_config *c)
{
	if (c->poll_timeout_ns > c->interval_ns && c->poll_timeout_ns != POLL_TIMEOUT)
		diag_warning(
			"poll-timeout is longer than the interval: an answer is late after the "
			"interval already");
}

int config_load(int argc, char **argv, struct gatherer_config *ret, struct errmsg *e)
{
	struct gatherer_config c = {0};
	int rc = config_defaults(&c);

	if (!rc)
		rc = config_read(argc, argv, &c, e);
	if (!rc)
		rc = list_or_default(&c.listen, "127.0.0.1:7411");
	if (rc == -ENOMEM)
		err_set(e, rc, "no memory");
	if (!rc)
		rc = check_paths(&c, e);
	if (rc) {
		config_release(&c);
		return rc;
	}
	conf_parse_level(c.log_level, &c.level);
	check_timeout(&c);
	*ret = c;
	return 0;
}

static void list_free(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
}

void config_release(struct gatherer_config *c)
{
	free(c->config_file);
	free(c->data_dir);
	free(c->furl_file);
	free(c->user);
	free(c->name);
	free(c->log_level);
	free(c->http_listen);
	list_free(c->listen);
	list_free(c->advertise);
	list_free(c->provider_intervals);
	*c = (struct gatherer_config){0};
}

uint64_t config_interval(
	const struct gatherer_config *cfg, const char *fingerprint, const char *name)
{
	uint64_t ns = cfg->interval_ns;
	bool by_fingerprint = false;

	for (char **p = cfg->provider_intervals; p && *p; p++) {
		size_t n = (size_t)(strrchr(*p, '=') - *p);
		bool is_fingerprint = strlen(fingerprint) == n && !memcmp(*p, fingerprint, n);
		bool is_name = strlen(name) == n && !memcmp(*p, name, n);

		if (is_fingerprint || (is_name && !by_fingerprint))
			conf_parse_duration(*p + n + 1, &ns); /* checked at start */
		by_fingerprint |= is_fingerprint;
	}
	return ns;
}

/* Digits after the colon: a port? */
static bool port_in_range(const char *digits)
{
	size_t n = strspn(digits, "0123456789");

	return digits[n] || (n <= 5 && atoi(digits) <= 65535);
}

int config_parse_address(
	const char *text, struct sockaddr_storage *ret, socklen_t *ret_len, struct errmsg *e)
{
	struct sockaddr_storage addr;
	int len = sizeof(addr);
	const char *colon = strrchr(text, ':');

	/* The parser takes a bare address too, and port 0 only without a colon. */
	if (!colon || (text[0] != '[' && strchr(text, ':') != colon))
		return err_set(
			e, -EINVAL, "%s: ADDRESS:PORT is wanted (IPv6: [ADDRESS]:PORT)", text);
	if (!port_in_range(colon + 1))
		return err_set(e, -EINVAL, "%s: the port is out of range, 0 to 65535", text);
	if (!strcmp(colon, ":0")) {
		char bare[80];

		snprintf(bare, sizeof(bare), "%.*s", (int)(colon - text), text);
		if (evutil_parse_sockaddr_port(bare, (struct sockaddr *)&addr, &len))
			return err_set(e, -EINVAL, "%s: not an address", text);
	} else if (evutil_parse_sockaddr_port(text, (struct sockaddr *)&addr, &len)) {
		return err_set(e, -EINVAL,
			"%s: ADDRESS:PORT is wanted, with a number for the address", text);
	}
	*ret = addr;
	*ret_len = (socklen_t)len;
	return 0;
}
