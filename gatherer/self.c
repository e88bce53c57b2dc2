/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gatherer's own metrics. One table says which number of which statistics is which metric; a
 * snapshot is those numbers, written by a stream writer as a provider would, and appended to history.
 */
#include "gatherer/self.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gatherer/commit.h"
#include "gatherer/peer.h"
#include "user/lib/diag.h"
#include "user/lib/util.h"

struct numbers {
	struct gatherer_stats gatherer;
	struct store_stats store;
	uint64_t connected, open_connections, cpu_ns, resident_bytes;
};

struct self {
	struct gatherer *g;
	struct event *timer;
	struct stream_writer *writer;
	struct group group;
	struct buf records;
	uint32_t node;
	int statm;
};

#define GATHERER(field) offsetof(struct numbers, gatherer.field)
#define STORE(field)    offsetof(struct numbers, store.field)
#define OTHER(field)    offsetof(struct numbers, field)
#define NANOSECONDS     -9

static const struct self_metric {
	const char *name, *unit, *help;
	enum metric_type type;
	int8_t scale;
	size_t offset; /* into struct numbers */
} metrics[] = {
	{"gatherer_connections", "", "Connections accepted", METRIC_COUNTER, 0,
		GATHERER(connections)},
	{"gatherer_open_connections", "", "Connections that are open, welcomed or not",
		METRIC_GAUGE, 0, OTHER(open_connections)},
	{"gatherer_connected_providers", "", "Providers that are connected and welcomed",
		METRIC_GAUGE, 0, OTHER(connected)},
	{"gatherer_welcomes", "", "Connections that were welcomed", METRIC_COUNTER, 0,
		GATHERER(welcomes)},
	{"gatherer_replaced_connections", "",
		"Connections closed because the same provider made a newer one", METRIC_COUNTER, 0,
		GATHERER(replaced)},
	{"gatherer_disconnects", "", "Ends of welcomed connections", METRIC_COUNTER, 0,
		GATHERER(disconnects)},
	{"gatherer_polls", "", "Polls sent", METRIC_COUNTER, 0, GATHERER(polls)},
	{"gatherer_polls_late", "", "Polls not answered within the time limit", METRIC_COUNTER, 0,
		GATHERER(polls_late)},
	{"gatherer_polls_skipped", "",
		"Polls not sent: the one before is unanswered, or history can't be written",
		METRIC_COUNTER, 0, GATHERER(polls_skipped)},
	{"gatherer_answers", "", "Answers received", METRIC_COUNTER, 0, GATHERER(answers)},
	{"gatherer_received_bytes", "bytes", "Frames received from providers", METRIC_COUNTER, 0,
		GATHERER(bytes)},
	{"gatherer_records", "", "Records taken in", METRIC_COUNTER, 0, GATHERER(records)},
	{"gatherer_snapshots", "", "Snapshots stored", METRIC_COUNTER, 0, GATHERER(snapshots)},
	{"gatherer_samples", "", "Samples stored", METRIC_COUNTER, 0, GATHERER(samples)},
	{"gatherer_duplicates", "", "Snapshots that were in history already", METRIC_COUNTER, 0,
		GATHERER(duplicates)},
	{"gatherer_skipped_groups", "", "Rows of groups whose row before was not known",
		METRIC_COUNTER, 0, GATHERER(skipped_groups)},
	{"gatherer_sync_errors", "", "Syncs of history that failed", METRIC_COUNTER, 0,
		GATHERER(commit_errors)},
	{"gatherer_syncs", "", "Syncs of history", METRIC_COUNTER, 0, STORE(syncs)},
	{"gatherer_sync_seconds", "seconds", "Time spent in syncs of history", METRIC_COUNTER,
		NANOSECONDS, STORE(sync_ns)},
	{"gatherer_seals", "", "Heads of history that were sealed", METRIC_COUNTER, 0,
		STORE(seals)},
	{"gatherer_seal_seconds", "seconds", "Time spent sealing", METRIC_COUNTER, NANOSECONDS,
		STORE(seal_ns)},
	{"gatherer_head_bytes", "bytes", "Size of the head of history", METRIC_GAUGE, 0,
		STORE(head_bytes)},
	{"gatherer_sealed_bytes", "bytes", "Size of the sealed files of history", METRIC_GAUGE, 0,
		STORE(sealed_bytes)},
	{"gatherer_sealed_files", "", "Sealed files of history", METRIC_GAUGE, 0,
		STORE(sealed_files)},
	{"gatherer_damage_bytes", "bytes",
		"Damaged bytes of history that were cut or set aside at the last start",
		METRIC_GAUGE, 0, STORE(damage_bytes)},
	{"gatherer_nodes", "", "Nodes in history", METRIC_GAUGE, 0, STORE(nodes)},
	{"gatherer_cpu_seconds", "seconds", "CPU time of the gatherer, without HTTP",
		METRIC_COUNTER, NANOSECONDS, OTHER(cpu_ns)},
	{"gatherer_resident_bytes", "bytes", "Resident memory of the gatherer, without HTTP",
		METRIC_GAUGE, 0, OTHER(resident_bytes)},
};

#define METRICS (sizeof(metrics) / sizeof(metrics[0]))

static int self_add_series(struct schema *schema, const struct self_metric *m, const char *labels)
{
	struct series s = {.name = (char *)m->name,
		.labels = (char *)labels,
		.unit = (char *)m->unit,
		.help = (char *)m->help,
		.type = (uint8_t)m->type,
		.kind = VALUE_U64,
		.part = SERIES_VALUE,
		.scale = m->scale};

	return schema_add(schema, &s);
}

