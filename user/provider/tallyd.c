/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tallyd, the provider: options, start, event loop, end.
 *
 * Start: options, directories, key and furl, producers and ring (all as root, if we are), then
 * privileges are dropped, a first snapshot is taken, readiness is told, and only then the gatherer is
 * dialled: a provider that can't be identified yet must not be polled.
 */
#include <event2/event.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "user/lib/conf.h"
#include "user/lib/daemon.h"
#include "user/lib/diag.h"
#include "user/lib/furl.h"
#include "user/lib/identity.h"
#include "user/lib/util.h"
#include "user/provider/cgroup.h"
#include "user/provider/kernel/tasks.h"
#include "user/provider/link.h"
#include "user/provider/memory.h"
#include "user/provider/privileges.h"
#include "user/provider/provider.h"
#include "user/provider/snapshot.h"
#include "user/provider/top.h"

#define SEGMENT_DIR_MODE  03773
#define SHUTDOWN_LIMIT_NS (3 * NSEC_PER_SEC)
#define SETTLED_WAKES     3

struct options {
	char *config, *furl_file, *state_dir, *segment_dir, *proc_dir, *sys_dir, *cgroup_dir, *user,
		*name, *log_level;
	char **producers;
	uint64_t interval_ns, ring_size, link_backoff_ns, top, cgroup_limit, budget;
	bool foreground, once, check_config;
};

struct daemon {
	struct options opt;
	struct run_as as;
	struct provider *provider;
	struct identity *identity;
	struct furl furl;
	bool has_furl, ending;
	struct link *link;
	struct event_base *base;
	struct event *timer, *sigterm, *sigint, *sighup;
	int ready_fd, state_fd; /* the state directory, locked */
	unsigned wakes; /* of the timer, up to SETTLED_WAKES */
};

/* --- options --------------------------------------------------------------------------------- */

static int set_default(char **option, const char *value)
{
	*option = strdup(value);
	return *option ? 0 : -ENOMEM;
}

static int set_defaults(struct options *o)
{
	char host[256] = "";
	int err = 0;

	if (gethostname(host, sizeof(host) - 1) < 0 || !host[0])
		strcpy(host, "localhost");
	*o = (struct options){.interval_ns = 10 * NSEC_PER_SEC,
		.ring_size = 64u << 20,
		.top = TASKS_TOP_DEFAULT,
		.cgroup_limit = CGROUP_LIMIT_DEFAULT,
		.budget = BUDGET_PERCENT_DEFAULT};
	err |= set_default(&o->furl_file, "/etc/tally/furl");
	err |= set_default(&o->state_dir, "/var/lib/tally");
	err |= set_default(&o->segment_dir, "/run/tally/seg");
	err |= set_default(&o->proc_dir, "/proc");
	err |= set_default(&o->sys_dir, "/sys/devices/system");
	err |= set_default(&o->cgroup_dir, "/sys/fs/cgroup");
	err |= set_default(&o->user, "tally");
	err |= set_default(&o->name, host);
	err |= set_default(&o->log_level, "info");
	return err;
}

static void options_release(struct options *o)
{
	char *strings[] = {o->config, o->furl_file, o->state_dir, o->segment_dir, o->proc_dir,
		o->sys_dir, o->cgroup_dir, o->user, o->name, o->log_level};

	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		free(strings[i]);
	for (char **p = o->producers; p && *p; p++)
		free(*p);
	free(o->producers);
}

