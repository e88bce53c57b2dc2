/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tally-gatherer: polls providers and keeps the history of their metrics.
 *
 * The order of the start matters:
 *   sockets are bound (low ports need root), the data directory checked and locked before anything is
 *   written there, privileges dropped, HTTP forked (it must know no key), key and furl, history,
 *   threads; then connections are accepted.
 */
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gatherer/commit.h"
#include "gatherer/config.h"
#include "gatherer/enrol.h"
#include "gatherer/http.h"
#include "gatherer/ingest.h"
#include "gatherer/node.h"
#include "gatherer/peer.h"
#include "gatherer/self.h"
#include "gatherer/server.h"
#include "user/lib/conf.h"
#include "user/lib/daemon.h"
#include "user/lib/datadir.h"
#include "user/lib/diag.h"
#include "user/lib/util.h"

#define LISTEN_MAX       16
#define SEAL_CHECK_EVERY 1 /* seconds */
#define HTTP_PAUSE_MIN   1 /* seconds until a keeper of HTTP that died is started again */
#define HTTP_PAUSE_MAX   64 /* ... if it dies again and again */
#define DATA_DIR_MODE    0750

struct program {
	struct gatherer_config cfg;
	struct gatherer g;
	struct furl furl;
	struct identity *identity;
	struct server *server;
	struct self *self;
	pid_t http;
	int http_fd; /* its listening socket, for another keeper */
	unsigned int http_pause; /* seconds */
	uint64_t http_started_ns;
	struct event *http_timer;
	int ready_fd, data_fd; /* the data directory, locked */
	int listen_fds[LISTEN_MAX];
	char addresses[LISTEN_MAX][64];
	size_t nlisten;
	struct event *events[8];
	size_t nevents;
};

/* --- events -------------------------------------------------------------------------------------- */

static void on_stop(evutil_socket_t sig, short what, void *arg)
{
	struct program *p = arg;

	diag_notice("stopping");
	event_base_loopbreak(p->g.base);
}

static void on_hangup(evutil_socket_t sig, short what, void *arg)
{
	diag_notice("SIGHUP: the configuration is read at the start only; nothing is done");
}

static void on_child(evutil_socket_t sig, short what, void *arg)
{
	struct program *p = arg;

	struct timeval tv = {0};
	int status;

	if (p->http <= 0 || waitpid(p->http, &status, WNOHANG) != p->http)
		return;
	p->http = 0;
	if (clock_monotonic_ns() - p->http_started_ns > HTTP_PAUSE_MAX * NSEC_PER_SEC)
		p->http_pause = HTTP_PAUSE_MIN;
	diag_error("the keeper of the HTTP server died (%s %d): starting it again in %u s",
		WIFSIGNALED(status) ? "signal" : "exit code",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), p->http_pause);
	tv.tv_sec = (time_t)p->http_pause;
	evtimer_add(p->http_timer, &tv);
	p->http_pause = p->http_pause < HTTP_PAUSE_MAX ? 2 * p->http_pause : HTTP_PAUSE_MAX;
}

static void on_http_pause_over(evutil_socket_t fd, short what, void *arg)
{
	struct timeval tv = {.tv_sec = HTTP_PAUSE_MAX};
	struct program *p = arg;
	struct errmsg e;
	pid_t pid = http_start_again(&p->cfg, p->http_fd, &e);

	if (pid < 0) {
		diag_error("%s", e.text);
		evtimer_add(p->http_timer, &tv);
		return;
	}
	p->http = pid;
	p->http_started_ns = clock_monotonic_ns();
}

static void on_commit(evutil_socket_t fd, short what, void *arg)
{
	struct program *p = arg;
	uint64_t times;

	if (read(fd, &times, sizeof(times)) == sizeof(times))
		ingest_committed(&p->g);
}

static void on_seal_check(evutil_socket_t fd, short what, void *arg)
{
	struct program *p = arg;

	if (store_seal_due(p->g.store, clock_monotonic_ns()))
		commit_seal(p->g.commit);
}

static int add_event(struct program *p, evutil_socket_t fd, short what, const struct timeval *tv,
	event_callback_fn fn)
{
	struct event *ev = event_new(p->g.base, fd, what | EV_PERSIST, fn, p);

	if (!ev)
		return -ENOMEM;
	p->events[p->nevents++] = ev;
	return event_add(ev, tv) ? -ENOMEM : 0;
}

