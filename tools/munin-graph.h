/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the plugin prints: one graph for one metric, one field for each of its series. */
#ifndef TALLY_TOOLS_MUNIN_GRAPH_H
#define TALLY_TOOLS_MUNIN_GRAPH_H

#include "tools/munin-field.h"

#define MUNIN_CONFIG_AGE (86400 * (int64_t)1000000000) /* a series stays in config for a day */

/*
 * Counters are DERIVE fields. Those take integers only, so a scaled counter's raw integer is given
 * and a cdef scales it; one that is a double is given in thousandths. Gauges are exact decimals.
 */
void munin_print_config(FILE *out, const struct munin_field *fields, size_t n, int64_t now_ns);
/* A value older than max_age_ns is unknown: U. */
void munin_print_values(
	FILE *out, const struct munin_field *fields, size_t n, int64_t now_ns, int64_t max_age_ns);
/* Seen within a day? Only those appear at all. */
bool munin_is_current(const struct pick *p, int64_t now_ns);

#endif