static int read_options(struct options *o, int argc, char **argv, int *ret_first, struct errmsg *e)
{
	const struct conf_option table[] = {
		{"config", CONF_STRING, &o->config, "FILE",
			"read options from FILE (default /etc/tally/tallyd.conf)",
			.only_cli = true},
		{"furl-file", CONF_STRING, &o->furl_file, "FILE",
			"the gatherer's furl; without this file there is no link, only the ring"},
		{"state-dir", CONF_STRING, &o->state_dir, "DIR", "key, ring and totals",
			.check = conf_check_not_empty},
		{"segment-dir", CONF_STRING, &o->segment_dir, "DIR",
			"where instrumented programs make their segments",
			.check = conf_check_not_empty},
		{"interval", CONF_DURATION, &o->interval_ns, "TIME", "time between snapshots",
			.min = 100 * NSEC_PER_MSEC, .max = 86400 * NSEC_PER_SEC},
		{"ring-size", CONF_U64, &o->ring_size, "SIZE", "what the ring may take on disk",
			.min = RING_LIMIT_MIN},
		{"top-processes", CONF_U64, &o->top, "N",
			"processes with series of their own, by each of six criteria", .min = 1,
			.max = TOP_MAX},
		{"user", CONF_STRING, &o->user, "USER",
			"whom to become when everything is open; nobody, if USER does not exist",
			.check = conf_check_not_empty},
		{"name", CONF_STRING, &o->name, "NAME", "what people call this node",
			.check = conf_check_not_empty},
		{"producers", CONF_LIST, &o->producers, "LIST",
			"what to read: names, or +NAME and -NAME to change what is read by default",
			.check = provider_check_name},
		{"cgroup-limit", CONF_U64, &o->cgroup_limit, "N",
			"control groups that are shown, at most", .min = 1,
			.max = CGROUP_LIMIT_MAX},
		{"budget", CONF_U64, &o->budget, "PERCENT",
			"CPU time that each producer may take: of one CPU, or of all for what its "
			"BPF programs take; 0: no limit",
			.max = 100},
		{"log-level", CONF_STRING, &o->log_level, "LEVEL", CONF_LEVELS,
			.check = conf_check_level},
		{"proc-dir", CONF_STRING, &o->proc_dir, "DIR", "read this instead, for tests"},
		{"sys-dir", CONF_STRING, &o->sys_dir, "DIR",
			"read CPUs and nodes there, for tests"},
		{"cgroup-dir", CONF_STRING, &o->cgroup_dir, "DIR",
			"read control groups there, for tests"},
		{"link-backoff-max", CONF_DURATION, &o->link_backoff_ns, "TIME",
			"longest pause between attempts to connect; 60s by default"},
		{"foreground", CONF_BOOL, &o->foreground, NULL,
			"don't go to the background when ready", .only_cli = true},
		{"check-config", CONF_BOOL, &o->check_config, NULL,
			"say whether options, configuration file and furl are good, and exit",
			.only_cli = true},
		{"once", CONF_BOOL, &o->once, NULL,
			"print one snapshot (of PRODUCER) and exit; nothing is written",
			.only_cli = true},
		{0},
	};
	struct buf epilog = BUF_INIT;
	struct conf_program prog = {
		.name = "tallyd",
		.summary = "Takes snapshots of the counters of programs and of the kernel, keeps "
			   "them in a ring on disk, and hands them to a gatherer.",
		.usage = "[OPTION]...  or  tallyd --once [OPTION]... [PRODUCER]...",
		.config = "/etc/tally/tallyd.conf",
		.options = table,
	};

	int err;

	provider_describe(&epilog);
	prog.epilog = buf_error(&epilog) ? NULL : (const char *)epilog.data;
	err = conf_load(&prog, argc, argv, ret_first, e);
	buf_release(&epilog);
	return err;
}

/* --- one snapshot as text -------------------------------------------------------------------- */

static struct provider_config provider_config(const struct options *o)
{
	return (struct provider_config){
		.name = o->name,
		.state_dir = o->state_dir,
		.segment_dir = o->segment_dir,
		.proc_dir = o->proc_dir,
		.sys_dir = o->sys_dir,
		.interval_ns = o->interval_ns,
		.ring_bytes = o->ring_size,
		.cgroup_dir = o->cgroup_dir,
		.cgroup_limit = (uint32_t)o->cgroup_limit,
		.top = (uint32_t)o->top,
		.budget_percent = (uint32_t)o->budget,
		.producers = (const char *const *)o->producers,
	};
}

static int print_once(const struct options *o, char **names, struct errmsg *e)
{
	struct provider_config cfg = provider_config(o);
	struct provider *p;
	int err;

	cfg.read_only = true;
	if (names[0])
		cfg.producers = (const char *const *)names;
	err = provider_new(&cfg, &p, e);
	if (err)
		return err;
	err = provider_poll(p, 0);
	if (err < 0)
		err_set(e, err, "no snapshot: %s", strerror(-err));
	else
		provider_print(p, stdout);
	provider_free(p);
	if (err >= 0 && fflush(stdout))
		err = err_set(e, -errno, "standard output: %s", strerror(errno));
	return err < 0 ? err : 0;
}

