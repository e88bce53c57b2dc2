/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Newest values as a page for scrapers: OpenMetrics 1.0 text, or Prometheus text 0.0.4 for those that
 * do not know it. Specification: github.com/OpenObservability/OpenMetrics, specification/OpenMetrics.md
 *
 * Families stand together whatever node and group they come from, each series with node="..." first.
 * What would make the page ambiguous is left out and counted by a metric: a second type for a
 * family, a name that another family's samples have, the same series twice.
 */
#ifndef TALLY_GATHERER_OPENMETRICS_H
#define TALLY_GATHERER_OPENMETRICS_H

#include "user/lib/buf.h"
#include "user/lib/stream.h"

#define OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define PLAIN_TEXT_TYPE  "text/plain; version=0.0.4; charset=utf-8"

enum exposition { EXPOSITION_OPENMETRICS, EXPOSITION_TEXT };

struct openmetrics; /* a page that is being collected; not thread safe */

struct openmetrics *openmetrics_new(void); /* NULL: no memory */
void openmetrics_free(struct openmetrics *om);
/*
 * Adds a group's newest values. node and all that g points to must stay as they are until the page is
 * rendered. -ENOMEM.
 */
int openmetrics_add(struct openmetrics *om, const char *node, const struct group_state *g);
/* Appends the page. To be called once. -ENOMEM. */
int openmetrics_render(struct openmetrics *om, enum exposition form, struct buf *out);
/* What a scraper's Accept header (NULL: none) asks for. */
enum exposition openmetrics_negotiate(const char *accept);

#endif
