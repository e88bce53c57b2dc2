/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Producer "sched": context switches, time on CPU and run-queue latency, counted by the program of
 * bpf/sched.bpf.c in one struct sched_cpu per possible CPU (bpf/sched.h), which is mapped read-only
 * here. A poll reads it without a system call.
 *
 * A CPU's own series appear with its first switch: virtual machines announce hundreds of CPUs that
 * never come. The programs and maps live by descriptors alone and end with the process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bpf/sched.h"
#include "bpf/sched.skel.h"
#include "user/lib/util.h"
#include "user/provider/bpfload.h"
#include "user/provider/producer.h"

struct sched {
	struct sched_bpf *skel;
	const struct sched_cpu *cpus; /* ncpus, written by the kernel */
	uint32_t ncpus;
	uint32_t *shown; /* numbers of the CPUs that have series, ascending; room for ncpus */
	uint32_t nshown;
	struct group group;
};

/* How a metric's series come out of the structs of all CPUs. */
enum spread {
	PER_CPU, /* one series for each CPU, label cpu */
	SUMMED, /* one series, the sum over all CPUs */
	WAITS, /* one series for each bucket, summed over all CPUs, label le */
};

struct metric {
	struct series series;
	enum spread spread;
	size_t offset; /* of its cell in struct sched_cpu */
	uint64_t factor; /* cell x factor = value */
};

#define LATENCY_HELP   "Time that tasks were runnable before they got a CPU"
#define PROGRAM_LABELS "program=\"tally_sched\""

static const struct metric metrics[] = {
	{{.name = "sched_oncpu_seconds",
		 .unit = "seconds",
		 .help = "Time that tasks were on the CPU, added when they leave it",
		 .type = METRIC_COUNTER,
		 .scale = -9},
		PER_CPU, offsetof(struct sched_cpu, run_ns), 1},
	{{.name = "sched_switches", .unit = "", .help = "Context switches", .type = METRIC_COUNTER},
		PER_CPU, offsetof(struct sched_cpu, switches), 1},
	{{.name = "sched_runq_latency_seconds",
		 .unit = "seconds",
		 .help = LATENCY_HELP,
		 .type = METRIC_HISTOGRAM,
		 .part = SERIES_BUCKET},
		WAITS, offsetof(struct sched_cpu, waits), 1},
	{{.name = "sched_runq_latency_seconds",
		 .labels = "",
		 .unit = "seconds",
		 .help = LATENCY_HELP,
		 .type = METRIC_HISTOGRAM,
		 .part = SERIES_SUM,
		 .scale = -9},
		SUMMED, offsetof(struct sched_cpu, wait_ns), 1},
	{{.name = "bpf_program_runs",
		 .labels = PROGRAM_LABELS,
		 .unit = "",
		 .help = "Runs of one of tally's BPF programs",
		 .type = METRIC_COUNTER},
		SUMMED, offsetof(struct sched_cpu, switches), 1},
	{{.name = "bpf_program_seconds",
		 .labels = PROGRAM_LABELS,
		 .unit = "seconds",
		 .help = "CPU time of one of tally's BPF programs, estimated from one run of 1024",
		 .type = METRIC_COUNTER,
		 .scale = -9},
		SUMMED, offsetof(struct sched_cpu, own_ns), SCHED_OWN_EVERY},
};
#define METRICS (sizeof(metrics) / sizeof(metrics[0]))

static const struct bpfload_member members[] = {
	{"sched_info", "last_queued", "CONFIG_SCHED_INFO"},
	{"sched_entity", "cfs_rq", "CONFIG_FAIR_GROUP_SCHED"},
	{"cfs_rq", "rq", "CONFIG_FAIR_GROUP_SCHED"},
	{NULL, NULL, NULL},
};
static const struct bpfload_needs needs = {"sched", "sched_switch", members};

/* The kernel writes meanwhile: each cell is read once, whole. */
static uint64_t cell_read(const struct sched *s, uint32_t cpu, size_t offset)
{
	const char *base = (const char *)&s->cpus[cpu];

	return __atomic_load_n((const uint64_t *)(base + offset), __ATOMIC_RELAXED);
}

static uint64_t cells_sum(const struct sched *s, size_t offset)
{
	uint64_t sum = 0;

	for (uint32_t cpu = 0; cpu < s->ncpus; cpu++)
		sum += cell_read(s, cpu, offset);
	return sum;
}

/* How many series a metric has now. */
static uint32_t metric_width(const struct sched *s, const struct metric *m)
{
	if (m->spread == PER_CPU)
		return s->nshown;
	return m->spread == WAITS ? SCHED_WAIT_BUCKETS : 1;
}

static uint64_t metric_value(const struct sched *s, const struct metric *m, uint32_t i)
{
	if (m->spread == PER_CPU)
		return cell_read(s, s->shown[i], m->offset) * m->factor;
	return cells_sum(s, m->offset + i * sizeof(uint64_t)) * m->factor;
}

/* --- the list of series ------------------------------------------------------------------------- */

/* A bucket's upper bound in seconds, as exact decimal text. */
static void bound_format(uint32_t bucket, char *out, size_t size)
{
	uint64_t ns = tally_histogram_upper(bucket, SCHED_WAIT_LO, SCHED_WAIT_HI);
	size_t n;

	if (ns == UINT64_MAX) {
		snprintf(out, size, "+Inf");
		return;
	}
	n = (size_t)snprintf(out, size, "%llu.%09llu", (unsigned long long)(ns / NSEC_PER_SEC),
		(unsigned long long)(ns % NSEC_PER_SEC));
	while (out[n - 1] == '0' && out[n - 2] != '.')
		out[--n] = 0;
}