/* The options have been checked when this is called. */
static int check_config(const struct options *o, struct errmsg *e)
{
	struct furl furl;
	int err = furl_read_file(o->furl_file, &furl, e);

	explicit_bzero(&furl, sizeof(furl));
	if (err && err != -ENOENT)
		return err;
	printf("the configuration is good; %s %s\n", err ? "there is no furl in" : "the furl is in",
		o->furl_file);
	return fflush(stdout) ? err_set(e, -errno, "standard output: %s", strerror(errno)) : 0;
}

/* --- start ----------------------------------------------------------------------------------- */

/* Each segment takes a descriptor: as many as may be. */
static void raise_file_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return;
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
}

static int open_directories(struct daemon *d, struct errmsg *e)
{
	struct errmsg why;
	int err = run_as_open_state_dir(&d->as, d->opt.state_dir, &d->state_fd, e);

	if (err)
		return err;
	/* Without it the producer "segments" is left out, and all else works. */
	if (run_as_make_dir(&d->as, d->opt.segment_dir, SEGMENT_DIR_MODE, &why))
		diag_warning("%s", why.text);
	return 0;
}

static int load_identity(struct daemon *d, struct errmsg *e)
{
	char path[4096];
	int err;

	if ((size_t)snprintf(path, sizeof(path), "%s/key.pem", d->opt.state_dir) >= sizeof(path))
		return err_set(e, -ENAMETOOLONG, "%s: the name is too long", d->opt.state_dir);
	err = identity_load(path, &d->identity, e);
	if (err)
		return err;
	/* Reading a key leaves holes in the heap: tables of zeros that producers made there would take memory. */
	malloc_trim(0);
	err = furl_read_file(d->opt.furl_file, &d->furl, e);
	d->has_furl = !err;
	return err == -ENOENT ? 0 : err;
}

static int open_provider(struct daemon *d, struct errmsg *e)
{
	struct provider_config cfg = provider_config(&d->opt);
	int err = provider_new(&cfg, &d->provider, e);

	if (!err)
		err = provider_open_ring(d->provider, e);
	if (!err)
		err = run_as_own(&d->as, d->opt.state_dir, "ring", e);
	/* What reading the kernel's type information took at its peak is not needed again. */
	malloc_trim(0);
	return err;
}

/* --- event loop ------------------------------------------------------------------------------ */

static void set_timer(struct daemon *d)
{
	uint64_t now = clock_monotonic_ns(), due = provider_due_ns(d->provider);
	uint64_t wait = due > now ? due - now : NSEC_PER_MSEC;
	struct timeval tv = {
		(time_t)(wait / NSEC_PER_SEC), (suseconds_t)(wait % NSEC_PER_SEC / 1000 + 1)};

	event_add(d->timer, &tv);
}

/* Nobody has polled for a while, or there is nobody: the black box records by itself. */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	if (!d->ending && clock_monotonic_ns() >= provider_due_ns(d->provider))
		provider_poll(d->provider, 0);
	/* The first snapshots are taken and the gatherer has been dialled: what comes now is the same all the time. */
	if (d->wakes < SETTLED_WAKES && ++d->wakes == SETTLED_WAKES)
		memory_give_back();
	set_timer(d);
}

static void on_hup(evutil_socket_t fd, short what, void *arg)
{
	diag_notice("SIGHUP: options are read at start only; restart tallyd to change them");
}

static void end_loop(void *arg)
{
	event_base_loopbreak(((struct daemon *)arg)->base);
}

/* The first signal ends in order, with a last snapshot that is delivered; a second one at once. */
static void on_end(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *d = arg;

	if (d->ending) {
		end_loop(d);
		return;
	}
	d->ending = true;
	diag_notice("%s: ending", sig == SIGTERM ? "SIGTERM" : "SIGINT");
	daemon_notify("STOPPING=1");
	provider_poll(d->provider, 0);
	if (d->link)
		link_shutdown(d->link, SHUTDOWN_LIMIT_NS, end_loop, d);
	else
		end_loop(d);
}

