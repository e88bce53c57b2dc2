/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Turning a head that is not written to any more into the sealed file of its number. */
#ifndef TALLY_GATHERER_STORE_SEAL_H
#define TALLY_GATHERER_STORE_SEAL_H

#include "user/lib/err.h"
#include <stdint.h>

/* The head stays; *ret_size is the size of the sealed file, which is durable. */
int seal_head(int dirfd, uint64_t number, uint64_t *ret_size);

#endif
