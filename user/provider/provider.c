/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The provider: its producers, the numbering of snapshots, and the ring that takes each of them. */
#include "user/provider/provider.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/lib/diag.h"
#include "user/lib/util.h"
#include "user/provider/kernel/modules.h"
#include "user/provider/snapshot.h"

#define LOG_EVERY_NS (60 * NSEC_PER_SEC)

/* In the order of a snapshot: the provider's own figures come last, so that they tell of this one. */
const struct producer_ops *const provider_producers[] = {&producer_segments, &module_sched.ops,
	&module_softirq.ops, &module_process.ops, &module_tcp.ops, &module_block.ops,
	&module_reclaim.ops, &module_writeback.ops, &module_jbd2.ops, &module_oom.ops,
	&module_drop.ops, &module_udp.ops, &module_cgroup_tcp.ops, &producer_ended, &producer_tasks,
	&module_hardirq.ops, &module_syscalls.ops, &module_fsync.ops, &module_block_size.ops,
	&module_softirq_latency.ops, &module_migrations.ops, &module_slices.ops,
	&module_contention.ops, &module_timers.ops, &module_tcp_probe.ops, &module_cgroup_sched.ops,
	&module_cgroup_net.ops, &module_cgroup_block.ops, &module_cgroup_rtt.ops,
	&module_page_cache.ops, &module_files.ops, &producer_cgroup, &producer_proc, &producer_sys,
	&producer_self, NULL};

struct provider {
	char *name, *state_dir;
	uint64_t interval_ns, ring_bytes;
	struct registry registry;
	struct snapshot snapshot;
	struct stream_writer *writer;
	struct ring *ring;
	struct link *link;
	struct buf records;
	uint64_t newest_seq, newest_ns;
	uint64_t tried_ns; /* the last attempt: one that failed must not be repeated at once */
	uint64_t polled_ns, polled_interval_ns; /* the last poll from outside */
	struct provider_stats stats;
	struct diag_limit log_limit;
	bool complained; /* about the ring, and not yet said that it is well again */
};

/* --- making ---------------------------------------------------------------------------------- */

int provider_check_name(const char *name, struct errmsg *e)
{
	const char *plain = name + (*name == '+' || *name == '-');

	if (!strcmp(plain, "default"))
		return 0;
	for (const struct producer_ops *const *ops = provider_producers; *ops; ops++)
		if (!strcmp((*ops)->name, plain))
			return 0;
	return err_set(e, -EINVAL, "unknown producer '%.60s': 'tallyd --help' lists all", plain);
}

void provider_describe(struct buf *out)
{
	buf_printf(out, "%s",
		"Producers; with * only where they are asked for, as --producers=+NAME:\n");
	for (const struct producer_ops *const *ops = provider_producers; *ops; ops++) {
		const char *why = (*ops)->opt_in;

		buf_printf(out, "%s %-15s %s\n", why ? " *" : "  ", (*ops)->name, (*ops)->help);
		if (why)
			buf_printf(out, "%19s%s\n", "", why);
	}
	buf_put_u8(out, 0);
}

static int check_names(const char *const *names, struct errmsg *e)
{
	int err = 0;

	for (; names && *names && !err; names++)
		err = provider_check_name(*names, e);
	return err;
}

/*
 * Realtime of the machine's start. The kernel's own figure moves when the clock is set, and another
 * start means a reset: so the first one of each boot is kept in a file.
 */
static uint64_t read_boot_ns(const char *state_dir, const uint8_t boot_id[16], bool keep)
{
	struct timespec up;
	uint64_t ns;
	char path[4096], text[128];
	struct buf old = BUF_INIT;
	struct errmsg e;
	unsigned long long kept;
	int n = 0;

	clock_gettime(CLOCK_BOOTTIME, &up);
	ns = (uint64_t)clock_realtime_ns() - (uint64_t)up.tv_sec * NSEC_PER_SEC -
	     (uint64_t)up.tv_nsec;
	for (size_t i = 0; i < 16; i++)
		n += sprintf(text + n, "%02x", boot_id[i]);
	if ((size_t)snprintf(path, sizeof(path), "%s/boot", state_dir) >= sizeof(path))
		return ns;
	if (!read_file_at(AT_FDCWD, path, sizeof(text), &old)) {
		buf_put_u8(&old, 0);
		if (!buf_error(&old) && old.len > (size_t)n && !memcmp(old.data, text, (size_t)n) &&
			sscanf((char *)old.data + n, " %llu", &kept) == 1)
			ns = kept;
		else
			buf_reset(&old);
	}
	if (keep && !old.len) {
		n += sprintf(text + n, " %llu\n", (unsigned long long)ns);
		if (replace_file(path, text, (size_t)n, 0644, &e))
			diag_warning("%s", e.text);
	}
	buf_release(&old);
	return ns;
}

