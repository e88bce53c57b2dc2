/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Performance Co-Pilot for bench_read.c: `peer_pcp DIR` writes ten MMV files of 1,000 counters (1,023 is
 * the most that one can have), and fetches them through libpcp: from a pmcd of its own with nothing but
 * the MMV agent, and without a daemon (PM_CONTEXT_LOCAL: the agent inside the client). Names are looked
 * up before. pmcd and the agent are those of Debian's package, unpacked to $B/unpacked/pcp: installing
 * it would start daemons.
 */
#include <pcp/pmapi.h>

#include <netinet/in.h>
#include <pcp/mmv_stats.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/peer.h"

#define FILES     10
#define PER_FILE  1000
#define ALL       (FILES * PER_FILE)
#define NAMESPACE "root {\n\tmmv\t70:*:*\n}\n"

static char names[ALL][32];
static const char *name_list[ALL];
static pmID ids[ALL];
static pid_t pmcd;
static char port[16], *agent;
static const char *dir;

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

/* Counter i has the value i + 1. */
static void make_counters(void)
{
	pmUnits count = {.dimCount = 1};

	for (int f = 0; f < FILES; f++) {
		char file[16];
		mmv_registry_t *r;
		void *map;

		snprintf(file, sizeof(file), "f%d", f);
		r = mmv_stats_registry(file, 1 + f, 0);
		for (int i = 0; i < PER_FILE; i++) {
			char *name = names[f * PER_FILE + i];

			snprintf(name, sizeof(names[0]), "mmv.%s.counter_%d", file, i);
			mmv_stats_add_metric(r, strrchr(name, '.') + 1, 1 + i, MMV_TYPE_U64,
				MMV_SEM_COUNTER, count, 0, "A counter", "A counter");
		}
		map = mmv_stats_start(r);
		if (!map)
			fail("an MMV file can't be made", 0);
		for (int i = 0; i < PER_FILE; i++) {
			const char *name = strrchr(names[f * PER_FILE + i], '.') + 1;
			pmAtomValue *value = mmv_lookup_value_desc(map, name, "");

			if (!value)
				fail("a metric is not in its file", 0);
			mmv_set_value(map, value, f * PER_FILE + i + 1);
		}
	}
}

static void check(const pmResult *result, int n)
{
	for (int i = 0; i < n; i++) {
		const pmValueSet *set = result->vset[i];
		uint64_t value = 0;

		if (set->numval == 1 && set->valfmt != PM_VAL_INSITU)
			memcpy(&value, set->vlist[0].value.pval->vbuf, sizeof(value));
		if (value != (uint64_t)i + 1)
			fail("a counter has a wrong value", 0);
	}
}

static void fetch(const char *how, int n)
{
	double samples[PEER_RUNS];
	char name[96];

	for (int i = -3; i < PEER_RUNS; i++) {
		double begin = peer_now_ms();
		pmResult *result;
		int r = pmFetch(n, ids, &result);

		if (r < 0)
			fail("pmFetch", r);
		if (i >= 0)
			samples[i] = peer_now_ms() - begin;
		check(result, n);
		pmFreeResult(result);
	}
	snprintf(name, sizeof(name), "PCP: pmFetch of %d MMV counters, %s", n, how);
	peer_result(name, "ms", samples, PEER_RUNS);
}

static void measure(int context, const char *how)
{
	int r;

	if (context < 0)
		fail(how, context);
	r = pmLookupName(ALL, name_list, ids);
	if (r < 0)
		fail("pmLookupName", r);
	fetch(how, PER_FILE);
	fetch(how, ALL);
	pmDestroyContext(context);
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

static void start_pmcd(const char *root)
{
	char *program = path_of(root, "usr/lib/pcp/bin/pmcd"), *conf = path_of(dir, "pmcd.conf");
	char *space = path_of(dir, "names"), *log = path_of(dir, "log/pmcd.log");
	char *sock = path_of(dir, "pmcd.socket"), line[700];

	snprintf(line, sizeof(line), "mmv\t70\tdso\tmmv_init\t%.600s\n", agent);
	write_text("pmcd.conf", line);
	pmcd = fork();
	if (pmcd == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(program, program, "-f", "-A", "-x", "/dev/null", "-i", "127.0.0.1", "-p",
			port, "-s", sock, "-c", conf, "-n", space, "-l", log, (char *)NULL);
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

int main(int argc, char **argv)
{
	char *root = path_of(getenv("B") ? getenv("B") : "build", "unpacked/pcp"), spec[700];
	char *error;

	dir = argc > 1 ? argv[1] : "";
	root = realpath(root, NULL);
	if (!root)
		fail("its package is not unpacked", -oserror());
	if (mkdir(dir, 0700))
		fail(dir, -oserror());
	make_dir("tmp", "PCP_TMP_DIR");
	make_dir("tmp/mmv", NULL);
	make_dir("log", "PCP_LOG_DIR");
	make_dir("run", "PCP_RUN_DIR");
	make_dir("var", "PCP_VAR_DIR");
	setenv("PCP_BINADM_DIR", path_of(root, "usr/lib/pcp/bin"), 1);
	agent = path_of(root, "usr/lib/pcp/pmdas/mmv/pmda_mmv.so");
	write_text("names", NAMESPACE);
	make_counters();
	for (int i = 0; i < ALL; i++)
		name_list[i] = names[i];

	find_port();
	start_pmcd(root);
	measure(connect_pmcd(), "from pmcd");
	end_pmcd();

	pmSpecLocalPMDA("clear");
	snprintf(spec, sizeof(spec), "add,70,%.600s,mmv_init", agent);
	error = pmSpecLocalPMDA(spec);
	if (error)
		fail(error, 0);
	pmLoadNameSpace(path_of(dir, "names"));
	measure(pmNewContext(PM_CONTEXT_LOCAL, NULL), "no daemon");
	return 0;
}
