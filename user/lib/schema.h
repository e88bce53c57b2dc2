/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metrics, series and groups: what a row of numbers means.
 *
 * A group is the series that are polled together; they share one time column. A schema is one
 * generation of a group's list of series. It is sent once, and rows refer to it by its id.
 *
 * Values are 64-bit words. What a word means is its series' kind; what a person sees is
 * value x 10^scale, so that nanoseconds are stored as integers and shown as seconds, exactly.
 */
#ifndef TALLY_USER_LIB_SCHEMA_H
#define TALLY_USER_LIB_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/lib/buf.h"
#include "user/lib/err.h"

/* The numbers below are part of the wire and file formats: never change one. */
enum metric_type {
	METRIC_COUNTER = 1, /* never goes down but at a reset that is marked as one */
	METRIC_GAUGE = 2,
	METRIC_HISTOGRAM = 3,
};

enum value_kind {
	VALUE_U64 = 1,
	VALUE_I64 = 2,
	VALUE_F64 = 3, /* the bits of an IEEE 754 double */
};

/* Which part of its metric a series is. */
enum series_part {
	SERIES_VALUE = 0, /* counter or gauge */
	SERIES_BUCKET = 1, /* one histogram bucket's own count, not cumulative; has a label le */
	SERIES_SUM = 2, /* a histogram's sum */
};

#define SCHEMA_SERIES_MAX (1u << 20) /* series in a group */
#define SCHEMA_NAME_MAX   255u /* bytes of a metric's or group's name */
#define SCHEMA_LABELS_MAX 4096u /* bytes of the label text */
#define SCHEMA_HELP_MAX   1024u

struct series {
	char *name; /* metric family, [a-zA-Z_:][a-zA-Z0-9_:]*, without _total, _bucket, _sum */
	char *labels; /* canonical: name="value",... sorted by name, OpenMetrics escapes; "" if none */
	char *unit; /* "seconds", "bytes", ... or "" */
	char *help;
	uint8_t type; /* enum metric_type */
	uint8_t kind; /* enum value_kind */
	uint8_t part; /* enum series_part */
	int8_t scale; /* -18 .. 18; 0 for VALUE_F64 */
};

struct schema {
	uint32_t id; /* unique within an incarnation; drawn by the writer of the stream, from 1 */
	uint32_t interval_ms; /* how often the group is meant to be polled */
	uint64_t start_ns; /* realtime since when its counters count; another value is a reset */
	char *group;
	size_t n;
	struct series *series;
};

/* Frees what s points to, not s. Safe on a zeroed one. */
void schema_release(struct schema *s);
int schema_copy(struct schema *to, const struct schema *from);
/* Appends a series; all strings are copied. -EPROTO if the name or labels are malformed. */
int schema_add(struct schema *s, const struct series *copy_from);
/* The same with labels of these n names and values (labels_format()), whatever copy_from->labels is. */
int schema_add_labelled(struct schema *s, const struct series *copy_from, size_t n,
	const char *const *names, const char *const *values);
/* Removes the series from index n on. */
void schema_shorten(struct schema *s, size_t n);
bool schema_equal_shape(const struct schema *a, const struct schema *b); /* all but id */

/* The protobuf message tally.Schema of user/lib/wire.proto. */
int schema_encode(const struct schema *s, struct buf *out);
int schema_decode(const uint8_t *p, size_t n, struct schema *ret);

/* Canonical label text from pairs (n names, n values): sorted, escaped. -EPROTO for a bad name. */
int labels_format(struct buf *out, size_t n, const char *const names[], const char *const values[]);
/*
 * Canonical text with n pairs more, in its order. -EEXIST if it has one of these names; -E2BIG if it gets too
 * long, or n is above LABELS_ADD_MAX.
 */
#define LABELS_ADD_MAX 8u
int labels_add(struct buf *out, const char *labels, size_t n, const char *const names[],
	const char *const values[]);
/* Value of label `name` in canonical text, unescaped into out (size bytes); -ENOENT if absent. */
int labels_get(const char *labels, const char *name, char *out, size_t size);
bool metric_name_valid(const char *name);
/* Valid UTF-8 without control characters, which would reach terminals and pages otherwise. */
bool text_valid(const char *s, size_t n);
/* Makes it so: of text that is not valid every byte that is not printable ASCII becomes '?'. */
void text_make_valid(char *s);

/*
 * OpenMetrics sample name and labels, as people type and see it:
 * http_requests_total{program="x"}, sched_runq_latency_seconds_bucket{le="0.001"}.
 */
void series_print(const struct series *s, struct buf *out);
/* The sample's name alone (with _total, _bucket, _sum), into out; returns its length. */
size_t series_sample_name(const struct series *s, char *out, size_t size);
/*
 * value x 10^scale as exact decimal text (doubles: shortest that reads back the same; NaN, +Inf,
 * -Inf). size >= 64. Returns the length.
 */
size_t value_format(uint64_t value, uint8_t kind, int8_t scale, char *out, size_t size);
double value_to_double(uint64_t value, uint8_t kind, int8_t scale);

#endif
