/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The producer "self": what the provider costs and how it is. It comes last, so that the figures of
 * the other producers are those of this very snapshot; its own are of the one before.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/lib/util.h"
#include "user/provider/link.h"
#include "user/provider/proc_scan.h"
#include "user/provider/provider.h"
#include "user/provider/segments.h"

struct self {
	struct provider *provider;
	struct group group;
	int statm;
	uint64_t page_size;
};

struct self_metric {
	const char *name, *unit, *help;
	uint8_t type;
	int8_t scale;
};

/* Per producer, in this order. */
static const struct self_metric per_producer[] = {
	{"tallyd_producer_polls", "", "Times that a producer was asked for its values",
		METRIC_COUNTER},
	{"tallyd_producer_errors", "", "Times that a producer could not give all of its values",
		METRIC_COUNTER},
	{"tallyd_producer_cpu_seconds", "seconds", "CPU time spent in a producer", METRIC_COUNTER,
		-9},
	{"tallyd_producer_series", "", "Series that a producer gave", METRIC_GAUGE},
	{"tallyd_producer_stream_bytes", "bytes",
		"What a producer's groups took of the stream to ring and gatherer", METRIC_COUNTER},
	{"tallyd_producer_open", "", "1 if the producer could be opened", METRIC_GAUGE},
	{"tallyd_producer_holds", "",
		"Times that a producer was stopped, being over its budget of CPU time",
		METRIC_COUNTER},
	{"tallyd_producer_held_seconds", "seconds",
		"How long a producer did not work, being over its budget of CPU time",
		METRIC_COUNTER, -9},
	{"tallyd_producer_coarse_seconds", "seconds",
		"How long a producer's programs looked at fewer events, having used half of what "
		"its budget lets it save",
		METRIC_COUNTER, -9},
};
#define PER_PRODUCER (sizeof(per_producer) / sizeof(per_producer[0]))

enum single {
	SELF_POLLS,
	SELF_SNAPSHOTS,
	SELF_WINDOW,
	SELF_CPU,
	SELF_RSS,
	SELF_RING_BYTES,
	SELF_RING_LIMIT,
	SELF_RING_FILES,
	SELF_RING_REMOVED,
	SELF_RING_ERRORS,
	SELF_RING_DAMAGE,
	SELF_SEGMENTS,
	SELF_SEGMENTS_LEFT_OUT,
	SELF_SEGMENT_PROGRAMS,
	SELF_SEGMENTS_FOLDED,
	SELF_FOLD_ERRORS,
	SELF_SEGMENTS_PUT_OFF,
	SELF_SEGMENTS_SHRUNK,
	SELF_SEGMENTS_REMOVED,
	SELF_METRIC_CONFLICTS,
	SELF_METRICS_BAD,
	SELF_METRICS_OVER_LIMIT,
	SELF_LABEL_OVERFLOWS,
	SELF_STARTS_REFUSED,
	SELF_SEGMENT_BYTES,
	SELF_SEGMENT_BYTES_FREE,
	SELF_SEGMENT_INODES_FREE,
	SELF_LINK_UP,
	SELF_LINK_CONNECTS,
	SELF_LINK_FAILURES,
	SELF_LINK_REFUSED,
	SELF_LINK_BYTES,
	SELF_LINK_RECORDS,
	SELF_LINK_LOST,
	SELF_SINGLES,
};

