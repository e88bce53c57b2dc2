/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parsing and printing of times. */
#include "tools/timearg.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/lib/conf.h"
#include "user/lib/util.h"

#define SECONDS_MAX (INT64_MAX / (int64_t)NSEC_PER_SEC - 1)

/* ".25" at *p as nanoseconds; digits behind the ninth are dropped. */
static int64_t take_fraction(const char **p)
{
	int64_t ns = 0, unit = NSEC_PER_SEC / 10;

	if (**p != '.' || !isdigit((unsigned char)(*p)[1]))
		return 0;
	for ((*p)++; isdigit((unsigned char)**p); (*p)++) {
		ns += (**p - '0') * unit;
		unit /= 10;
	}
	return ns;
}

static int join(int64_t seconds, int64_t ns, int64_t *ret_ns)
{
	if (seconds > SECONDS_MAX || seconds < -SECONDS_MAX)
		return -EINVAL;
	*ret_ns = seconds * (int64_t)NSEC_PER_SEC + ns;
	return 0;
}

static int parse_relative(const char *text, int64_t now_ns, int64_t *ret_ns)
{
	uint64_t back;

	if (conf_parse_duration(text, &back) || back > INT64_MAX / 2)
		return -EINVAL;
	*ret_ns = now_ns - (int64_t)back;
	return 0;
}

static int parse_unix(const char *text, int64_t *ret_ns)
{
	char *end;
	const char *p;
	int64_t ns;
	long long seconds;

	errno = 0;
	seconds = strtoll(text, &end, 10);
	p = end;
	ns = take_fraction(&p);
	if (errno || *p)
		return -EINVAL;
	return join(seconds, ns, ret_ns);
}

/* "Z", "+01:00" or "" (local) at p. *ret_offset is in seconds east of Greenwich. */
static int parse_zone(const char *p, bool *ret_local, long *ret_offset)
{
	int hours, minutes, len = 0;

	*ret_offset = 0;
	*ret_local = !*p;
	if (!*p || !strcmp(p, "Z") || !strcmp(p, "z"))
		return 0;
	if ((*p != '+' && *p != '-') || !isdigit((unsigned char)p[1]) ||
		sscanf(p + 1, "%2d:%2d%n", &hours, &minutes, &len) != 2 || p[1 + len] || len != 5 ||
		hours > 23 || minutes > 59)
		return -EINVAL;
	*ret_offset = (*p == '-' ? -60L : 60L) * (hours * 60 + minutes);
	return 0;
}

static bool date_exists(const struct tm *given)
{
	struct tm tm = *given;

	timegm(&tm);
	return tm.tm_mday == given->tm_mday && tm.tm_hour == given->tm_hour;
}

static int parse_date(const char *text, int64_t *ret_ns)
{
	static const char *const forms[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S",
		"%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"};
	const char *p = NULL;
	struct tm tm;
	int64_t ns, seconds;
	bool local;
	long offset;

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]) && !p; i++) {
		memset(&tm, 0, sizeof(tm));
		p = strptime(text, forms[i], &tm);
	}
	if (!p || !date_exists(&tm))
		return -EINVAL;
	ns = take_fraction(&p);
	if (parse_zone(p, &local, &offset))
		return -EINVAL;
	tm.tm_isdst = -1;
	seconds = local ? mktime(&tm) : timegm(&tm) - offset;
	return join(seconds, ns, ret_ns);
}

int time_parse(const char *text, int64_t now_ns, int64_t *ret_ns)
{
	if (!strcmp(text, "now")) {
		*ret_ns = now_ns;
		return 0;
	}
	if (text[0] == '-')
		return parse_relative(text + 1, now_ns, ret_ns);
	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	return text[strspn(text, "0123456789")] == '-' ? parse_date(text, ret_ns)
						       : parse_unix(text, ret_ns);
}

/* Splits into whole seconds and the rest, which is never negative. */
static time_t split(int64_t ns, long *ret_rest)
{
	int64_t seconds = ns / (int64_t)NSEC_PER_SEC, rest = ns % (int64_t)NSEC_PER_SEC;

	if (rest < 0) {
		rest += NSEC_PER_SEC;
		seconds--;
	}
	*ret_rest = (long)rest;
	return seconds;
}

void time_format_utc(int64_t ns, char out[TIME_TEXT_MAX])
{
	long rest;
	time_t t = split(ns, &rest);
	struct tm tm;
	size_t len;

	gmtime_r(&t, &tm);
	len = strftime(out, TIME_TEXT_MAX, "%FT%T", &tm);
	snprintf(out + len, TIME_TEXT_MAX - len, ".%09ldZ", rest);
}

void time_format_local(int64_t ns, char out[TIME_TEXT_MAX])
{
	long rest;
	time_t t = split(ns, &rest);
	struct tm tm;
	size_t len;

	localtime_r(&t, &tm);
	len = strftime(out, TIME_TEXT_MAX, "%F %T", &tm);
	snprintf(out + len, TIME_TEXT_MAX - len, ".%03ld", rest / 1000000);
}

void time_format_unix(int64_t ns, char out[TIME_TEXT_MAX])
{
	uint64_t u = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;

	snprintf(out, TIME_TEXT_MAX, "%s%llu.%09llu", ns < 0 ? "-" : "",
		(unsigned long long)(u / NSEC_PER_SEC), (unsigned long long)(u % NSEC_PER_SEC));
}
