/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * History, measured on a recorded host (tests/data/partA, or the trace that is named): the trace goes
 * the real way, from the provider's writer through append and sync at every poll into a head, is
 * sealed, and is read back and compared, sample by sample.
 *
 * Series of a group that were there at the same polls are a group here: a real producer would have
 * changed its schema where the others came and went.
 */
#include <ctype.h>
#include <dirent.h>

#include "gatherer/store/store.h"
#include "tests/bench/bench.h"
#include "tests/lib/testdir.h"
#include "tests/lib/trace.h"
#include "user/lib/util.h"

#define NEAR_MS    500 /* groups polled within this are one snapshot */
#define READ_ALONE 200 /* how many series are read alone */
#define NODE_NAME  "host"
#define HEAD_BYTES (64u << 20) /* of a head that is opened */
#define CHECK(x)                                                                        \
	do {                                                                            \
		if (!(x)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x); \
			exit(1);                                                        \
		}                                                                       \
	} while (0)

/* Series with one list of polls: a group of the provider. */
struct part {
	uint32_t trace_group, npolls, next;
	const uint32_t *polls;
	size_t n;
	uint32_t *series; /* of the trace */
	struct group group;
};

struct run {
	struct trace trace;
	size_t nparts;
	struct part *parts;
	char dir[PATH_MAX];
	struct store *store;
	uint32_t node;
	struct stream_writer *writer;
	struct buf records; /* all that were made */
	uint64_t append_ns, sync_ns;
};

/* --- groups --------------------------------------------------------------------------------- */

static struct part *find_part(struct run *r, const struct trace_series *s)
{
	struct part *p;

	for (size_t i = 0; i < r->nparts; i++) {
		p = &r->parts[i];
		if (p->trace_group == s->group && p->npolls == s->n &&
			memcmp(p->polls, s->polls, s->n * sizeof(*s->polls)) == 0)
			return p;
	}
	p = &r->parts[r->nparts++];
	*p = (struct part){.trace_group = s->group, .npolls = s->n, .polls = s->polls};
	p->series = calloc(r->trace.nseries, sizeof(*p->series));
	return p;
}

static void add_series(struct part *p, const struct trace_series *s, uint32_t id)
{
	char name[SCHEMA_NAME_MAX + 1], labels[32] = "";
	struct series x = {.name = name, .labels = labels, .unit = "", .help = ""};

	snprintf(name, sizeof(name), "%s", s->name);
	for (char *c = name; *c; c++) {
		if (isalnum((unsigned char)*c) || *c == '_')
			continue;
		if (*c != '.') /* names that differ only here must stay apart */
			snprintf(labels, sizeof(labels), "id=\"%u\"", id);
		*c = '_';
	}
	x.type = s->is_gauge ? METRIC_GAUGE : METRIC_COUNTER;
	x.kind = s->is_double ? VALUE_F64 : s->is_gauge ? VALUE_I64 : VALUE_U64;
	CHECK(schema_add(&p->group.schema, &x) == 0);
	p->series[p->n++] = id;
}

static void make_parts(struct run *r)
{
	r->parts = calloc(r->trace.nseries, sizeof(*r->parts));
	for (uint32_t i = 0; i < r->trace.nseries; i++)
		add_series(find_part(r, &r->trace.series[i]), &r->trace.series[i], i);
	for (size_t i = 0; i < r->nparts; i++) {
		struct part *p = &r->parts[i];
		char name[64];

		snprintf(name, sizeof(name), "%s#%zu", r->trace.groups[p->trace_group].name, i);
		p->group.schema.group = strdup(name);
		p->group.schema.interval_ms = 1000;
		p->group.schema.start_ns = 1;
		p->group.version = 1;
		p->group.values = calloc(p->n, sizeof(*p->group.values));
	}
}

/* When the part is due next; INT64_MAX at its end. */
static int64_t due_ms(const struct run *r, const struct part *p)
{
	return p->next < p->npolls ? r->trace.groups[p->trace_group].ms[p->polls[p->next]]
				   : INT64_MAX;
}

static int64_t next_ms(const struct run *r)
{
	int64_t ms = INT64_MAX;

	for (size_t i = 0; i < r->nparts; i++)
		ms = due_ms(r, &r->parts[i]) < ms ? due_ms(r, &r->parts[i]) : ms;
	return ms;
}

static size_t fill_due(struct run *r, int64_t now_ms, struct group_due *due)
{
	size_t n = 0;

	for (size_t i = 0; i < r->nparts; i++) {
		struct part *p = &r->parts[i];
		int64_t ms = due_ms(r, p);

		if (ms >= now_ms + NEAR_MS)
			continue;
		for (size_t k = 0; k < p->n; k++)
			p->group.values[k] = r->trace.series[p->series[k]].values[p->next];
		p->next++;
		due[n++] =
			(struct group_due){&p->group, (uint64_t)(ms - now_ms) * NSEC_PER_MSEC, 0};
	}
	return n;
}