/* The table's metrics, then the refusals by their reason. */
static int self_make_schema(struct schema *schema)
{
	static const struct self_metric refused = {"gatherer_refused", "",
		"Connections, and what came through them, that were refused", METRIC_COUNTER, 0, 0};
	char labels[64];
	int rc = 0;

	for (size_t i = 0; i < METRICS && !rc; i++)
		rc = self_add_series(schema, &metrics[i], "");
	for (int i = 0; i < REFUSED_FOR_KINDS && !rc; i++) {
		snprintf(labels, sizeof(labels), "reason=\"%s\"",
			refused_for_name((enum refused_for)i));
		rc = self_add_series(schema, &refused, labels);
	}
	return rc;
}

static int self_make_group(struct self *s, const struct incarnation *inc)
{
	struct schema *schema = &s->group.schema;
	int rc;

	schema->group = strdup("gatherer");
	schema->interval_ms = (uint32_t)(s->g->cfg->interval_ns / NSEC_PER_MSEC);
	schema->start_ns = inc->start_ns;
	if (!schema->group)
		return -ENOMEM;
	rc = self_make_schema(schema);
	if (rc)
		return rc;
	s->group.version = 1;
	s->group.values = calloc(schema->n, sizeof(*s->group.values));
	return s->group.values ? 0 : -ENOMEM;
}

static uint64_t self_resident_bytes(int statm)
{
	unsigned long long size, resident;
	char text[128];
	ssize_t n = statm < 0 ? -1 : pread(statm, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	if (sscanf(text, "%llu %llu", &size, &resident) != 2)
		return 0;
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void self_read(struct self *s)
{
	struct numbers now = {.gatherer = s->g->stats,
		.connected = s->g->nwelcomed,
		.open_connections = s->g->npeers,
		.resident_bytes = self_resident_bytes(s->statm)};
	uint64_t *v = s->group.values;
	struct timespec cpu;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	now.cpu_ns = (uint64_t)cpu.tv_sec * NSEC_PER_SEC + (uint64_t)cpu.tv_nsec;
	store_stats(s->g->store, &now.store);
	for (size_t i = 0; i < METRICS; i++)
		memcpy(v++, (const char *)&now + metrics[i].offset, sizeof(*v));
	for (int i = 0; i < REFUSED_FOR_KINDS; i++)
		*v++ = now.gatherer.refused[i];
}

static int self_append(struct self *s)
{
	const uint8_t *p = s->records.data, *end = p + s->records.len;

	while (p < end) {
		struct snapshot_view view;
		struct record rec;
		ssize_t size = record_parse(p, (size_t)(end - p), 0, &rec);
		int rc = size > 0 ? store_append(s->g->store, s->node, &rec, &view) : -EBADMSG;

		if (rc < 0)
			return rc;
		p += size;
	}
	return 0;
}

static int self_take(struct self *s)
{
	struct group_due due = {.group = &s->group};
	int64_t realtime_ns = clock_realtime_ns();
	uint64_t monotonic_ns = clock_monotonic_ns(), seq;

	self_read(s);
	due.window_ns = clock_monotonic_ns() - monotonic_ns;
	return stream_writer_snapshot(
		s->writer, realtime_ns, monotonic_ns, &due, 1, &s->records, &seq);
}

static int self_snapshot(struct self *s)
{
	int rc = 0;

	/* Rows are differences: what history did not take is offered again before there is more. */
	if (!s->records.len)
		rc = self_take(s);
	if (!rc)
		rc = self_append(s);
	if (!rc)
		buf_reset(&s->records);
	commit_request(s->g->commit, false);
	return rc;
}

static void self_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct self *s = arg;

	/* While history can't be written there is no use in more of it. */
	if (!s->g->commit_failing && self_snapshot(s))
		diag_debug("own metrics could not be stored");
}

static int self_set_up(struct self *s)
{
	struct incarnation inc = {.start_ns = (uint64_t)clock_realtime_ns()};
	uint64_t us = s->g->cfg->interval_ns / 1000;
	struct timeval tv = {
		.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
	int rc;

	boot_id_read(inc.boot_id);
	while (!inc.id)
		if ((rc = random_bytes(&inc.id, sizeof(inc.id))))
			return rc;
	s->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	s->writer = stream_writer_new(&inc);
	s->timer = event_new(s->g->base, -1, EV_PERSIST, self_on_timer, s);
	if (!s->writer || !s->timer)
		return -ENOMEM;
	rc = self_make_group(s, &inc);
	if (!rc)
		rc = store_node(
			s->g->store, identity_id(s->g->identity), s->g->cfg->name, &s->node);
	if (!rc)
		rc = self_snapshot(s);
	if (!rc && event_add(s->timer, &tv))
		rc = -ENOMEM;
	return rc;
}

int self_start(struct gatherer *g, struct self **ret, struct errmsg *e)
{
	struct self *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_set(e, -ENOMEM, "no memory");
	s->g = g;
	s->statm = -1;
	rc = self_set_up(s);
	if (rc) {
		self_stop(s);
		return err_set(e, rc, "own metrics: %s", strerror(-rc));
	}
	*ret = s;
	return 0;
}

void self_stop(struct self *s)
{
	if (!s)
		return;
	if (s->timer)
		event_free(s->timer);
	if (s->writer)
		stream_writer_free(s->writer);
	group_release(&s->group);
	buf_release(&s->records);
	if (s->statm >= 0)
		close(s->statm);
	free(s);
}
