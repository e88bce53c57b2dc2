/* SPDX-License-Identifier: MIT */
/*
 * How the macros of tally.h make a definition: a descriptor in the section tally2_desc of its object, from
 * where the linker brings all of them together. What a histogram's range comes to is computed here,
 * by the compiler.
 */
#ifndef TALLY_DEFINE_H
#define TALLY_DEFINE_H

#include <tally/layout.h>

/* aligned(8) because a compiler may align large objects more, and the section must have no gaps. */
#define TALLY_PLACE_ \
	__attribute__((__visibility__("hidden"), __section__("tally2_desc"), __aligned__(8)))
#define TALLY_HOME_PLACE_ \
	__attribute__((__visibility__("hidden"), __section__("tally2_cells"), __aligned__(8)))
#define TALLY_EXTERN_(kind, symbol) extern struct kind symbol TALLY_PLACE_
#define TALLY_EXTERN_COUNTER_(symbol)         \
	TALLY_EXTERN_(tally_counter, symbol); \
	extern struct tally_home_ symbol##_home_ TALLY_HOME_PLACE_

/* Of arguments "help" or "help", labels: the first, and the labels or "". */
#define TALLY_HELP_(...)            TALLY_FIRST_(__VA_ARGS__, 0)
#define TALLY_FIRST_(a, ...)        a
#define TALLY_LABELS_OF_(...)       TALLY_SECOND_(__VA_ARGS__, "", 0)
#define TALLY_SECOND_(a, b, ...)    b
#define TALLY_VALUES_(a, b, c, ...) (a), (b), (c)

/* TALLY_LABELS: the macro for so many pairs. */
#define TALLY_PAIRS_(a, b, c, d, e, f, g, h, n, ...) TALLY_PAIRS_##n##_
#define TALLY_PAIR_(name, value)                     "" name TALLY_LABEL_VALUE value TALLY_LABEL_END
#define TALLY_PAIRS_1_(a, b)                         TALLY_PAIR_(a, b)
#define TALLY_PAIRS_2_(a, b, c, d)                   TALLY_PAIR_(a, b) TALLY_PAIR_(c, d)
#define TALLY_PAIRS_3_(a, b, c, d, e, f)             TALLY_PAIR_(a, b) TALLY_PAIR_(c, d) TALLY_PAIR_(e, f)
#define TALLY_PAIRS_4_(a, b, c, d, e, f, g, h) \
	TALLY_PAIR_(a, b) TALLY_PAIR_(c, d) TALLY_PAIR_(e, f) TALLY_PAIR_(g, h)

/* --- the range of a histogram --------------------------------------------------------------- */

/* The greatest power of two that is not above v, the smallest that is not below; lo of 0 is -1. */
#define TALLY_LO_(v) ((v) == 0 ? -1 : 63 - __builtin_clzll((unsigned long long)(v) | 1u))
#define TALLY_HI_(v) ((v) <= 1 ? 0 : 64 - __builtin_clzll(((unsigned long long)(v)-1u) | 1u))
/* Buckets of a power of two for an error in percent. */
#define TALLY_BITS_(error)                \
	((error) >= 50               ? 1u \
		: (error) >= 25      ? 2u \
		: (error) >= 12.5    ? 3u \
		: (error) >= 6.25    ? 4u \
		: (error) >= 3.125   ? 5u \
		: (error) >= 1.5625  ? 6u \
		: (error) >= 0.78125 ? 7u \
				     : 8u)
#define TALLY_LOW_(min)       ((min) == 0 ? UINT64_C(0) : UINT64_C(1) << TALLY_LO_((min) + ((min) == 0)))
#define TALLY_SPAN_(min, max) ((UINT64_C(1) << TALLY_HI_(max)) - TALLY_LOW_(min))
#define TALLY_CELLS_(min, max, error) \
	(1u + TALLY_HISTOGRAM_BUCKETS_OF(TALLY_LO_(min), TALLY_HI_(max), TALLY_BITS_(error)))
#define TALLY_BIAS_(min, error) (TALLY_HISTOGRAM_BOUNDS(TALLY_LO_(min), TALLY_BITS_(error)) - 1u)

/* The last members of struct tally_desc_, from low on, without and with a range. */
#define TALLY_PLAIN_(type, scale, flags, cells, slots, nnames)                               \
	0, 0, 0, 0, (cells), (slots), 0, (uint8_t)(type), (int8_t)(scale), (uint8_t)(flags), \
		TALLY_CHECKED_, 0, 0, 0, (uint8_t)(nnames)
#define TALLY_RANGE_(scale, slots, nnames, min, max, error)                               \
	TALLY_LOW_(min), TALLY_SPAN_(min, max), TALLY_BIAS_(min, error), 0,               \
		TALLY_CELLS_(min, max, error), (slots), 0, (uint8_t)TALLY_TYPE_HISTOGRAM, \
		(int8_t)(scale), 0, TALLY_CHECKED_, (int8_t)TALLY_LO_(min),               \
		(uint8_t)TALLY_HI_(max), (uint8_t)TALLY_BITS_(error), (uint8_t)(nnames)

#define TALLY_CHECK_RANGE_(min, max)                                                            \
	TALLY_STATIC_ASSERT(                                                                    \
		(min) < (max) && (max) <= UINT64_C(1) << 63 && TALLY_LO_(min) < TALLY_HI_(max), \
		"tally: a histogram's range goes from min (0 or more) to a larger max")

