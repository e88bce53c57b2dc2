/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by column.c and column_f64.c only. */
#ifndef TALLY_GATHERER_STORE_COLUMN_INT_H
#define TALLY_GATHERER_STORE_COLUMN_INT_H

#include "gatherer/store/column.h"

int column_decode_integers(struct rd *r, uint8_t tag, size_t n, uint64_t *v);
int column_decode_doubles(struct rd *r, uint8_t tag, size_t n, uint64_t *v);

#endif
