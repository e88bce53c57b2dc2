/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Furls: parsing, writing, and the file that holds one.
 *
 *   tally://FINGERPRINT@HOST:PORT[,HOST:PORT...]/SECRET
 *           52 base32   name, IPv4, [IPv6]       1 to 127 of A-Z a-z 0-9 _ -
 *
 * Strict on purpose: a furl is made by a program and copied by a person, so anything unexpected in it
 * is a copying mistake. Messages never repeat what may be the secret.
 */
#include "user/lib/furl.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "user/lib/buf.h"
#include "user/lib/secretfile.h"
#include "user/lib/util.h"

#define FURL_SCHEME "tally://"

#define FURL_ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static bool only_of(const char *p, size_t n, const char *allowed)
{
	for (size_t i = 0; i < n; i++)
		if (!p[i] || !strchr(allowed, p[i]))
			return false;
	return n > 0;
}

static bool host_valid(const char *host, size_t n, bool bracketed)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (!bracketed)
		return n < 256 && only_of(host, n, FURL_ALNUM ".-_");
	if (n >= sizeof(text))
		return false;
	memcpy(text, host, n);
	text[n] = '\0';
	return inet_pton(AF_INET6, text, &addr) == 1;
}

static bool port_valid(const char *port, size_t n)
{
	unsigned int v = 0;

	if (n > 5 || !only_of(port, n, "0123456789") || port[0] == '0')
		return false;
	for (size_t i = 0; i < n; i++)
		v = v * 10 + (unsigned int)(port[i] - '0');
	return v <= 65535;
}

/* One HOST:PORT of n bytes. */
static int host_parse(const char *p, size_t n, struct furl *f, struct errmsg *e)
{
	bool bracketed = n && p[0] == '[';
	const char *colon = memrchr(p, ':', n);
	const char *host = bracketed ? p + 1 : p;
	size_t host_len, port_len;

	if (f->nhosts == FURL_HOSTS_MAX)
		return err_set(e, -EPROTO, "furl: more than %d hosts", FURL_HOSTS_MAX);
	if (!colon || (bracketed && (colon - p < 2 || colon[-1] != ']')))
		return err_set(e, -EPROTO, "furl: host %zu is not HOST:PORT (IPv6: [ADDRESS]:PORT)",
			f->nhosts + 1);
	host_len = (size_t)(colon - host) - (bracketed ? 1 : 0);
	port_len = n - (size_t)(colon + 1 - p);
	if (!host_valid(host, host_len, bracketed))
		return err_set(
			e, -EPROTO, "furl: bad host name or address in host %zu", f->nhosts + 1);
	if (!port_valid(colon + 1, port_len))
		return err_set(e, -EPROTO, "furl: bad port in host %zu", f->nhosts + 1);
	memcpy(f->hosts[f->nhosts].host, host, host_len);
	memcpy(f->hosts[f->nhosts].port, colon + 1, port_len);
	f->nhosts++;
	return 0;
}

static int hosts_parse(const char *p, const char *end, struct furl *f, struct errmsg *e)
{
	for (;;) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		const char *stop = comma ? comma : end;
		int rc = host_parse(p, (size_t)(stop - p), f, e);

		if (rc)
			return rc;
		if (!comma)
			return 0;
		p = comma + 1;
	}
}

int furl_parse(const char *text, struct furl *ret, struct errmsg *e)
{
	struct furl f = {.nhosts = 0};
	const char *at, *slash;
	size_t secret_len;
	int rc;

	if (strlen(text) > FURL_TEXT_MAX)
		return err_set(e, -EPROTO, "furl: longer than %d bytes", FURL_TEXT_MAX);
	if (strncmp(text, FURL_SCHEME, strlen(FURL_SCHEME)))
		return err_set(e, -EPROTO, "furl: does not begin with " FURL_SCHEME);
	text += strlen(FURL_SCHEME);
	at = strchr(text, '@');
	if (!at || fingerprint_parse(text, (size_t)(at - text), f.id))
		return err_set(
			e, -EPROTO, "furl: no fingerprint (52 characters a-z2-7) before the @");
	slash = strchr(at, '/');
	if (!slash)
		return err_set(e, -EPROTO, "furl: no /SECRET at its end");
	rc = hosts_parse(at + 1, slash, &f, e);
	if (rc)
		return rc;
	secret_len = strlen(slash + 1);
	if (secret_len >= sizeof(f.secret) || !only_of(slash + 1, secret_len, FURL_ALNUM "_-"))
		return err_set(e, -EPROTO, "furl: bad secret (1 to %zu of A-Z a-z 0-9 _ -)",
			sizeof(f.secret) - 1);
	memcpy(f.secret, slash + 1, secret_len);
	*ret = f;
	return 0;
}

int furl_format(const struct furl *f, char *out, size_t size)
{
	char fingerprint[FINGERPRINT_SIZE];
	struct buf text = BUF_INIT;
	int rc;

	fingerprint_format(f->id, fingerprint);
	buf_printf(&text, FURL_SCHEME "%s@", fingerprint);
	for (size_t i = 0; i < f->nhosts; i++) {
		bool v6 = strchr(f->hosts[i].host, ':');

		buf_printf(&text, "%s%s%s%s:%s", i ? "," : "", v6 ? "[" : "", f->hosts[i].host,
			v6 ? "]" : "", f->hosts[i].port);
	}
	buf_printf(&text, "/%s", f->secret);
	rc = buf_error(&text);
	if (!rc && text.len >= size)
		rc = -E2BIG;
	if (!rc) {
		memcpy(out, text.data, text.len);
		out[text.len] = '\0';
	}
	secretfile_wipe(&text);
	return rc;
}

int furl_read_file(const char *path, struct furl *ret, struct errmsg *e)
{
	struct buf text = BUF_INIT;
	struct errmsg why = {""};
	int rc = secretfile_read(path, "furl file", FURL_TEXT_MAX + 2, &text, e);

	if (rc)
		return rc;
	while (text.len && isspace(text.data[text.len - 1]))
		text.len--;
	buf_put_u8(&text, 0);
	rc = buf_error(&text);
	if (rc)
		goto out;
	if (text.len == 1)
		rc = err_set(
			e, -EPROTO, "%s: empty; one line with the gatherer's furl is wanted", path);
	else if (memchr(text.data, 0, text.len - 1) || strchr((char *)text.data, '\n'))
		rc = err_set(
			e, -EPROTO, "%s: more than one line; exactly one furl is wanted", path);
	else if ((rc = furl_parse((char *)text.data, ret, &why)))
		err_set(e, rc, "%s: %s", path, why.text);
out:
	secretfile_wipe(&text);
	return rc;
}

int furl_write_file(const char *path, const struct furl *f, struct errmsg *e)
{
	char text[FURL_TEXT_MAX + 2];
	int rc = furl_format(f, text, sizeof(text) - 1);

	if (rc)
		return err_set(e, rc, "%s: furl is longer than %d bytes", path, FURL_TEXT_MAX);
	strcat(text, "\n");
	rc = replace_file(path, text, strlen(text), 0600, e);
	explicit_bzero(text, sizeof(text));
	return rc;
}

int furl_new_secret(char out[128])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
	uint8_t bits[FURL_SECRET_LEN];
	int rc = random_bytes(bits, sizeof(bits));

	if (rc)
		return rc;
	for (size_t i = 0; i < FURL_SECRET_LEN; i++)
		out[i] = letters[bits[i] & 31];
	out[FURL_SECRET_LEN] = '\0';
	explicit_bzero(bits, sizeof(bits));
	return 0;
}