static int make_writer(struct provider *p, const struct provider_config *cfg,
	struct provider_env *env, struct errmsg *e)
{
	struct incarnation inc = {.start_ns = (uint64_t)clock_realtime_ns()};
	int err = random_bytes(&inc.id, sizeof(inc.id));

	if (err)
		return err_set(e, err, "no random numbers: %s", strerror(-err));
	inc.id += !inc.id;
	if (boot_id_read(inc.boot_id))
		diag_warning("the boot id can't be read: a reboot can't be told from a restart");
	p->writer = stream_writer_new(&inc);
	if (!p->writer)
		return err_set(e, -ENOMEM, "out of memory");
	*env = (struct provider_env){
		.segment_dir = cfg->segment_dir,
		.state_dir = cfg->state_dir,
		.proc_dir = cfg->proc_dir,
		.sys_dir = cfg->sys_dir,
		.cgroup_dir = cfg->cgroup_dir,
		.cgroup_limit = cfg->cgroup_limit,
		.interval_ns = cfg->interval_ns,
		.top = cfg->top,
		.incarnation_start_ns = inc.start_ns,
		.boot_ns = read_boot_ns(cfg->state_dir, inc.boot_id, !cfg->read_only),
		.read_only = cfg->read_only,
		.provider = p,
		.registry = &p->registry,
	};
	memcpy(env->boot_id, inc.boot_id, sizeof(env->boot_id));
	return 0;
}

static int open_producers(struct provider *p, const struct provider_config *cfg,
	const struct provider_env *env, struct errmsg *e)
{
	for (const struct producer_ops *const *ops = provider_producers; *ops; ops++) {
		int err = producer_is_wanted(*ops, cfg->producers)
				  ? registry_add(&p->registry, *ops, e)
				  : 0;

		if (err)
			return err;
	}
	p->registry.budget = (struct budget){
		.share_ppm = cfg->budget_percent * 10000, .span_ns = BUDGET_SPAN_NS};
	p->registry.ncpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	if (!registry_open(&p->registry, env))
		return err_set(e, -ENODEV, "no producer could be opened");
	return 0;
}

int provider_new(const struct provider_config *cfg, struct provider **ret, struct errmsg *e)
{
	struct provider_env env;
	struct provider *p;
	int err = check_names(cfg->producers, e);

	if (err)
		return err;
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(e, -ENOMEM, "out of memory");
	p->name = strdup(cfg->name);
	p->state_dir = strdup(cfg->state_dir);
	p->interval_ns = cfg->interval_ns;
	p->ring_bytes = cfg->ring_bytes;
	err = p->name && p->state_dir ? make_writer(p, cfg, &env, e)
				      : err_set(e, -ENOMEM, "out of memory");
	if (!err)
		err = open_producers(p, cfg, &env, e);
	if (err) {
		provider_free(p);
		return err;
	}
	p->snapshot.writer = p->writer;
	*ret = p;
	return 0;
}

int provider_open_ring(struct provider *p, struct errmsg *e)
{
	char path[4096];

	if ((size_t)snprintf(path, sizeof(path), "%s/ring", p->state_dir) >= sizeof(path))
		return err_set(e, -ENAMETOOLONG, "%s: the name is too long", p->state_dir);
	return ring_open(path, p->ring_bytes, &p->ring, e);
}

void provider_free(struct provider *p)
{
	if (!p)
		return;
	/* Before the producers release the groups that it knows. */
	stream_writer_free(p->writer);
	p->snapshot.writer = NULL;
	registry_close(&p->registry);
	snapshot_release(&p->snapshot);
	ring_close(p->ring);
	buf_release(&p->records);
	free(p->name);
	free(p->state_dir);
	free(p);
}

/* --- polling --------------------------------------------------------------------------------- */

/* A disk that is full now and then must not fill the log as well. */
static int ring_failed(struct provider *p, int err)
{
	p->stats.ring_errors++;
	if (diag_allowed(&p->log_limit, clock_monotonic_ns(), LOG_EVERY_NS)) {
		diag_error("the ring in %s can't be written: %s; snapshots are lost until it can",
			p->state_dir, strerror(-err));
		p->complained = true;
	}
	return err;
}

