/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `get` and `plot` share: the range of time and the steps, and reading one series through them. */
#ifndef TALLY_TOOLS_QUERY_H
#define TALLY_TOOLS_QUERY_H

#include "tools/picks.h"
#include "tools/window.h"

/* What is read: the ring if that was given, else the history. */
struct query_source {
	char *dir, *ring;
};

#define QUERY_SOURCE_OPTIONS(source)                                                             \
	{"dir", CONF_STRING, &(source).dir, "DIR", "the history"},                               \
	{                                                                                        \
		"from-ring", CONF_STRING, &(source).ring, "PATH",                                \
			"read a provider's ring instead: its state directory, or a file of the " \
			"ring"                                                                   \
	}

/* The default history. */
struct query_source query_source_new(void);
void query_source_release(struct query_source *s);
/* Of what is read, for messages. */
const char *query_source_name(const struct query_source *s);

/* Texts as typed; NULL where nothing was. */
struct query_range {
	char *from, *to, *step;
};

#define QUERY_HELP_FROM \
	"begin: -10m, 2026-11-23T14:00:00Z or Unix seconds (default 10 minutes before the end)"
#define QUERY_HELP_TO   "end, not included (default just behind the newest sample)"
#define QUERY_HELP_STEP "one value for each step of that length, or 'all' for the whole range"

/* -EINVAL with a message for a time that is none. mode is the caller's. */
int query_resolve(const struct query_range *range, const struct picks *picks, enum window_mode mode,
	struct window_spec *ret, struct errmsg *e);
/*
 * Reads one series. *damaged is set if a damaged block was skipped on the way; what could be read is
 * in *ret. Other failures: a negative code.
 */
int query_load(struct history *h, const struct pick *pick, const struct window_spec *spec,
	struct points *ret, bool *damaged);
/* Opens what is to be read and selects; selector text NULL is all. -ENOENT with a message if none matches. */
int query_open(const struct query_source *source, const char *selector,
	struct history **ret_history, struct picks *ret_picks, struct errmsg *e);
/* -EINVAL with a message if there is no bucket of a histogram among the picks. */
int query_need_buckets(const struct picks *picks, struct errmsg *e);
/* Takes gauges out, which have no rate. -EINVAL with a message if nothing is left. */
int query_keep_counters(struct picks *picks, struct errmsg *e);

#endif
