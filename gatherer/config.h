/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options of tally-gatherer: see docs/tally-gatherer.md. */
#ifndef TALLY_GATHERER_CONFIG_H
#define TALLY_GATHERER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "user/lib/diag.h"
#include "user/lib/err.h"

struct gatherer_config {
	char *config_file;
	char *data_dir, *furl_file, *user, *name, *log_level;
	char **listen, **advertise;
	char *http_listen; /* "": no HTTP */
	char **provider_intervals;
	uint64_t interval_ns, poll_timeout_ns, sync_interval_ns, head_bytes, head_age_ns;
	uint32_t max_providers;
	bool foreground, check_config, print_furl;
	enum diag_level level;
	char history_dir[4096], key_file[4096], furl_path[4096];
};

/*
 * Command line and file, checked. 1: nothing more to do (--help). -EINVAL: a mistake in usage, *e says
 * which.
 */
int config_load(int argc, char **argv, struct gatherer_config *ret, struct errmsg *e);
void config_release(struct gatherer_config *cfg);
/* The interval of a provider: its own by fingerprint, by name, or the general one. */
uint64_t config_interval(
	const struct gatherer_config *cfg, const char *fingerprint, const char *name);

/* HOST:PORT with a numeric address, or [IPV6]:PORT; port 0 lets the kernel choose. */
int config_parse_address(
	const char *text, struct sockaddr_storage *ret, socklen_t *ret_len, struct errmsg *e);

#endif