static const struct self_metric singles[SELF_SINGLES] = {
	[SELF_POLLS] = {"tallyd_polls", "", "Polls, by gatherers and by the provider itself",
		METRIC_COUNTER},
	[SELF_SNAPSHOTS] = {"tallyd_snapshots", "", "Snapshots taken before this one",
		METRIC_COUNTER},
	[SELF_WINDOW] = {"tallyd_snapshot_seconds", "seconds", "How long the last snapshot took",
		METRIC_GAUGE, -9},
	[SELF_CPU] = {"tallyd_cpu_seconds", "seconds", "CPU time of the provider", METRIC_COUNTER,
		-9},
	[SELF_RSS] = {"tallyd_resident_memory_bytes", "bytes", "Resident memory of the provider",
		METRIC_GAUGE},
	[SELF_RING_BYTES] = {"tallyd_ring_bytes", "bytes", "Size of the ring on disk",
		METRIC_GAUGE},
	[SELF_RING_LIMIT] = {"tallyd_ring_limit_bytes", "bytes", "What the ring may grow to",
		METRIC_GAUGE},
	[SELF_RING_FILES] = {"tallyd_ring_files", "", "Files of the ring", METRIC_GAUGE},
	[SELF_RING_REMOVED] = {"tallyd_ring_removed_files", "", "Files removed to keep the limit",
		METRIC_COUNTER},
	[SELF_RING_ERRORS] = {"tallyd_ring_errors", "", "Snapshots that could not be written",
		METRIC_COUNTER},
	[SELF_RING_DAMAGE] = {"tallyd_ring_damage_bytes", "bytes",
		"Damaged bytes of the ring that were cut or skipped", METRIC_COUNTER},
	[SELF_SEGMENTS] = {"tallyd_segments", "", "Segments that are read", METRIC_GAUGE},
	[SELF_SEGMENTS_LEFT_OUT] = {"tallyd_segments_left_out", "",
		"Segments that are not read, since there are too many", METRIC_GAUGE},
	[SELF_SEGMENT_PROGRAMS] = {"tallyd_segment_programs", "",
		"Programs with totals, running or not", METRIC_GAUGE},
	[SELF_SEGMENTS_FOLDED] = {"tallyd_segments_folded", "",
		"Segments of ended processes added to the total of their program", METRIC_COUNTER},
	[SELF_FOLD_ERRORS] = {"tallyd_fold_errors", "",
		"Times that folding failed; what waits is tried again", METRIC_COUNTER},
	[SELF_SEGMENTS_PUT_OFF] = {"tallyd_segment_reads_put_off", "",
		"Reads of segments that waited, since those of the user are too large",
		METRIC_COUNTER},
	[SELF_SEGMENTS_SHRUNK] = {"tallyd_segment_read_errors", "",
		"Times that a segment could not be read; its values before are used",
		METRIC_COUNTER},
	[SELF_SEGMENTS_REMOVED] = {"tallyd_segments_unfinished", "",
		"Unfinished segments removed, their makers being dead", METRIC_COUNTER},
	[SELF_METRIC_CONFLICTS] = {"tallyd_metric_conflicts", "",
		"Metrics left out: the program has another one of this name", METRIC_COUNTER},
	[SELF_METRICS_BAD] = {"tallyd_metrics_refused", "",
		"Metrics left out: no valid name, type or place in their segment", METRIC_COUNTER},
	[SELF_METRICS_OVER_LIMIT] = {"tallyd_metrics_over_limit", "",
		"Metrics left out: the user has too many", METRIC_COUNTER},
	[SELF_LABEL_OVERFLOWS] = {"tallyd_label_overflows", "",
		"Segments in which a table of labels was full; the log names the label",
		METRIC_COUNTER},
	[SELF_STARTS_REFUSED] = {"tallyd_segment_starts_refused", "",
		"Processes that found no room for a segment and are not counted", METRIC_COUNTER},
	[SELF_SEGMENT_BYTES] = {"tallyd_segment_space_bytes", "bytes",
		"Size of the file system of segments", METRIC_GAUGE},
	[SELF_SEGMENT_BYTES_FREE] = {"tallyd_segment_free_bytes", "bytes", "What is free of it",
		METRIC_GAUGE},
	[SELF_SEGMENT_INODES_FREE] = {"tallyd_segment_free_inodes", "",
		"Files that could still be made in it", METRIC_GAUGE},
	[SELF_LINK_UP] = {"tallyd_link_up", "", "1 while a gatherer is connected", METRIC_GAUGE},
	[SELF_LINK_CONNECTS] = {"tallyd_link_connects", "", "Connections that were welcomed",
		METRIC_COUNTER},
	[SELF_LINK_FAILURES] = {"tallyd_link_failures", "", "Attempts to connect that failed",
		METRIC_COUNTER},
	[SELF_LINK_REFUSED] = {"tallyd_link_refused", "", "Refusals, by the gatherer or by us",
		METRIC_COUNTER},
	[SELF_LINK_BYTES] = {"tallyd_link_sent_bytes", "bytes", "Bytes of frames sent",
		METRIC_COUNTER},
	[SELF_LINK_RECORDS] = {"tallyd_link_sent_records", "", "Records sent", METRIC_COUNTER},
	[SELF_LINK_LOST] = {"tallyd_link_lost_snapshots", "",
		"Snapshots that fell off the ring before they were delivered", METRIC_COUNTER},
};

