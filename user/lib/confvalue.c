/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values of options as text: whole numbers, sizes and times with units, yes and no, levels of the
 * log. Exact: a fraction is taken only if it is a whole number of the smallest unit.
 */
#include "user/lib/confvalue.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "user/lib/util.h"

/* value x unit; units[] end with a NULL name. */
struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit *find_unit(const struct unit *units, const char *name)
{
	for (; units->name; units++)
		if (!strcmp(units->name, name))
			return units;
	return NULL;
}

/* Digits with an optional fraction, exact: 1.5 of unit 1,000 is 1,500, and 1.0005 is refused. */
static int parse_amount(const char *text, const struct unit *units, uint64_t *ret)
{
	const char *p = text;
	uint64_t whole = 0, part = 0, divisor = 1, value;
	const struct unit *u;

	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
			__builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole))
			return -ERANGE;
	if (*p == '.') {
		for (p++; isdigit((unsigned char)*p); p++, divisor *= 10) {
			if (divisor >= 1000000000u)
				return -EINVAL;
			part = part * 10 + (uint64_t)(*p - '0');
		}
	}
	u = find_unit(units, p);
	if (!u)
		return -EINVAL;
	if (__builtin_mul_overflow(whole, u->factor, &value) ||
		__builtin_mul_overflow(part, u->factor, &part))
		return -ERANGE;
	if (part % divisor)
		return -EINVAL;
	if (__builtin_add_overflow(value, part / divisor, &value))
		return -ERANGE;
	*ret = value;
	return 0;
}

/* The first fitting entry is also how help shows a default, so the order matters. */
static const struct unit duration_units[] = {
	{"d", 86400 * NSEC_PER_SEC},
	{"h", 3600 * NSEC_PER_SEC},
	{"m", 60 * NSEC_PER_SEC},
	{"s", NSEC_PER_SEC},
	{"ms", NSEC_PER_MSEC},
	{"us", 1000},
	{"ns", 1},
	{"", NSEC_PER_SEC},
	{NULL, 0},
};

static const struct unit size_units[] = {
	{"G", 1u << 30},
	{"M", 1u << 20},
	{"K", 1u << 10},
	{"", 1},
	{NULL, 0},
};

static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

int conf_parse_duration(const char *text, uint64_t *ret_ns)
{
	return parse_amount(text, duration_units, ret_ns);
}

int conf_parse_size(const char *text, uint64_t *ret_bytes)
{
	return parse_amount(text, size_units, ret_bytes);
}

int conf_parse_number(const char *text, uint64_t *ret)
{
	return parse_amount(text, no_units, ret);
}

int conf_parse_bool(const char *text, bool *ret)
{
	static const char *const words[] = {"no", "yes", "false", "true", "0", "1"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcasecmp(text, words[i])) {
			*ret = i % 2;
			return 0;
		}
	}
	return -EINVAL;
}

int conf_parse_level(const char *text, enum diag_level *ret)
{
	static const struct {
		const char *name;
		enum diag_level level;
	} levels[] = {{"error", DIAG_ERROR}, {"warning", DIAG_WARNING}, {"notice", DIAG_NOTICE},
		{"info", DIAG_INFO}, {"debug", DIAG_DEBUG}};

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (!strcmp(text, levels[i].name)) {
			*ret = levels[i].level;
			return 0;
		}
	}
	return -EINVAL;
}

int conf_check_level(const char *value, struct errmsg *e)
{
	enum diag_level level;

	return conf_parse_level(value, &level) ? err_set(e, -EINVAL, "give " CONF_LEVELS) : 0;
}

int conf_check_not_empty(const char *value, struct errmsg *e)
{
	return value[0] ? 0 : err_set(e, -EINVAL, "it must not be empty");
}

void conf_format_number(const struct conf_option *o, uint64_t v, char *out, size_t size)
{
	const struct unit *u = o->type == CONF_DURATION ? duration_units : size_units;

	while (u->factor > 1 && v % u->factor)
		u++;
	snprintf(out, size, "%llu%s", (unsigned long long)(v / u->factor), u->name);
}
