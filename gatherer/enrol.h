/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gatherer's key and furl: made at first start, kept from then on. */
#ifndef TALLY_GATHERER_ENROL_H
#define TALLY_GATHERER_ENROL_H

#include "gatherer/config.h"
#include "user/lib/furl.h"
#include "user/lib/identity.h"

/*
 * Loads or makes key and furl. hosts (n of them, HOST:PORT) are those that we listen on; they go into
 * the furl unless advertise names others. The secret in an existing furl file is kept; the file is
 * rewritten only if hosts or key changed. A furl file that can't be understood is an error: making
 * a new secret would shut out every provider.
 */
int enrol_open(const struct gatherer_config *cfg, const char *const *hosts, size_t n,
	struct identity **ret_identity, struct furl *ret_furl, struct errmsg *e);

#endif