/* --- writing -------------------------------------------------------------------------------- */

/* The records from `from` on. */
static void append(struct run *r, struct store *store, uint32_t node, size_t from)
{
	struct recscan scan = {.data = r->records.data, .len = r->records.len, .pos = from};
	struct snapshot_view view;
	struct record rec;

	while (recscan_next(&scan, &rec) == 1)
		CHECK(store_append(store, node, &rec, &view) > 0);
}

static void write_all_polls(struct run *r)
{
	struct group_due *due = calloc(r->nparts, sizeof(*due));
	uint64_t seq, t0, t1;
	int64_t ms;

	while ((ms = next_ms(r)) != INT64_MAX) {
		size_t n = fill_due(r, ms, due), from = r->records.len;

		CHECK(stream_writer_snapshot(r->writer, ms * (int64_t)NSEC_PER_MSEC,
			      (uint64_t)ms * NSEC_PER_MSEC - (1ull << 60), due, n, &r->records,
			      &seq) == 0);
		t0 = clock_monotonic_ns();
		append(r, r->store, r->node, from);
		t1 = clock_monotonic_ns();
		CHECK(store_sync(r->store) == 0);
		r->append_ns += t1 - t0;
		r->sync_ns += clock_monotonic_ns() - t1;
	}
	free(due);
}

static uint64_t directory_bytes(const char *dir)
{
	uint64_t sum = 0;
	DIR *d = opendir(dir);
	struct dirent *e;
	struct stat st;

	CHECK(d);
	while ((e = readdir(d)))
		if (fstatat(dirfd(d), e->d_name, &st, 0) == 0 && S_ISREG(st.st_mode))
			sum += (uint64_t)st.st_size;
	closedir(d);
	return sum;
}

/* --- reading -------------------------------------------------------------------------------- */

struct reading {
	const struct run *run;
	const struct trace_series *s;
	const struct trace_group *g;
	uint32_t next;
};

static int compare_sample(void *arg, const struct series *def, const struct sample *got)
{
	struct reading *c = arg;

	(void)def;
	CHECK(c->next < c->s->n);
	CHECK(got->value == c->s->values[c->next]);
	CHECK(got->realtime_ns == c->g->ms[c->s->polls[c->next]] * (int64_t)NSEC_PER_MSEC);
	c->next++;
	return 0;
}

/* Which of the trace's series it is: the part is in the group's name, the place in the schema. */
static const struct trace_series *trace_series_of(
	const struct run *r, const struct history_series *hs)
{
	const struct part *p = &r->parts[strtoul(strchr(hs->group, '#') + 1, NULL, 10)];

	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->group.schema.series[i].name, hs->def->name) == 0 &&
			strcmp(p->group.schema.series[i].labels, hs->def->labels) == 0)
			return &r->trace.series[p->series[i]];
	return NULL;
}

static void compare_all(const struct run *r, struct history *h)
{
	CHECK(history_series_count(h) == r->trace.nseries);
	for (size_t i = 0; i < history_series_count(h); i++) {
		const struct history_series *hs = history_series(h, i);
		struct reading c = {.run = r, .s = trace_series_of(r, hs)};

		CHECK(c.s);
		c.g = &r->trace.groups[c.s->group];
		CHECK(history_read(h, hs->id, INT64_MIN, INT64_MAX, compare_sample, &c) == 0);
		CHECK(c.next == c.s->n);
	}
}

static int add_up(void *arg, const struct series *def, const struct sample *got)
{
	(void)def;
	*(uint64_t *)arg += got->value;
	return 0;
}

static struct history *open_history(const struct run *r)
{
	struct history *h;
	struct errmsg e;

