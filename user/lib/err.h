/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors of libtally.
 *
 * Functions return 0 or a negative errno value; their outputs are untouched on failure. The values
 * with a meaning of their own here:
 *
 *   -EBADMSG    stored or received bytes are damaged (checksum, truncation, impossible value)
 *   -EPROTO     well-formed bytes that break a rule of the protocol or format
 *   -EEXIST     a duplicate: already stored, nothing done
 *   -E2BIG      a documented limit would be passed
 *   -EKEYREJECTED  an identity, fingerprint or secret was refused
 *
 * Where a person will read about it, a function also fills a struct errmsg: what, where (file, line,
 * offset or peer) and what to do.
 */
#ifndef TALLY_USER_LIB_ERR_H
#define TALLY_USER_LIB_ERR_H

#include <errno.h>

struct errmsg {
	char text[512];
};

/*
 * Fills e (which may be NULL) by a printf format and returns code, so that
 * `return err_set(e, -EPROTO, "%s:%u: ...", file, line);` is one line.
 */
int err_set(struct errmsg *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