static int add_events(struct program *p, struct errmsg *e)
{
	struct timeval tv = {.tv_sec = SEAL_CHECK_EVERY};

	signal(SIGPIPE, SIG_IGN);
	p->http_timer = evtimer_new(p->g.base, on_http_pause_over, p);
	if (!p->http_timer || add_event(p, SIGTERM, EV_SIGNAL, NULL, on_stop) ||
		add_event(p, SIGINT, EV_SIGNAL, NULL, on_stop) ||
		add_event(p, SIGHUP, EV_SIGNAL, NULL, on_hangup) ||
		add_event(p, SIGCHLD, EV_SIGNAL, NULL, on_child) ||
		add_event(p, commit_fd(p->g.commit), EV_READ, NULL, on_commit) ||
		add_event(p, -1, 0, &tv, on_seal_check))
		return err_set(e, -ENOMEM, "no memory for events");
	return 0;
}

/* --- start --------------------------------------------------------------------------------------- */

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int bind_sockets(struct program *p, struct errmsg *e)
{
	int fd;

	for (char **l = p->cfg.listen; *l; l++) {
		if (p->nlisten == LISTEN_MAX)
			return err_set(e, -EINVAL, "listen: more than %d addresses", LISTEN_MAX);
		fd = server_bind(*l, e);
		if (fd < 0)
			return fd;
		p->listen_fds[p->nlisten] = fd;
		server_address(fd, p->addresses[p->nlisten], sizeof(p->addresses[0]));
		p->nlisten++;
	}
	if (!p->cfg.http_listen[0])
		return 0;
	fd = server_bind(p->cfg.http_listen, e);
	if (fd < 0)
		return fd;
	p->http_fd = fd;
	return 0;
}

/* As root: who is it to be, and is the directory his? Then it is him who goes on. */
static int become_user(struct program *p, struct errmsg *e)
{
	static const char *const marks[] = {"key.pem", "history", NULL};
	const struct datadir dir = {.path = p->cfg.data_dir,
		.program = "tally-gatherer",
		.marks = marks,
		.mode = DATA_DIR_MODE};
	struct daemon_user u = {0};
	int rc = geteuid() ? 0 : daemon_find_user_or_nobody(p->cfg.user, &u, e);

	if (!rc)
		rc = datadir_open(&dir, u.uid ? &u : NULL, &p->data_fd, e);
	return rc || !u.uid ? rc : daemon_become(&u, e);
}

static int open_enrolment(struct program *p, struct errmsg *e)
{
	const char *hosts[LISTEN_MAX];

	for (size_t i = 0; i < p->nlisten; i++)
		hosts[i] = p->addresses[i];
	return enrol_open(&p->cfg, hosts, p->nlisten, &p->identity, &p->furl, e);
}

static int print_furl(const struct furl *f)
{
	char text[FURL_TEXT_MAX + 1];
	int rc = furl_format(f, text, sizeof(text));

	if (!rc && (printf("%s\n", text) < 0 || fflush(stdout)))
		rc = -EIO;
	explicit_bzero(text, sizeof(text));
	return rc;
}

static int start_gatherer(struct program *p, struct errmsg *e)
{
	struct store_options options = {
		.head_bytes = p->cfg.head_bytes, .head_age_ns = p->cfg.head_age_ns};
	struct gatherer *g = &p->g;
	int rc;

	g->cfg = &p->cfg;
	g->identity = p->identity;
	g->secret = p->furl.secret;
	TAILQ_INIT(&g->peers);
	g->tls = tls_context(p->identity, true, e);
	if (!g->tls)
		return -EIO;
	g->base = event_base_new();
	if (!g->base)
		return err_set(e, -ENOMEM, "no memory for an event loop");
	rc = make_dirs(p->cfg.history_dir, 0750, e);
	if (!rc)
		rc = store_open(p->cfg.history_dir, &options, &g->store, e);
	if (!rc)
		rc = commit_start(g->store, p->cfg.sync_interval_ns, &g->commit, e);
	if (!rc)
		rc = add_events(p, e);
	return rc;
}

static int start_serving(struct program *p, struct errmsg *e)
{
	int rc = self_start(&p->g, &p->self, e);

	if (rc)
		diag_error("%s; going on without them", e->text);
	rc = server_start(&p->g, p->listen_fds, p->nlisten, &p->server, e);
	p->nlisten = 0; /* the sockets are the server's now */
	on_child(SIGCHLD, 0, p); /* it may have died before we listened */
	on_seal_check(-1, 0, p); /* a head from before may be big or old enough */
	return rc;
}

static void say_ready(struct program *p)
{
	char fingerprint[FINGERPRINT_SIZE];

	fingerprint_format(identity_id(p->identity), fingerprint);
	/* A terminal is somebody who looks; anything else is a log, which must not know the secret. */
	if (isatty(STDOUT_FILENO))
		print_furl(&p->furl);
	diag_notice("the furl for providers is in %s", p->cfg.furl_path);
	diag_notice("ready: key %s, providers on %s, HTTP %s", fingerprint, p->addresses[0],
		p->http_fd >= 0 ? p->cfg.http_listen : "off");
	daemon_ready(p->ready_fd);
}