static int make_loop(struct daemon *d, struct errmsg *e)
{
	d->base = event_base_new();
	if (!d->base)
		return err_set(e, -ENOMEM, "no event loop");
	d->timer = evtimer_new(d->base, on_timer, d);
	d->sigterm = evsignal_new(d->base, SIGTERM, on_end, d);
	d->sigint = evsignal_new(d->base, SIGINT, on_end, d);
	d->sighup = evsignal_new(d->base, SIGHUP, on_hup, d);
	if (!d->timer || !d->sigterm || !d->sigint || !d->sighup || event_add(d->sigterm, NULL) ||
		event_add(d->sigint, NULL) || event_add(d->sighup, NULL))
		return err_set(e, -ENOMEM, "no event loop");
	if (!d->has_furl)
		return 0;
	d->link = link_new(d->base, d->provider, &d->furl, d->identity, e);
	if (!d->link)
		return -ENOMEM;
	if (d->opt.link_backoff_ns)
		link_set_backoff_max(d->link, d->opt.link_backoff_ns);
	provider_set_link(d->provider, d->link);
	return 0;
}

static int run(struct daemon *d, struct errmsg *e)
{
	char id[FINGERPRINT_SIZE];

	fingerprint_format(identity_id(d->identity), id);
	provider_poll(d->provider, 0);
	set_timer(d);
	diag_notice("ready: node %s, key %s, %zu producers, %s", d->opt.name, id,
		registry_count_open(provider_registry(d->provider)),
		d->link ? "connecting to the gatherer" : "no furl: snapshots stay in the ring");
	daemon_ready(d->ready_fd);
	if (d->link)
		link_start(d->link);
	if (event_base_dispatch(d->base) < 0)
		return err_set(e, -EIO, "the event loop failed");
	return 0;
}

static void release(struct daemon *d)
{
	struct event *events[] = {d->timer, d->sigterm, d->sigint, d->sighup};

	link_free(d->link);
	if (d->provider)
		provider_set_link(d->provider, NULL);
	provider_free(d->provider);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i])
			event_free(events[i]);
	if (d->base)
		event_base_free(d->base);
	identity_free(d->identity);
	if (d->state_fd >= 0)
		close(d->state_fd);
}

static int serve(struct daemon *d, struct errmsg *e)
{
	int err = run_as_find(d->opt.user, &d->as, e);

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is a full disk, not an end */
	raise_file_limit();
	if (!err && !d->opt.foreground)
		err = daemon_detach(&d->ready_fd, e);
	if (!err)
		err = open_directories(d, e);
	if (!err)
		err = load_identity(d, e);
	if (!err)
		err = open_provider(d, e);
	if (!err)
		err = privileges_drop(&d->as, e);
	if (!err)
		err = make_loop(d, e);
	if (!err)
		err = run(d, e);
	release(d);
	return err;
}

int main(int argc, char **argv)
{
	struct daemon d = {.ready_fd = -1, .state_fd = -1};
	enum diag_level level = DIAG_INFO;
	struct errmsg e = {""};
	int first, err;

	/* Large buffers, of schemas for one, go back to the system when they are freed, however many there were. */
	mallopt(M_MMAP_THRESHOLD, 64 << 10);
	diag_init("tallyd", level);
	err = set_defaults(&d.opt);
	if (!err)
		err = read_options(&d.opt, argc, argv, &first, &e);
	if (err == 1)
		goto out;
	if (!err && !d.opt.once && argv[first])
		err = err_set(
			&e, -EINVAL, "'%.60s': only --once takes names of producers", argv[first]);
	if (err)
		goto out;
	conf_parse_level(d.opt.log_level, &level);
	diag_init("tallyd", level);
	if (d.opt.check_config)
		err = check_config(&d.opt, &e);
	else
		err = d.opt.once ? print_once(&d.opt, argv + first, &e) : serve(&d, &e);
out:
	if (err < 0)
		diag_error("%s", e.text[0] ? e.text : strerror(-err));
	options_release(&d.opt);
	if (err >= 0)
		return CONF_EXIT_OK;
	return err == -EINVAL ? CONF_EXIT_USAGE : CONF_EXIT_FAIL;
}
