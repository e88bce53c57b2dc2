/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HTTP: /metrics, /-/healthy and a page that says so.
 *
 * evhttp sets no limits by itself; here are limits for the size of requests, for idle time, and for
 * the number of connections (by the process's descriptors).
 */
#include "gatherer/http.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gatherer/openmetrics.h"
#include "gatherer/store/store.h"
#include "user/lib/diag.h"
#include "user/lib/util.h"

#define HTTP_HEADERS_MAX     16384
#define HTTP_BODY_MAX        16384
#define HTTP_TIMEOUT_S       30
#define HTTP_DESCRIPTORS_MAX 1024 /* connections, and the files of history that are open */
#define HTTP_PAUSE_S         1 /* without a free descriptor, accepting rests so long */
#define HTTP_FRESH_NS        (300 * (int64_t)NSEC_PER_SEC)
#define KEEPER_PAUSE_S       1
#define KEEPER_FD            (STDERR_FILENO + 1) /* the listening socket */
#define KEEPER_EXEC_FAILED   126
#define HTTP_KEEPER_ARG      "--http-keeper"

struct http {
	const char *history_dir;
	struct history *history; /* NULL until it could be opened */
};

/* One server a process. evhttp keeps the listener's argument for itself, so this can't be passed on. */
static struct event *accept_pause;

/* --- history ------------------------------------------------------------------------------------- */

/* History may not be there yet, or not any more: each request tries again. */
static int http_refresh(struct http *h, struct errmsg *e)
{
	int rc;

	if (!h->history)
		return history_open(h->history_dir, &h->history, e);
	rc = history_refresh(h->history);
	if (rc && rc != -EBADMSG) {
		history_close(h->history);
		h->history = NULL;
		return err_set(e, rc, "%s: %s", h->history_dir, strerror(-rc));
	}
	return 0; /* damage costs its own samples, not the page */
}

struct collect {
	struct http *http;
	struct openmetrics *om;
	int64_t now_ns;
};

static int http_collect(void *arg, size_t node, const struct group_state *g)
{
	struct collect *c = arg;

	if (g->realtime_ns < c->now_ns - HTTP_FRESH_NS ||
		g->realtime_ns > c->now_ns + HTTP_FRESH_NS)
		return 0;
	return openmetrics_add(c->om, history_node(c->http->history, node)->name, g);
}

static int http_render_metrics(
	struct http *h, enum exposition form, struct buf *out, struct errmsg *e)
{
	struct collect c = {.http = h, .om = openmetrics_new(), .now_ns = clock_realtime_ns()};
	int rc;

	if (!c.om)
		return err_set(e, -ENOMEM, "no memory");
	rc = http_refresh(h, e);
	if (!rc) {
		rc = history_newest(h->history, http_collect, &c);
		if (!rc)
			rc = openmetrics_render(c.om, form, out);
		if (rc)
			err_set(e, rc, "%s: %s", h->history_dir, strerror(-rc));
	}
	openmetrics_free(c.om);
	return rc;
}

/* --- answers ------------------------------------------------------------------------------------- */

static void http_reply(
	struct evhttp_request *req, int code, const char *type, const void *body, size_t len)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
	struct evbuffer *out = evbuffer_new();

	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	if (!out || evbuffer_add(out, body, len))
		evhttp_send_error(req, HTTP_INTERNAL, NULL);
	else
		evhttp_send_reply(req, code, NULL, out);
	if (out)
		evbuffer_free(out);
}

static void http_reply_text(struct evhttp_request *req, int code, const char *text)
{
	http_reply(req, code, "text/plain; charset=utf-8", text, strlen(text));
}

static void http_on_metrics(struct evhttp_request *req, void *arg)
{
	const char *accept = evhttp_find_header(evhttp_request_get_input_headers(req), "Accept");
	enum exposition form = openmetrics_negotiate(accept);
	struct errmsg e = {"failed"};
	struct buf out = BUF_INIT;

	if (http_render_metrics(arg, form, &out, &e)) {
		diag_warning("/metrics: %s", e.text);
		strncat(e.text, "\n", sizeof(e.text) - strlen(e.text) - 1);
		http_reply_text(req, HTTP_SERVUNAVAIL, e.text);
	} else {
		http_reply(req, HTTP_OK,
			form == EXPOSITION_OPENMETRICS ? OPENMETRICS_TYPE : PLAIN_TEXT_TYPE,
			out.data, out.len);
	}
	buf_release(&out);
}

static void http_on_healthy(struct evhttp_request *req, void *arg)
{
	http_reply_text(req, HTTP_OK, "OK\n");
}

static void http_on_root(struct evhttp_request *req, void *arg)
{
	static const char page[] =
		"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
		"<title>tally-gatherer</title></head><body>\n<h1>tally-gatherer</h1>\n<ul>\n"
		"<li><a href=\"/metrics\">/metrics</a>: newest values of every node, for "
		"Prometheus\n"
		"<li><a href=\"/-/healthy\">/-/healthy</a>: OK while this server runs\n"
		"</ul>\n<p>History itself is read with the <code>tally</code> command.\n"
		"</body></html>\n";

	http_reply(req, HTTP_OK, "text/html; charset=utf-8", page, sizeof(page) - 1);
}

static void http_on_other(struct evhttp_request *req, void *arg)
{
	http_reply_text(req, HTTP_NOTFOUND, "Nothing here. Try /metrics\n");
}

/* --- processes ----------------------------------------------------------------------------------- */