static int start_http(struct program *p, struct errmsg *e)
{
	pid_t pid;

	if (p->http_fd < 0)
		return 0;
	pid = http_start(&p->cfg, p->http_fd, e);
	if (pid < 0)
		return pid;
	p->http = pid;
	p->http_started_ns = clock_monotonic_ns();
	p->http_pause = HTTP_PAUSE_MIN;
	return 0;
}

static int start(struct program *p, struct errmsg *e)
{
	int rc;

	raise_descriptor_limit();
	rc = bind_sockets(p, e);
	if (!rc)
		rc = become_user(p, e);
	if (!rc)
		rc = start_http(p, e);
	if (!rc)
		rc = open_enrolment(p, e);
	if (!rc)
		rc = start_gatherer(p, e);
	if (!rc)
		rc = start_serving(p, e);
	return rc;
}

/* --- end ----------------------------------------------------------------------------------------- */

static int stop(struct program *p, struct errmsg *e)
{
	int rc = 0;

	server_stop(p->server);
	for (size_t i = 0; i < p->nlisten; i++)
		close(p->listen_fds[i]);
	if (p->g.base)
		peers_close_all(&p->g);
	self_stop(p->self);
	commit_stop(p->g.commit);
	if (p->g.store) {
		rc = store_close(p->g.store);
		if (rc)
			err_set(e, rc, "%s: %s", p->cfg.history_dir, strerror(-rc));
	}
	for (size_t i = 0; i < p->nevents; i++)
		event_free(p->events[i]);
	if (p->http_timer)
		event_free(p->http_timer);
	nodes_release(&p->g);
	if (p->g.base)
		event_base_free(p->g.base);
	SSL_CTX_free(p->g.tls);
	http_stop(p->http);
	if (p->http_fd >= 0)
		close(p->http_fd);
	if (p->data_fd >= 0)
		close(p->data_fd);
	identity_free(p->identity);
	explicit_bzero(&p->furl, sizeof(p->furl));
	return rc;
}

static int run(struct program *p, struct errmsg *e)
{
	struct errmsg at_end;
	int rc;

	p->ready_fd = p->data_fd = p->http_fd = -1;
	if (!p->cfg.foreground && (rc = daemon_detach(&p->ready_fd, e)))
		return rc;
	rc = start(p, e);
	if (!rc) {
		say_ready(p);
		event_base_dispatch(p->g.base);
		daemon_notify("STOPPING=1");
		rc = stop(p, e);
	} else {
		stop(p, &at_end); /* what went wrong at the start is what counts */
	}
	return rc;
}

/* --print-furl: a look at the file, also while a gatherer runs. */
static int run_print_furl(const struct gatherer_config *cfg, struct errmsg *e)
{
	struct furl f;
	int rc = furl_read_file(cfg->furl_path, &f, e);

	if (rc == -ENOENT)
		return err_set(e, rc,
			"there is no furl in %s yet: start the gatherer once, it makes one",
			cfg->furl_path);
	if (!rc && print_furl(&f))
		rc = err_set(e, -EIO, "can't write to standard output");
	explicit_bzero(&f, sizeof(f));
	return rc;
}

/* The options have been checked when this is called. Without a furl one will be made. */
static int run_check_config(const struct gatherer_config *cfg, struct errmsg *e)
{
	struct furl f;
	int rc = furl_read_file(cfg->furl_path, &f, e);

	explicit_bzero(&f, sizeof(f));
	if (rc && rc != -ENOENT)
		return rc;
	puts("the configuration is good");
	return fflush(stdout) ? err_set(e, -EIO, "can't write to standard output") : 0;
}

static int run_as_asked(struct program *p, struct errmsg *e)
{
	if (p->cfg.check_config)
		return run_check_config(&p->cfg, e);
	return p->cfg.print_furl ? run_print_furl(&p->cfg, e) : run(p, e);
}

int main(int argc, char **argv)
{
	static struct program p;
	struct errmsg e = {""};
	int rc;

	if (http_is_keeper(argc, argv))
		http_keeper_main(argv);
	diag_init("tally-gatherer", DIAG_INFO);
	rc = config_load(argc, argv, &p.cfg, &e);
	if (rc == 1)
		return CONF_EXIT_OK;
	if (!rc) {
		diag_init("tally-gatherer", p.cfg.level);
		rc = run_as_asked(&p, &e);
	}
	config_release(&p.cfg);
	if (!rc)
		return CONF_EXIT_OK;
	diag_error("%s", e.text[0] ? e.text : strerror(-rc));
	return rc == -EINVAL ? CONF_EXIT_USAGE : CONF_EXIT_FAIL;
}
