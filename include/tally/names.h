/* SPDX-License-Identifier: MIT */
/*
 * Which names of metrics, units and labels are good: those of OpenMetrics, and no others.
 *
 * C++ asks at compile time. So does gcc in C, as far as it folds string functions in constant
 * expressions; what is left is asked when the object attaches, and refused with a message.
 */
#ifndef TALLY_NAMES_H
#define TALLY_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include <tally/segment.h>
#include <tally/system.h>

TALLY_BEGIN_

#ifdef __cplusplus
#define TALLY_CONST_FN_                                      \
	__attribute__((__visibility__("hidden"), __unused__, \
		__no_instrument_function__)) constexpr inline
#else
#define TALLY_CONST_FN_ TALLY_FN_
#endif

/* What is wrong with a metric; 0: nothing. */
enum tally_wrong_ {
	TALLY_GOOD_ = 0,
	TALLY_BAD_NAME_,
	TALLY_OWN_NAME_,
	TALLY_BAD_SUFFIX_,
	TALLY_BAD_UNIT_,
	TALLY_BAD_LABEL_,
	TALLY_LONG_LABEL_,
	TALLY_TOO_MUCH_,
	TALLY_UNCHECKED_ = 255, /* the compiler has not looked at the name */
};

TALLY_CONST_FN_ size_t tally_length_(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

TALLY_CONST_FN_ int tally_ends_(const char *s, const char *end)
{
	size_t n = tally_length_(s), m = tally_length_(end);

	if (m > n)
		return 0;
	for (size_t i = 0; i < m; i++)
		if (s[n - m + i] != end[i])
			return 0;
	return 1;
}

TALLY_CONST_FN_ int tally_begins_(const char *s, const char *with)
{
	for (; *with; s++, with++)
		if (*s != *with)
			return 0;
	return 1;
}

/* Letters, digits and _; in a metric's name also colons. No digit comes first. */
TALLY_CONST_FN_ int tally_is_name_(const char *s, size_t n, int colons)
{
	for (size_t i = 0; i < n; i++) {
		char c = s[i];
		int letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
			     (colons && c == ':');

		if (!letter && !(i > 0 && c >= '0' && c <= '9'))
			return 0;
	}
	return n > 0;
}

/* The suffixes are added where a metric is shown; the unit is the end of the name. */
TALLY_CONST_FN_ int tally_name_wrong_(const char *name, const char *unit, int type)
{
	size_t n = tally_length_(name), u = tally_length_(unit);

	if (!tally_is_name_(name, n, 1) || n > TALLY_SEGMENT_NAME_MAX)
		return TALLY_BAD_NAME_;
	if (tally_begins_(name, "tally_") || tally_begins_(name, "tallyd_"))
		return TALLY_OWN_NAME_;
	if ((type == TALLY_TYPE_COUNTER && tally_ends_(name, "_total")) ||
		(type == TALLY_TYPE_INFO && tally_ends_(name, "_info")) ||
		tally_ends_(name, "_bucket"))
		return TALLY_BAD_SUFFIX_;
	if (u > 0 && (n < u + 2 || name[n - u - 1] != '_' || !tally_ends_(name, unit)))
		return TALLY_BAD_UNIT_;
	return TALLY_GOOD_;
}

TALLY_CONST_FN_ int tally_is_(const char *s, size_t n, const char *word)
{
	return tally_length_(word) == n && tally_begins_(s, word);
}

/* program, user and cgroup say whose a series is; le is a histogram's. */
TALLY_CONST_FN_ int tally_label_name_good_(const char *s, size_t n)
{
	return tally_is_name_(s, n, 0) && n < 64 && !(n > 1 && tally_begins_(s, "__")) &&
	       !tally_is_(s, n, "le") && !tally_is_(s, n, "program") && !tally_is_(s, n, "user") &&
	       !tally_is_(s, n, "cgroup");
}

/*
 * TALLY_CHECK_NAME_(type, name, unit): does not compile if they are wrong, in a constant expression's
 * words: clang has none for C.
 */
#if defined(__cplusplus)
#define TALLY_CHECKED_ TALLY_GOOD_
#define TALLY_CHECK_NAME_(type, name, unit)                                                 \
	static_assert(tally_name_wrong_(name, unit, type) != TALLY_BAD_NAME_ &&             \
			      tally_name_wrong_(name, unit, type) != TALLY_OWN_NAME_,       \
		"tally: not a metric name of OpenMetrics, or one that begins with tally_"); \
	static_assert(tally_name_wrong_(name, unit, type) != TALLY_BAD_SUFFIX_,             \
		"tally: _total, _info and _bucket are added where the metric is shown");    \
	static_assert(tally_name_wrong_(name, unit, type) != TALLY_BAD_UNIT_,               \
		"tally: OpenMetrics wants the unit at the end of the name, after a _")
#elif defined(__GNUC__) && !defined(__clang__)
#define TALLY_CHECKED_ TALLY_GOOD_
#define TALLY_LETTERS_ "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:"
#define TALLY_NAME_OK_(name)                                                               \
	(sizeof(name) - 1 <= TALLY_SEGMENT_NAME_MAX &&                                     \
		__builtin_strspn(name, TALLY_LETTERS_) > 0 &&                              \
		__builtin_strspn(name, TALLY_LETTERS_ "0123456789") == sizeof(name) - 1 && \
		__builtin_strncmp(name, "tally_", 6) != 0 &&                               \
		__builtin_strncmp(name, "tallyd_", 7) != 0)
#define TALLY_ENDS_(name, end)                                                                   \
	(sizeof(name) >= sizeof(end) &&                                                          \
		__builtin_strcmp(                                                                \
			(name) + (sizeof(name) >= sizeof(end) ? sizeof(name) - sizeof(end) : 0), \
			end) == 0)
#define TALLY_CHECK_NAME_(type, name, unit)                                                      \
	_Static_assert(TALLY_NAME_OK_(name),                                                     \
		"tally: not a metric name of OpenMetrics, or one that begins with tally_");      \
	_Static_assert(!((type) == TALLY_TYPE_COUNTER && TALLY_ENDS_(name, "_total")) &&         \
			       !((type) == TALLY_TYPE_INFO && TALLY_ENDS_(name, "_info")) &&     \
			       !TALLY_ENDS_(name, "_bucket"),                                    \
		"tally: _total, _info and _bucket are added where the metric is shown");         \
	_Static_assert(sizeof(unit) == 1 ||                                                      \
			       (sizeof(name) > sizeof("_" unit) && TALLY_ENDS_(name, "_" unit)), \
		"tally: OpenMetrics wants the unit at the end of the name, after a _")
#else
#define TALLY_CHECKED_                      TALLY_UNCHECKED_
#define TALLY_CHECK_NAME_(type, name, unit) TALLY_STATIC_ASSERT(sizeof(name) > 1, "tally: no name")
#endif

TALLY_END_

#endif