static void http_limit_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur <= HTTP_DESCRIPTORS_MAX)
		return;
	limit.rlim_cur = HTTP_DESCRIPTORS_MAX;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* All descriptors are taken: the listener would be reported as ready again and again. */
static void http_on_accept_error(struct evconnlistener *l, void *unused)
{
	struct timeval tv = {.tv_sec = HTTP_PAUSE_S};

	evconnlistener_disable(l);
	evtimer_add(accept_pause, &tv);
}

static void http_on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	evconnlistener_enable(arg);
}

static int http_listen(struct evhttp *server, struct event_base *base, int fd)
{
	struct evhttp_bound_socket *bound = evhttp_accept_socket_with_handle(server, fd);
	struct evconnlistener *l = bound ? evhttp_bound_socket_get_listener(bound) : NULL;

	if (!l)
		return -ENOMEM;
	accept_pause = evtimer_new(base, http_on_pause_over, l);
	if (!accept_pause)
		return -ENOMEM;
	evconnlistener_set_error_cb(l, http_on_accept_error);
	return 0;
}

static int http_set_up(struct evhttp *server, struct event_base *base, struct http *h, int fd)
{
	evhttp_set_max_headers_size(server, HTTP_HEADERS_MAX);
	evhttp_set_max_body_size(server, HTTP_BODY_MAX);
	evhttp_set_timeout(server, HTTP_TIMEOUT_S);
	evhttp_set_allowed_methods(server, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_gencb(server, http_on_other, h);
	if (evhttp_set_cb(server, "/", http_on_root, h) ||
		evhttp_set_cb(server, "/metrics", http_on_metrics, h) ||
		evhttp_set_cb(server, "/-/healthy", http_on_healthy, h))
		return -ENOMEM;
	return http_listen(server, base, fd);
}

int http_serve(const char *history_dir, int fd, struct errmsg *e)
{
	struct http h = {.history_dir = history_dir};
	struct event_base *base = event_base_new();
	struct evhttp *server = base ? evhttp_new(base) : NULL;
	int rc = -ENOMEM;

	http_limit_descriptors();
	if (server)
		rc = http_set_up(server, base, &h, fd);
	if (!rc) {
		event_base_dispatch(base);
		rc = -EIO;
	}
	if (server)
		evhttp_free(server);
	if (accept_pause)
		event_free(accept_pause);
	if (base)
		event_base_free(base);
	if (h.history)
		history_close(h.history);
	return err_set(e, rc, "HTTP server: %s", strerror(-rc));
}

/* Ends with the parent, also if that ended before the kernel was asked for it. */
static void http_end_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
}

static void http_reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	signal(SIGTERM, SIG_DFL);
	signal(SIGPIPE, SIG_IGN); /* clients that hang up */
	signal(SIGINT, SIG_IGN); /* the terminal's: the gatherer gets it too and ends us in order */
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The sockets for providers and the rest of the gatherer's descriptors are no business of ours. */
static int http_keep_only(int fd)
{
	int kept = dup2(fd, KEEPER_FD);

	close_range((unsigned int)kept + 1, ~0u, 0);
	/* One that had this number before is still to be closed by exec. */
	fcntl(kept, F_SETFD, 0);
	return kept;
}

static void http_run_server(const char *history_dir, int fd, pid_t keeper)
{
	struct errmsg e = {""};

	http_end_with(keeper);
	http_serve(history_dir, fd, &e);
	diag_error("%s", e.text);
	_exit(1);
}

static void __attribute__((noreturn)) http_keep(const char *history_dir, int fd)
{
	int status;

	for (;;) {
		pid_t self = getpid(), pid = fork();

		if (!pid)
			http_run_server(history_dir, fd, self);
		while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (pid > 0)
			diag_error("the HTTP server died (%s %d): starting it again",
				WIFSIGNALED(status) ? "signal" : "exit code",
				WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		sleep(KEEPER_PAUSE_S);
	}
}

pid_t http_start(const struct gatherer_config *cfg, int fd, struct errmsg *e)
{
	pid_t self = getpid(), pid = fork();

	if (pid < 0)
		return err_set(e, -errno, "HTTP server: fork: %s", strerror(errno));
	if (pid)
		return pid;
	http_reset_signals();
	http_end_with(self);
	http_keep(cfg->history_dir, http_keep_only(fd));
}

/* Between fork and exec other threads' locks may be held: system calls only. */
pid_t http_start_again(const struct gatherer_config *cfg, int fd, struct errmsg *e)
{
	char level[16];
	const char *const argv[] = {
		"tally-gatherer", HTTP_KEEPER_ARG, cfg->history_dir, level, NULL};
	pid_t self = getpid(), pid;

	snprintf(level, sizeof(level), "%d", (int)cfg->level);
	pid = fork();
	if (pid < 0)
		return err_set(e, -errno, "HTTP server: fork: %s", strerror(errno));
	if (pid)
		return pid;
	http_reset_signals();
	http_end_with(self);
	http_keep_only(fd);
	execv("/proc/self/exe", (char *const *)argv);
	_exit(KEEPER_EXEC_FAILED);
}

bool http_is_keeper(int argc, char **argv)
{
	return argc == 4 && !strcmp(argv[1], HTTP_KEEPER_ARG);
}

void http_keeper_main(char **argv)
{
	diag_init("tally-gatherer", (enum diag_level)atoi(argv[3]));
	http_keep(argv[2], KEEPER_FD);
}

void http_stop(pid_t keeper)
{
	if (keeper <= 0)
		return;
	kill(keeper, SIGTERM);
	while (waitpid(keeper, NULL, 0) < 0 && errno == EINTR)
		;
}