/* --- definitions ---------------------------------------------------------------------------- */

#define TALLY_HEAD_(kind, type, symbol, name, unit)                       \
	TALLY_CHECK_NAME_(type, "" name, "" unit);                        \
	extern struct kind symbol TALLY_PLACE_ __attribute__((__weak__)); \
	struct kind symbol __attribute__((__used__))

#define TALLY_DEFINE_(kind, type, symbol, name, unit, scale, flags, ...)                         \
	TALLY_HEAD_(kind, type, symbol, name, unit) = {{&symbol.desc_, 0, "" name,               \
		"" TALLY_HELP_(__VA_ARGS__), "" unit, TALLY_LABELS_OF_(__VA_ARGS__), 0, 0, 0, 0, \
		0, 0, 0, TALLY_PLAIN_(type, scale, flags, (type) != TALLY_TYPE_INFO, 0, 0)}}

#define TALLY_DEFINE_COUNTER_(symbol, name, unit, scale, ...)                                      \
	extern struct tally_home_ symbol##_home_ TALLY_HOME_PLACE_ __attribute__((__weak__));      \
	struct tally_home_ symbol##_home_ __attribute__((__used__)) = {0};                         \
	TALLY_HEAD_(tally_counter, TALLY_TYPE_COUNTER, symbol, name, unit) = {                     \
		{&symbol.desc_, &symbol##_home_.n_, "" name, "" TALLY_HELP_(__VA_ARGS__), "" unit, \
			TALLY_LABELS_OF_(__VA_ARGS__), 0, 0, 0, 0, 0, 0, 0,                        \
			TALLY_PLAIN_(TALLY_TYPE_COUNTER, scale, 0, 1, 0, 0)}}

#define TALLY_DEFINE_HISTOGRAM_(kind, symbol, name, unit, scale, min, max, error, ...)             \
	TALLY_CHECK_RANGE_(min, max);                                                              \
	TALLY_HEAD_(kind, TALLY_TYPE_HISTOGRAM, symbol, name, unit) = {{&symbol.desc_, 0, "" name, \
		"" TALLY_HELP_(__VA_ARGS__), "" unit, TALLY_LABELS_OF_(__VA_ARGS__), 0, 0, 0, 0,   \
		0, 0, 0, TALLY_RANGE_(scale, 0, 0, min, max, error)}}

#define TALLY_COUNT_(array) (sizeof(array) / sizeof((array)[0]))

#define TALLY_DEFINE_SET_(symbol, name, help, label, ...)                                       \
	static const char *const symbol##_names_[] = {"" label};                                \
	static const char *const symbol##_values_[] = {__VA_ARGS__};                            \
	TALLY_HEAD_(tally_counters, TALLY_TYPE_COUNTER, symbol, name, "") = {{&symbol.desc_, 0, \
		"" name, "" help, "", "", symbol##_names_, symbol##_values_, 0, 0, 0, 0, 0,     \
		TALLY_PLAIN_(TALLY_TYPE_COUNTER, 0, 0, 1,                                       \
			(uint32_t)(1 + TALLY_COUNT_(symbol##_values_)), 1)}}

#define TALLY_NAMES_(symbol, max, ...)                                                 \
	TALLY_STATIC_ASSERT((max) >= 1 && (max) <= 65535, "tally: 1 to 65535 series"); \
	static const char *const symbol##_names_[] = {__VA_ARGS__};                    \
	TALLY_STATIC_ASSERT(TALLY_COUNT_(symbol##_names_) <= 3, "tally: at most three labels")

#define TALLY_DEFINE_BY_(kind, type, symbol, name, unit, scale, cells, tail, help, max, ...) \
	TALLY_NAMES_(symbol, max, __VA_ARGS__);                                              \
	TALLY_HEAD_(kind, type, symbol, name, unit) = {{&symbol.desc_, 0, "" name, "" help,  \
		"" unit, "", symbol##_names_, 0, 0, 0, 0, 0, 0,                              \
		tail(type, scale, 0, cells, (max) + 1u, TALLY_COUNT_(symbol##_names_))}}

#define TALLY_DEFINE_HISTOGRAM_BY_(                                                                \
	symbol, name, unit, scale, min, max, error, help, max_series, ...)                         \
	TALLY_CHECK_RANGE_(min, max);                                                              \
	TALLY_NAMES_(symbol, max_series, __VA_ARGS__);                                             \
	TALLY_HEAD_(tally_histograms, TALLY_TYPE_HISTOGRAM, symbol, name, unit) = {{&symbol.desc_, \
		0, "" name, "" help, "" unit, "", symbol##_names_, 0, 0, 0, 0, 0, 0,               \
		TALLY_RANGE_(scale, (max_series) + 1u, TALLY_COUNT_(symbol##_names_), min, max,    \
			error)}}

/* --- scopes --------------------------------------------------------------------------------- */

#define TALLY_GLUE_(a, b)  a##b
#define TALLY_GLUE2_(a, b) TALLY_GLUE_(a, b)
#define TALLY_TIME_SCOPE_(symbol, weight)                                    \
	struct tally_scope_ TALLY_GLUE2_(tally_scope_, __COUNTER__)          \
		__attribute__((__cleanup__(tally_scope_end_), __unused__)) = \
			tally_scope_begin_(&symbol, weight)

#endif
