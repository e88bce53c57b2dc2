/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recorded traces for measuring (tests/data/NAME.trc.xz, unpacked by xz(1)). Little-endian:
 *
 *   "TRC1", u32 groups, u32 series
 *   per group:  u16 length, name; u32 polls; i64 milliseconds[polls]
 *   per series: u16 length, name; u8 kind (0 counter, 1 gauge); u8 type (0 int64, 1 double); u32 group;
 *               u32 n; u32 poll index[n]; 8-byte value[n]
 *
 * A program that can't read its trace ends here: these are files of our own.
 */
#ifndef TALLY_TESTS_LIB_TRACE_H
#define TALLY_TESTS_LIB_TRACE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/lib/buf.h"

struct trace_group {
	char *name;
	uint32_t npolls;
	int64_t *ms;
};

struct trace_series {
	char *name;
	uint8_t is_gauge, is_double;
	uint32_t group, n;
	uint32_t *polls;
	uint64_t *values;
};

struct trace {
	uint32_t ngroups, nseries;
	struct trace_group *groups;
	struct trace_series *series;
	uint64_t nsamples;
};

static inline void trace_unpack(const char *path, struct buf *out)
{
	char command[512];
	size_t got = 1;
	FILE *f;

	snprintf(command, sizeof(command), "xz -dc '%s'", path);
	f = popen(command, "r");
	while (f && got > 0) {
		uint8_t *p = buf_reserve(out, 1 << 20);

		got = p ? fread(p, 1, 1 << 20, f) : 0;
		out->len += got;
	}
	if (!f || pclose(f) != 0) {
		fprintf(stderr, "%s: cannot be unpacked; is xz installed?\n", path);
		exit(1);
	}
}

static inline char *trace_name(struct rd *r)
{
	size_t n = rd_u8(r);
	const uint8_t *p;

	n |= (size_t)rd_u8(r) << 8;
	p = rd_bytes(r, n);
	return p ? strndup((const char *)p, n) : NULL;
}

static inline void *trace_array(struct rd *r, uint32_t n, size_t size)
{
	const uint8_t *p = rd_bytes(r, n * size);
	void *copy = malloc(n * size + 1);

	if (p && copy)
		memcpy(copy, p, n * size);
	return copy;
}

static inline void trace_read_series(struct rd *r, struct trace_series *s)
{
	s->name = trace_name(r);
	s->is_gauge = rd_u8(r);
	s->is_double = rd_u8(r);
	s->group = rd_u32(r);
	s->n = rd_u32(r);
	s->polls = trace_array(r, s->n, sizeof(*s->polls));
	s->values = trace_array(r, s->n, sizeof(*s->values));
}

static inline struct trace trace_read(const char *path)
{
	struct buf b = BUF_INIT;
	struct trace t = {0};
	struct rd r;

	trace_unpack(path, &b);
	r = rd_init(b.data, b.len);
	rd_u32(&r);
	t.ngroups = rd_u32(&r);
	t.nseries = rd_u32(&r);
	if (b.len < 12 || memcmp(b.data, "TRC1", 4) != 0)
		r.failed = true;
	t.groups = calloc(r.failed ? 1 : t.ngroups, sizeof(*t.groups));
	t.series = calloc(r.failed ? 1 : t.nseries, sizeof(*t.series));
	for (uint32_t i = 0; i < t.ngroups && !r.failed; i++) {
		t.groups[i].name = trace_name(&r);
		t.groups[i].npolls = rd_u32(&r);
		t.groups[i].ms = trace_array(&r, t.groups[i].npolls, 8);
	}
	for (uint32_t i = 0; i < t.nseries && !r.failed; i++) {
		trace_read_series(&r, &t.series[i]);
		t.nsamples += t.series[i].n;
	}
	if (r.failed) {
		fprintf(stderr, "%s: not a trace\n", path);
		exit(1);
	}
	buf_release(&b);
	return t;
}

static inline void trace_release(struct trace *t)
{
	for (uint32_t i = 0; i < t->ngroups; i++) {
		free(t->groups[i].name);
		free(t->groups[i].ms);
	}
	for (uint32_t i = 0; i < t->nseries; i++) {
		free(t->series[i].name);
		free(t->series[i].polls);
		free(t->series[i].values);
	}
	free(t->groups);
	free(t->series);
}

#endif