/* Per reason. */
static const struct self_metric refused = {"tallyd_segments_refused", "",
	"Files of the segment directory that are not read", METRIC_COUNTER};

/* --- schema ---------------------------------------------------------------------------------- */

static int add_series(struct self *s, const struct self_metric *m, const char *labels)
{
	const struct series series = {
		.name = (char *)m->name,
		.labels = (char *)labels,
		.unit = (char *)m->unit,
		.help = (char *)m->help,
		.type = m->type,
		.kind = m->type == METRIC_GAUGE ? VALUE_I64 : VALUE_U64,
		.scale = m->scale,
	};

	return schema_add(&s->group.schema, &series);
}

static int make_schema(struct self *s, const struct provider_env *env)
{
	const struct registry *r = provider_registry(s->provider);
	struct schema *schema = &s->group.schema;
	char labels[128];
	int err = 0;

	schema->interval_ms = (uint32_t)(env->interval_ns / NSEC_PER_MSEC);
	schema->start_ns = env->incarnation_start_ns;
	schema->group = strdup("self");
	if (!schema->group)
		return -ENOMEM;
	for (size_t i = 0; i < SELF_SINGLES && !err; i++)
		err = add_series(s, &singles[i], "");
	for (size_t i = 0; i < REFUSED_REASONS && !err; i++) {
		snprintf(labels, sizeof(labels), "reason=\"%s\"", segment_refusals[i]);
		err = add_series(s, &refused, labels);
	}
	for (size_t i = 0; i < r->n && !err; i++) {

		snprintf(labels, sizeof(labels), "producer=\"%s\"", r->producers[i].ops->name);
		for (size_t j = 0; j < PER_PRODUCER && !err; j++)
			err = add_series(s, &per_producer[j], labels);
	}
	if (err)
		return err;
	s->group.version = 1;
	s->group.values = calloc(schema->n, sizeof(uint64_t));
	return s->group.values ? 0 : -ENOMEM;
}

/* --- values ---------------------------------------------------------------------------------- */

static uint64_t process_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* The second number of statm: resident pages. */
static uint64_t resident_bytes(const struct self *s)
{
	char text[128];
	ssize_t n = pread(s->statm, text, sizeof(text), 0);
	struct proc_text t = {text, text + (n > 0 ? n : 0)};
	uint64_t pages;

	return next_number(&t, &pages) && next_number(&t, &pages) ? pages * s->page_size : 0;
}

static void put_ring(const struct self *s, uint64_t *v)
{
	struct ring *ring = provider_ring(s->provider);
	struct ring_stats st = {0};

	if (ring)
		ring_stats(ring, &st);
	v[SELF_RING_BYTES] = st.bytes;
	v[SELF_RING_LIMIT] = st.limit_bytes;
	v[SELF_RING_FILES] = st.files;
	v[SELF_RING_REMOVED] = st.removed_files;
	v[SELF_RING_ERRORS] = st.append_errors;
	v[SELF_RING_DAMAGE] = st.damage_bytes;
}

