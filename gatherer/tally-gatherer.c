// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tally-gatherer: polls providers and keeps the history of their metrics.
 *
 * The order of the start matters:
 *   sockets are bound (low ports need root), privileges dropped, HTTP forked (it must know no key),
 *   key and furl, history, threads; then connections are accepted and the furl is printed.
 */
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
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
#include "user/lib/diag.h"
#include "user/lib/util.h"

#define LISTEN_MAX       16
#define SEAL_CHECK_EVERY 1 /* seconds */

struct program {
	struct gatherer_config cfg;
	struct gatherer g;
	struct furl furl;
	struct identity *identity;
	struct server *server;
	struct self *self;
	pid_t http;
	int ready_fd;
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

	if (p->http > 0 && waitpid(p->http, NULL, WNOHANG) == p->http) {
		diag_error("the keeper of the HTTP server died: no HTTP until the next start");
		p->http = 0;
	}
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
	if (add_event(p, SIGTERM, EV_SIGNAL, NULL, on_stop) ||
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

static int bind_sockets(struct program *p, int *ret_http_fd, struct errmsg *e)
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
	*ret_http_fd = fd;
	return 0;
}

/* The addresses as configured, when there is no need to bind them. */
static void take_addresses(struct program *p)
{
	for (char **l = p->cfg.listen; *l && p->nlisten < LISTEN_MAX; l++)
		snprintf(p->addresses[p->nlisten++], sizeof(p->addresses[0]), "%s", *l);
}

/* A directory that we made is given to the user; one that was there must be his already. */
static int check_data_dir(const char *dir, bool made, const struct daemon_user *u, struct errmsg *e)
{
	struct stat st;

	if (made && chown(dir, u->uid, u->gid))
		return err_set(e, -errno, "%s: chown to %s: %s", dir, u->name, strerror(errno));
	if (stat(dir, &st))
		return err_set(e, -errno, "%s: %s", dir, strerror(errno));
	if (st.st_uid != u->uid)
		return err_set(e, -EACCES, "%s belongs to uid %u, we run as %s: chown -R %s %s",
			dir, (unsigned int)st.st_uid, u->name, u->name, dir);
	return 0;
}

static int become_user(struct program *p, struct errmsg *e)
{
	bool made = access(p->cfg.data_dir, F_OK) != 0;
	int rc = make_dirs(p->cfg.data_dir, 0750, e);
	struct daemon_user u;

	if (rc || geteuid())
		return rc;
	rc = daemon_find_user(p->cfg.user, &u, e);
	if (rc == -ENOENT) {
		diag_warning("there is no user %s: staying root", p->cfg.user);
		return 0;
	}
	if (rc || !u.uid)
		return rc;
	rc = check_data_dir(p->cfg.data_dir, made, &u, e);
	return rc ? rc : daemon_become(&u, e);
}

static int open_enrolment(struct program *p, struct errmsg *e)
{
	const char *hosts[LISTEN_MAX];

	for (size_t i = 0; i < p->nlisten; i++)
		hosts[i] = p->addresses[i];
	return enrol_open(&p->cfg, hosts, p->nlisten, &p->identity, &p->furl, e);
}

static int print_furl(const struct program *p)
{
	char text[FURL_TEXT_MAX + 1];
	int rc = furl_format(&p->furl, text, sizeof(text));

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
	on_seal_check(-1, 0, p); /* a head from before may be big or old enough */
	return rc;
}

static void say_ready(struct program *p)
{
	char fingerprint[FINGERPRINT_SIZE];

	fingerprint_format(identity_id(p->identity), fingerprint);
	if (print_furl(p))
		diag_warning("the furl could not be printed; it is in %s", p->cfg.furl_path);
	diag_notice("ready: key %s, providers on %s, HTTP %s", fingerprint, p->addresses[0],
		p->http ? p->cfg.http_listen : "off");
	daemon_ready(p->ready_fd);
}

static int start_http(struct program *p, int fd, struct errmsg *e)
{
	pid_t pid;

	if (fd < 0)
		return 0;
	pid = http_start(&p->cfg, fd, e);
	close(fd);
	if (pid < 0)
		return pid;
	p->http = pid;
	return 0;
}

static int start(struct program *p, struct errmsg *e)
{
	int http_fd = -1, rc;

	raise_descriptor_limit();
	rc = bind_sockets(p, &http_fd, e);
	if (!rc)
		rc = become_user(p, e);
	if (!rc)
		rc = start_http(p, http_fd, e);
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
	nodes_release(&p->g);
	if (p->g.base)
		event_base_free(p->g.base);
	SSL_CTX_free(p->g.tls);
	http_stop(p->http);
	identity_free(p->identity);
	explicit_bzero(&p->furl, sizeof(p->furl));
	return rc;
}

static int run(struct program *p, struct errmsg *e)
{
	struct errmsg at_end;
	int rc;

	p->ready_fd = -1;
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

/* --print-furl: makes key and furl if need be, but starts nothing. */
static int run_print_furl(struct program *p, struct errmsg *e)
{
	int rc;

	take_addresses(p);
	rc = become_user(p, e);
	if (!rc)
		rc = open_enrolment(p, e);
	if (!rc && print_furl(p))
		rc = err_set(e, -EIO, "can't write to standard output");
	identity_free(p->identity);
	return rc;
}

int main(int argc, char **argv)
{
	static struct program p;
	struct errmsg e = {""};
	int rc;

	diag_init("tally-gatherer", DIAG_INFO);
	rc = config_load(argc, argv, &p.cfg, &e);
	if (rc == 1)
		return CONF_EXIT_OK;
	if (!rc) {
		diag_init("tally-gatherer", p.cfg.level);
		rc = p.cfg.print_furl ? run_print_furl(&p, &e) : run(&p, &e);
	}
	config_release(&p.cfg);
	if (!rc)
		return CONF_EXIT_OK;
	diag_error("%s", e.text[0] ? e.text : strerror(-rc));
	return rc == -EINVAL ? CONF_EXIT_USAGE : CONF_EXIT_FAIL;
}
