/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Times as people type and read them. All are nanoseconds since 1970, exact. */
#ifndef TALLY_TOOLS_TIMEARG_H
#define TALLY_TOOLS_TIMEARG_H

#include <stddef.h>
#include <stdint.h>

#define TIME_TEXT_MAX 48

/*
 * "now", "-10m" (before now), "1763900000" or "1763900000.25" (Unix seconds),
 * "2026-11-23T14:00:00.5Z" (RFC 3339; with a blank for T, without seconds, time or zone too: local
 * time). -EINVAL.
 */
int time_parse(const char *text, int64_t now_ns, int64_t *ret_ns);
/* RFC 3339 in UTC with nine digits, for files. */
void time_format_utc(int64_t ns, char out[TIME_TEXT_MAX]);
/* Local time with milliseconds, for people. */
void time_format_local(int64_t ns, char out[TIME_TEXT_MAX]);
/* Unix seconds with nine digits: a JSON number. */
void time_format_unix(int64_t ns, char out[TIME_TEXT_MAX]);

#endif