static void note_snapshot(struct provider *p, uint64_t seq)
{
	p->newest_seq = seq;
	p->newest_ns = p->snapshot.monotonic_ns;
	p->stats.snapshots++;
	if (p->complained)
		diag_notice("the ring in %s is written again", p->state_dir);
	p->complained = false;
}

/* Appends the snapshot that was just taken, with its number, to the ring. */
static int store_snapshot(struct provider *p)
{
	struct snapshot *s = &p->snapshot;
	uint64_t seq;
	int err, prepared = ring_prepare(p->ring, p->writer);

	/* it has its number even if it can't be kept: the gap in the numbers tells of it */
	buf_reset(&p->records);
	err = stream_writer_snapshot(
		p->writer, s->realtime_ns, s->monotonic_ns, s->due, s->n, &p->records, &seq);
	if (err) {
		diag_error("no snapshot: %s", strerror(-err));
		return err;
	}
	registry_count_bytes(&p->registry, s);
	err = prepared ? prepared : ring_append(p->ring, &p->records);
	if (err) {
		stream_writer_lost(p->writer);
		return ring_failed(p, err);
	}
	note_snapshot(p, seq);
	return 1;
}

static void take_snapshot(struct provider *p)
{
	struct snapshot *s = &p->snapshot;

	snapshot_begin(s);
	p->tried_ns = s->monotonic_ns;
	registry_get_stats(&p->registry, s);
	p->stats.window_ns = clock_monotonic_ns() - s->monotonic_ns;
	p->stats.groups = s->n;
	p->stats.series = s->series;
}

int provider_poll(struct provider *p, uint64_t interval_ns)
{
	p->stats.polls++;
	if (interval_ns) {
		p->polled_ns = clock_monotonic_ns();
		p->polled_interval_ns = interval_ns;
	}
	if (interval_ns && p->newest_ns && clock_monotonic_ns() - p->newest_ns < interval_ns / 2)
		return 0;
	take_snapshot(p);
	if (p->ring)
		return store_snapshot(p);
	p->newest_ns = p->snapshot.monotonic_ns;
	p->stats.snapshots++;
	return 1;
}

/* --- what the others ask for ----------------------------------------------------------------- */

struct ring *provider_ring(struct provider *p)
{
	return p->ring;
}

void provider_newest(const struct provider *p, uint64_t *ret_incarnation, uint64_t *ret_seq)
{
	*ret_incarnation = stream_writer_incarnation(p->writer)->id;
	*ret_seq = p->newest_seq;
}

uint64_t provider_due_ns(const struct provider *p)
{
	uint64_t interval = p->interval_ns;

	if (!p->link)
		return p->tried_ns + interval;
	if (p->polled_interval_ns > interval &&
		clock_monotonic_ns() - p->polled_ns < 2 * p->polled_interval_ns)
		interval = p->polled_interval_ns;
	return p->tried_ns + interval + interval / 2;
}

const char *provider_name(const struct provider *p)
{
	return p->name;
}

uint64_t provider_interval_ns(const struct provider *p)
{
	return p->interval_ns;
}

void provider_set_link(struct provider *p, struct link *l)
{
	p->link = l;
}

struct link *provider_link(const struct provider *p)
{
	return p->link;
}

struct registry *provider_registry(struct provider *p)
{
	return &p->registry;
}

void provider_stats(const struct provider *p, struct provider_stats *ret)
{
	*ret = p->stats;
}

/* --- as text --------------------------------------------------------------------------------- */

static void print_group(const struct group_due *due, struct buf *line, FILE *f)
{
	const struct group *g = due->group;
	char value[64];

	fprintf(f, "# %s: %zu series, read in %llu us\n", g->schema.group, g->schema.n,
		(unsigned long long)due->window_ns / 1000);
	for (size_t i = 0; i < g->schema.n; i++) {
		const struct series *s = &g->schema.series[i];

		buf_reset(line);
		series_print(s, line);
		value_format(g->values[i], s->kind, s->scale, value, sizeof(value));
		fprintf(f, "%.*s %s\n", (int)line->len, (const char *)line->data, value);
	}
}

void provider_print(struct provider *p, FILE *f)
{
	struct buf line = BUF_INIT;

	for (size_t i = 0; i < p->snapshot.n; i++)
		print_group(&p->snapshot.due[i], &line, f);
	buf_release(&line);
}