static void put_segments(const struct self *s, uint64_t *v)
{
	struct segments_stats st;

	segments_stats(provider_registry(s->provider), &st);
	v[SELF_SEGMENTS] = st.segments;
	v[SELF_SEGMENTS_LEFT_OUT] = st.left_out;
	v[SELF_SEGMENT_PROGRAMS] = st.programs;
	v[SELF_SEGMENTS_FOLDED] = st.folded;
	v[SELF_FOLD_ERRORS] = st.fold_errors;
	v[SELF_SEGMENTS_PUT_OFF] = st.put_off;
	v[SELF_SEGMENTS_SHRUNK] = st.shrunk;
	v[SELF_SEGMENTS_REMOVED] = st.removed;
	v[SELF_METRIC_CONFLICTS] = st.conflicts;
	v[SELF_METRICS_BAD] = st.bad_metrics;
	v[SELF_METRICS_OVER_LIMIT] = st.over_limit;
	v[SELF_LABEL_OVERFLOWS] = st.label_overflows;
	v[SELF_STARTS_REFUSED] = st.starts_refused;
	v[SELF_SEGMENT_BYTES] = st.bytes;
	v[SELF_SEGMENT_BYTES_FREE] = st.bytes_free;
	v[SELF_SEGMENT_INODES_FREE] = st.inodes_free;
	memcpy(v + SELF_SINGLES, st.refused, sizeof(st.refused));
}

static void put_link(const struct self *s, uint64_t *v)
{
	struct link *link = provider_link(s->provider);
	struct link_stats st = {0};

	if (link)
		link_stats(link, &st);
	v[SELF_LINK_UP] = st.connected;
	v[SELF_LINK_CONNECTS] = st.connects;
	v[SELF_LINK_FAILURES] = st.failures;
	v[SELF_LINK_REFUSED] = st.refused;
	v[SELF_LINK_BYTES] = st.bytes_sent;
	v[SELF_LINK_RECORDS] = st.records_sent;
	v[SELF_LINK_LOST] = st.lost_snapshots;
}

static void put_producers(const struct self *s, uint64_t *v)
{
	const struct registry *r = provider_registry(s->provider);

	for (size_t i = 0; i < r->n; i++) {
		const struct producer *p = &r->producers[i];

		*v++ = p->polls;
		*v++ = p->errors;
		*v++ = p->cpu_ns;
		*v++ = p->last_series;
		*v++ = p->stream_bytes;
		*v++ = p->is_open;
		*v++ = p->account.holds;
		*v++ = p->account.held_ns;
		*v++ = p->account.coarse_ns;
	}
}

static int self_get_stats(struct producer *p, struct snapshot *snap)
{
	struct self *s = p->state;
	uint64_t *v = s->group.values, begin = clock_monotonic_ns();
	struct provider_stats st;

	provider_stats(s->provider, &st);
	v[SELF_POLLS] = st.polls;
	v[SELF_SNAPSHOTS] = st.snapshots;
	v[SELF_WINDOW] = st.window_ns;
	v[SELF_CPU] = process_cpu_ns();
	v[SELF_RSS] = resident_bytes(s);
	put_ring(s, v);
	put_segments(s, v);
	put_link(s, v);
	put_producers(s, v + SELF_SINGLES + REFUSED_REASONS);
	return snapshot_add(snap, &s->group, begin, clock_monotonic_ns());
}

static void self_close(struct producer *p)
{
	struct self *s = p->state;

	if (s->statm >= 0)
		close(s->statm);
	group_release(&s->group);
	free(s);
	p->state = NULL;
}

static int self_open(struct producer *p, const struct provider_env *env, struct errmsg *e)
{
	struct self *s;
	int err;

	if (!env->provider)
		return err_set(e, -EINVAL, "there is no provider to tell of");
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->provider = env->provider;
	s->page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	s->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	p->state = s;
	err = make_schema(s, env);
	if (err)
		self_close(p);
	return err;
}

const struct producer_ops producer_self = {
	.name = "self",
	.help = "the provider itself: its cost, its ring, its link",
	.open = self_open,
	.get_stats = self_get_stats,
	.close = self_close,
};
