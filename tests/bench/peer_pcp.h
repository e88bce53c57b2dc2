/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pmcd of one's own, for peers that are clients of Performance Co-Pilot. It and its agents are those of Debian's
 * package, unpacked to $B/unpacked/pcp: installing it would start daemons. It ends with the program.
 */
#ifndef TALLY_TESTS_BENCH_PEER_PCP_H
#define TALLY_TESTS_BENCH_PEER_PCP_H

#include <pcp/pmapi.h>

#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/peer.h"

static pid_t pmcd;
static char port[16];
static const char *dir; /* for all files */
static char *root; /* of the package */

static void end_pmcd(void)
{
	if (pmcd <= 0)
		return;
	kill(pmcd, SIGTERM);
	waitpid(pmcd, NULL, 0);
	pmcd = 0;
}

static _Noreturn void fail(const char *what, int code)
{
	fprintf(stderr, "pcp: %s%s%s\n", what, code ? ": " : "", code ? pmErrStr(code) : "");
	end_pmcd();
	exit(1);
}

/* base/name, for the life of the program. */
static char *path_of(const char *base, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", base, name) < 0)
		fail("no memory", 0);
	return path;
}

/* Makes dir/name, and has it stand before what pcp.conf says. */
static void make_dir(const char *name, const char *variable)
{
	char *path = path_of(dir, name);

	if (mkdir(path, 0700))
		fail(path, -oserror());
	if (variable)
		setenv(variable, path, 1);
}

static void write_text(const char *name, const char *text)
{
	FILE *f = fopen(path_of(dir, name), "w");

	if (!f || fputs(text, f) < 0 || fclose(f))
		fail("a file can't be written", -oserror());
}

/* One that was free a moment ago. */
static void find_port(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&addr, len) ||
		getsockname(fd, (struct sockaddr *)&addr, &len))
		fail("no port", -oserror());
	close(fd);
	snprintf(port, sizeof(port), "%d", ntohs(addr.sin_port));
}

/* With the agents that `conf` lists, and their names of dir/names. */
static void start_pmcd(const char *conf)
{
	char *program = path_of(root, "usr/lib/pcp/bin/pmcd"),
	     *conf_file = path_of(dir, "pmcd.conf");
	char *space = path_of(dir, "names"), *log = path_of(dir, "log/pmcd.log");
	char *sock = path_of(dir, "pmcd.socket");

	write_text("pmcd.conf", conf);
	find_port();
	pmcd = fork();
	if (pmcd == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(program, program, "-f", "-A", "-x", "/dev/null", "-i", "127.0.0.1", "-p",
			port, "-s", sock, "-c", conf_file, "-n", space, "-l", log, (char *)NULL);
		_exit(127);
	}
}

static int connect_pmcd(void)
{
	char host[64], cat[600];
	int r = -1;

	snprintf(host, sizeof(host), "127.0.0.1:%s", port);
	for (int i = 0; i < 100; i++) {
		r = pmNewContext(PM_CONTEXT_HOST, host);
		if (r >= 0)
			break;
		usleep(100000);
	}
	if (r < 0) {
		snprintf(cat, sizeof(cat), "cat '%s' >&2", path_of(dir, "log/pmcd.log"));
		if (system(cat))
			fprintf(stderr, "pcp: pmcd left no log\n");
	}
	return r;
}

/* Everything of it is to be under `path`, which is made. */
static void use_directory(const char *path)
{
	root = realpath(path_of(getenv("B") ? getenv("B") : "build", "unpacked/pcp"), NULL);
	if (!root)
		fail("its package is not unpacked", -oserror());
	dir = path;
	if (mkdir(dir, 0700))
		fail(dir, -oserror());
	make_dir("tmp", "PCP_TMP_DIR");
	make_dir("tmp/mmv", NULL);
	make_dir("log", "PCP_LOG_DIR");
	make_dir("run", "PCP_RUN_DIR");
	make_dir("var", "PCP_VAR_DIR");
	setenv("PCP_BINADM_DIR", path_of(root, "usr/lib/pcp/bin"), 1);
}

#endif
