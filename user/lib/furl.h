/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A furl is the gatherer's address that is also a capability:
 *
 *   tally://FINGERPRINT@HOST:PORT[,HOST:PORT...]/SECRET
 *
 * FINGERPRINT pins the gatherer's key (user/lib/identity.h), SECRET allows enrolment. HOST is a name,
 * an IPv4 address or an IPv6 address in brackets.
 */
#ifndef TALLY_USER_LIB_FURL_H
#define TALLY_USER_LIB_FURL_H

#include <stddef.h>

#include "user/lib/identity.h"

#define FURL_HOSTS_MAX  8
#define FURL_SECRET_LEN 32 /* base32 characters of a new secret (160 bits) */
#define FURL_TEXT_MAX   2048

struct furl {
	uint8_t id[NODE_ID_SIZE];
	size_t nhosts;
	struct {
		char host[256]; /* without brackets */
		char port[6];
	} hosts[FURL_HOSTS_MAX];
	char secret[128];
};

/* -EPROTO with a message that says which part is wrong (and never repeats the secret). */
int furl_parse(const char *text, struct furl *ret, struct errmsg *e);
/* Text without newline; -E2BIG if out is too small. */
int furl_format(const struct furl *f, char *out, size_t size);
/*
 * Reads a furl file: one line. Refused: mode that others can read, more than one furl, too long.
 * -ENOENT if there is no file (no message then).
 */
int furl_read_file(const char *path, struct furl *ret, struct errmsg *e);
/* Writes mode 0600: temp, fsync, rename, fsync of the directory. */
int furl_write_file(const char *path, const struct furl *f, struct errmsg *e);
/* A new random secret of FURL_SECRET_LEN characters. */
int furl_new_secret(char out[128]);

#endif