static int schema_add_labelled(
	struct schema *schema, struct series *series, const char *name, const char *value)
{
	struct buf labels = BUF_INIT;
	int rc = labels_format(&labels, 1, &name, &value);

	buf_put_u8(&labels, 0);
	if (!rc)
		rc = buf_error(&labels);
	if (!rc) {
		series->labels = (char *)labels.data;
		rc = schema_add(schema, series);
	}
	buf_release(&labels);
	return rc;
}

static int schema_add_metric(const struct sched *s, const struct metric *m, struct schema *schema)
{
	struct series series = m->series;
	char value[32];
	int rc = 0;

	series.kind = VALUE_U64;
	if (m->spread == SUMMED)
		return schema_add(schema, &series);
	for (uint32_t i = 0; i < metric_width(s, m) && !rc; i++) {
		if (m->spread == PER_CPU)
			snprintf(value, sizeof(value), "%u", s->shown[i]);
		else
			bound_format(i, value, sizeof(value));
		rc = schema_add_labelled(
			schema, &series, m->spread == PER_CPU ? "cpu" : "le", value);
	}
	return rc;
}

/* Gives the group the series of the CPUs that are shown; on failure it stays as it was. */
static int group_rebuild(struct sched *s)
{
	struct group *g = &s->group;
	struct schema next = {.interval_ms = g->schema.interval_ms, .start_ns = g->schema.start_ns};
	uint64_t *values = NULL;
	int rc = 0;

	next.group = strdup("sched");
	if (!next.group)
		return -ENOMEM;
	for (size_t i = 0; i < METRICS && !rc; i++)
		rc = schema_add_metric(s, &metrics[i], &next);
	if (!rc && !(values = calloc(next.n, sizeof(*values))))
		rc = -ENOMEM;
	if (rc) {
		schema_release(&next);
		return rc;
	}
	schema_release(&g->schema);
	free(g->values);
	g->schema = next;
	g->values = values;
	g->version++;
	return 0;
}

/* Looks for CPUs that have come. None ever goes: its counters stay. */
static int shown_update(struct sched *s)
{
	uint32_t n = 0;
	int rc;

	for (uint32_t cpu = 0; cpu < s->ncpus; cpu++)
		if (cell_read(s, cpu, offsetof(struct sched_cpu, switches)))
			s->shown[n++] = cpu;
	if (n == s->nshown)
		return 0;
	s->nshown = n;
	rc = group_rebuild(s);
	if (rc)
		s->nshown = 0; /* so that the next poll tries again */
	return rc;
}

/* --- the interface ------------------------------------------------------------------------------ */

static int sched_load(struct sched *s)
{
	struct bpf_map *map;
	const void *view;
	int rc;

	s->skel = sched_bpf__open();
	if (!s->skel)
		return -errno;
	map = s->skel->maps.tally_sched_cpu;
	rc = bpf_map__set_max_entries(map, s->ncpus);
	if (!rc)
		rc = sched_bpf__load(s->skel);
	if (!rc)
		rc = bpfload_map_view(map, s->ncpus * sizeof(*s->cpus), &view);
	if (rc)
		return rc;
	s->cpus = view;
	return sched_bpf__attach(s->skel);
}

static void sched_free(struct sched *s)
{
	if (s->cpus)
		munmap((void *)s->cpus, s->ncpus * sizeof(*s->cpus));
	sched_bpf__destroy(s->skel);
	group_release(&s->group);
	free(s->shown);
	free(s);
}

/* -ENODEV if the number of possible CPUs is not known. */
static int sched_new(const struct provider_env *env, struct sched **ret)
{
	int ncpus = libbpf_num_possible_cpus();
	struct sched *s;

	if (ncpus <= 0)
		return -ENODEV;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->ncpus = (uint32_t)ncpus;
	s->shown = calloc(s->ncpus, sizeof(*s->shown));
	s->group.schema.interval_ms = (uint32_t)(env->interval_ns / NSEC_PER_MSEC);
	s->group.schema.start_ns = (uint64_t)clock_realtime_ns();
	if (!s->shown || group_rebuild(s)) {
		sched_free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

static int sched_open(struct producer *p, const struct provider_env *env, struct errmsg *e)
{
	struct sched *s;
	int rc;

	bpfload_begin();
	rc = sched_new(env, &s);
	if (rc) {
		err_set(e, rc,
			rc == -ENOMEM
				? "sched: no memory"
				: "sched: the CPUs are not "
				  "readable at /sys/devices/system/cpu/possible; is /sys mounted?");
		goto out;
	}
	rc = sched_load(s);
	if (rc) {
		rc = bpfload_explain(rc, &needs, e);
		sched_free(s);
		goto out;
	}
	p->state = s;
out:
	bpfload_end();
	return rc;
}

static int sched_get_stats(struct producer *p, struct snapshot *snap)
{
	struct sched *s = p->state;
	uint64_t begin, *out;
	int rc = shown_update(s);

	if (rc)
		return rc;
	out = s->group.values;
	begin = clock_monotonic_ns();
	for (size_t m = 0; m < METRICS; m++)
		for (uint32_t i = 0; i < metric_width(s, &metrics[m]); i++)
			*out++ = metric_value(s, &metrics[m], i);
	return snapshot_add(snap, &s->group, begin, clock_monotonic_ns());
}

static void sched_close(struct producer *p)
{
	sched_free(p->state);
	p->state = NULL;
}

const struct producer_ops producer_sched = {
	.name = "sched",
	.help = "context switches, time on CPU and run-queue latency (BPF)",
	.open = sched_open,
	.get_stats = sched_get_stats,
	.close = sched_close,
};