	if (history_open(r->dir, &h, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		exit(1);
	}
	return h;
}

/* Seconds to read every series, in order. */
static double read_all(struct history *h)
{
	uint64_t began = clock_monotonic_ns(), sum = 0;

	for (size_t i = 0; i < history_series_count(h); i++)
		CHECK(history_read(h, history_series(h, i)->id, INT64_MIN, INT64_MAX, add_up,
			      &sum) == 0);
	return (double)(clock_monotonic_ns() - began) / 1e9;
}

/* Microseconds of one series, with nothing decoded before: each time another bundle. */
static void read_alone(struct bench *b, const struct run *r, const char *name)
{
	struct history *h = open_history(r);
	size_t n = history_series_count(h);
	double us[READ_ALONE];
	uint64_t sum = 0;

	for (size_t i = 0; i < READ_ALONE; i++) {
		uint32_t id = (uint32_t)(i * 769 % n);
		uint64_t began = clock_monotonic_ns();

		CHECK(history_read(h, id, INT64_MIN, INT64_MAX, add_up, &sum) == 0);
		us[i] = (double)(clock_monotonic_ns() - began) / 1e3;
	}
	bench_samples(b, name, "us", us, READ_ALONE);
	history_close(h);
}

/* --- a full head of many hosts -------------------------------------------------------------- */

static void open_many(struct bench *b, struct run *r)
{
	struct store_options never = {.head_bytes = 1ull << 40};
	uint64_t began, bytes = 0;
	struct store_stats stats;
	struct store *store;
	struct history *h;
	struct errmsg e;
	double samples;

	test_dir_remove(r->dir);
	CHECK(store_open(r->dir, &never, &store, &e) == 0);
	for (uint8_t i = 0; bytes < HEAD_BYTES && i < 255; i++) {
		uint8_t id[32] = {i};
		uint32_t node;

		CHECK(store_node(store, id, NODE_NAME, &node) == 0);
		append(r, store, node, 0);
		bytes += r->records.len;
	}
	store_stats(store, &stats);
	samples = (double)stats.samples;
	CHECK(store_close(store) == 0);
	began = clock_monotonic_ns();
	CHECK(store_open(r->dir, &never, &store, &e) == 0);
	bench_value(b, "writer opens a head of 64 MiB", "s",
		(double)(clock_monotonic_ns() - began) / 1e9);
	bench_at_most(b, 1);
	began = clock_monotonic_ns();
	h = open_history(r);
	bench_value(b, "reader opens it", "s", (double)(clock_monotonic_ns() - began) / 1e9);
	history_close(h);
	CHECK(store_seal(store, &e) == 0);
	store_stats(store, &stats);
	bench_value(b, "seal it", "M samples/s", samples * 1e3 / (double)stats.seal_ns);
	began = clock_monotonic_ns();
	h = open_history(r);
	bench_value(
		b, "reader opens it, sealed", "s", (double)(clock_monotonic_ns() - began) / 1e9);
	history_close(h);
	CHECK(store_close(store) == 0);
}

/* --- the whole ------------------------------------------------------------------------------ */

static void begin(struct run *r, const char *path)
{
	struct incarnation inc = {.id = 1, .start_ns = 1, .boot_id = {1}};
	uint8_t id[32] = {1};
	struct errmsg e;

	r->trace = trace_read(path);
	make_parts(r);
	test_dir_make(r->dir, "bench-history");
	r->writer = stream_writer_new(&inc);
	CHECK(store_open(r->dir, NULL, &r->store, &e) == 0);
	CHECK(store_node(r->store, id, NODE_NAME, &r->node) == 0);
}

static void end(struct run *r)
{
	test_dir_remove(r->dir);
	buf_release(&r->records);
	stream_writer_free(r->writer);
	for (size_t i = 0; i < r->nparts; i++) {
		group_release(&r->parts[i].group);
		free(r->parts[i].series);
	}
	free(r->parts);
	trace_release(&r->trace);
}

int main(int argc, char **argv)
{
	struct bench b = {
		.name = "history",
		.unit = "bytes",
		.about = "18 minutes of one host at 1 s: 1,946 series, 2.0 million samples",
	};
	struct run r = {0};
	struct store_stats stats;
	struct history *h;
	struct errmsg e;
	double samples, seconds[5];

	begin(&r, argc > 1 ? argv[1] : "tests/data/partA.trc.xz");
	samples = (double)r.trace.nsamples;
	write_all_polls(&r);
	bench_value(&b, "head, bytes per sample", NULL, (double)directory_bytes(r.dir) / samples);
	bench_value(&b, "append, a core", "M samples/s", samples * 1e3 / (double)r.append_ns);
	bench_value(&b, "append and sync at every poll", "M samples/s",
		samples * 1e3 / (double)(r.append_ns + r.sync_ns));
	read_alone(&b, &r, "one series of the head");
	CHECK(store_seal(r.store, &e) == 0);
	store_stats(r.store, &stats);
	bench_value(&b, "sealed, bytes per sample, every byte of the directory", NULL,
		(double)directory_bytes(r.dir) / samples);
	bench_at_most(&b, 0.40);
	bench_value(&b, "of these: the sealed file", NULL, (double)stats.sealed_bytes / samples);
	bench_value(&b, "seal", "M samples/s", samples * 1e3 / (double)stats.seal_ns);
	read_alone(&b, &r, "one series, sealed");
	h = open_history(&r);
	compare_all(&r, h);
	for (size_t i = 0; i < 5; i++)
		seconds[i] = samples / 1e6 / read_all(h);
	bench_samples(&b, "all series, one after the other", "M samples/s", seconds, 5);
	history_close(h);
	CHECK(store_close(r.store) == 0);
	open_many(&b, &r);
	end(&r);
	return bench_write(&b);
}
