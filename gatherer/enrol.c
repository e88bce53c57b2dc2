/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gatherer's key and furl. */
#include "gatherer/enrol.h"

#include <stdio.h>
#include <string.h>

#include "user/lib/diag.h"

/* Where nobody can connect to: such an address never goes into a furl. */
static bool enrol_is_wildcard(const char *host)
{
	return !strncmp(host, "0.0.0.0:", 8) || !strncmp(host, "[::]:", 5);
}

/* Parses hosts as the furl's reader will: through a furl. */
static int enrol_set_hosts(struct furl *f, const char *const *hosts, size_t n, struct errmsg *e)
{
	char text[FURL_TEXT_MAX + 1], fingerprint[FINGERPRINT_SIZE];
	struct furl parsed;
	size_t len;
	int rc;

	fingerprint_format(f->id, fingerprint);
	len = (size_t)snprintf(text, sizeof(text), "tally://%s@", fingerprint);
	for (size_t i = 0; i < n && len < sizeof(text); i++) {
		if (enrol_is_wildcard(hosts[i]))
			return err_set(e, -EINVAL,
				"listening on %s: say with --advertise HOST:PORT how providers "
				"reach "
				"this machine",
				hosts[i]);
		len += (size_t)snprintf(
			text + len, sizeof(text) - len, "%s%s", i ? "," : "", hosts[i]);
	}
	if (len + 2 >= sizeof(text))
		return err_set(e, -EINVAL, "advertise: too many or too long names");
	strcat(text, "/x");
	rc = furl_parse(text, &parsed, e);
	if (rc)
		return rc;
	memcpy(f->hosts, parsed.hosts, sizeof(f->hosts));
	f->nhosts = parsed.nhosts;
	return 0;
}

static bool enrol_same(const struct furl *a, const struct furl *b)
{
	char x[FURL_TEXT_MAX + 1], y[FURL_TEXT_MAX + 1];

	return !furl_format(a, x, sizeof(x)) && !furl_format(b, y, sizeof(y)) && !strcmp(x, y);
}

static int enrol_furl(const struct gatherer_config *cfg, const struct identity *id,
	const char *const *hosts, size_t n, struct furl *ret, struct errmsg *e)
{
	struct furl old = {0}, f = {0};
	bool exists;
	int rc = furl_read_file(cfg->furl_path, &old, e);

	if (rc && rc != -ENOENT)
		return rc;
	exists = !rc;
	memcpy(f.id, identity_id(id), NODE_ID_SIZE);
	if (exists)
		memcpy(f.secret, old.secret, sizeof(f.secret));
	else if ((rc = furl_new_secret(f.secret)))
		return err_set(e, rc, "no random bytes for a secret");
	if (cfg->advertise && *cfg->advertise)
		for (hosts = (const char *const *)cfg->advertise, n = 0; hosts[n];)
			n++;
	rc = enrol_set_hosts(&f, hosts, n, e);
	if (!rc && !(exists && enrol_same(&old, &f))) {
		if (exists && memcmp(old.id, f.id, NODE_ID_SIZE))
			diag_warning("%s named another key: every provider needs the new furl",
				cfg->furl_path);
		rc = furl_write_file(cfg->furl_path, &f, e);
	}
	if (!rc)
		*ret = f;
	return rc;
}

int enrol_open(const struct gatherer_config *cfg, const char *const *hosts, size_t n,
	struct identity **ret_identity, struct furl *ret_furl, struct errmsg *e)
{
	struct identity *id = NULL;
	int rc = identity_load(cfg->key_file, &id, e);

	if (!rc)
		rc = enrol_furl(cfg, id, hosts, n, ret_furl, e);
	if (rc)
		identity_free(id);
	else
		*ret_identity = id;
	return rc;
}
