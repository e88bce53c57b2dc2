/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The labels of a segment's metrics (include/tally/segment.h), as an attacker may have written them. */
#ifndef TALLY_USER_LIB_SEGLABELS_H
#define TALLY_USER_LIB_SEGLABELS_H

#include <stdbool.h>

#include "user/lib/buf.h"

#define SEGLABELS_TEXT_MAX 1023u /* bytes of a metric's label text */
#define SEGLABELS_PAIRS    16u
#define SEGLABELS_OVERFLOW \
	"overflow" /* the value of each label of what a full table could not take */

/* Labels that tell whose a series is; the reader adds them, a segment must not. */
extern const char *const seglabels_reserved[];

/*
 * Appends the canonical labels (user/lib/schema.h) of a series. labels: the metric's text; slot: the
 * label values of the series, NULL if the metric has no table; overflow: it is the table's last series.
 * -EPROTO: the metric's text is wrong; -EINVAL: the slot's is, and the series belongs to the overflow;
 * -ENOMEM. out is unchanged then.
 */
int seglabels_format(const char *labels, const char *slot, bool overflow, struct buf *out);

#endif
