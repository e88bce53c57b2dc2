/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Varnish for bench_read.c: `peer_varnish DIR` runs a varnishd of its own, which has some 330 counters
 * and 20 more for each backend, and measures `varnishstat -1 -j`: the whole process, its output thrown
 * away. Beside it varnishstat -V, which is what starting the program costs.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/peer.h"

#define STAT "/usr/bin/varnishstat"

static char vcl[600], work[600], output[600], log_file[600];
static pid_t varnishd;

static void end_varnishd(void)
{
	if (varnishd <= 0)
		return;
	kill(varnishd, SIGTERM);
	waitpid(varnishd, NULL, 0);
	varnishd = 0;
}

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "varnish: %s\n", what);
	end_varnishd();
	exit(1);
}

static pid_t spawn(const char *to, char *const argv[])
{
	pid_t pid = fork();
	int fd;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	execv(argv[0], argv);
	_exit(127);
}

static bool run(const char *to, char *const argv[])
{
	int status;
	pid_t pid = spawn(to, argv);

	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static void measure(const char *name, char *const argv[])
{
	double samples[PEER_RUNS];

	for (int i = -3; i < PEER_RUNS; i++) {
		double begin = peer_now_ms();

		if (!run("/dev/null", argv))
			fail("varnishstat failed");
		if (i >= 0)
			samples[i] = peer_now_ms() - begin;
	}
	peer_result(name, "ms", samples, PEER_RUNS);
}

static unsigned count_values(void)
{
	FILE *f = fopen(output, "r");
	char line[1024];
	unsigned n = 0;

	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, "\"value\":") != NULL;
	if (f)
		fclose(f);
	return n;
}

/* Nothing is ever asked of the backends. */
static void write_vcl(unsigned backends)
{
	FILE *f = fopen(vcl, "w");

	if (!f)
		fail("its configuration can't be written");
	fprintf(f, "vcl 4.1;\n");
	for (unsigned i = 0; i < backends; i++)
		fprintf(f, "backend b%u { .host = \"127.0.0.1\"; .port = \"1\"; }\n", i);
	if (fclose(f))
		fail("its configuration can't be written");
}

static void measure_varnishd(unsigned backends)
{
	/* port 0: one that is free; the configuration is compiled in a moment, and runs never */
	char *daemon[] = {"/usr/sbin/varnishd", "-F", "-n", work, "-a", "127.0.0.1:0", "-T", "none",
		"-j", "none", "-p", "vcc_err_unref=off", "-p",
		"cc_command=exec gcc -O0 -fpic -shared -w -o %o %s", "-f", vcl, NULL};
	char *stat[] = {STAT, "-1", "-j", "-n", work, "-t", "20", NULL};
	char name[96];
	unsigned n = 0;

	write_vcl(backends);
	varnishd = spawn(log_file, daemon);
	/* the backends come after the rest */
	for (int i = 0; i < 200 && n < 20 * backends; i++) {
		if (run(output, stat))
			n = count_values();
		usleep(50000);
	}
	if (n < 20 * backends)
		fail("varnishd did not start");
	snprintf(name, sizeof(name), "Varnish: varnishstat -1 -j, whole process, %u counters", n);
	measure(name, stat);
	end_varnishd();
}

int main(int argc, char **argv)
{
	static const unsigned backends[] = {34, 484};
	char *version[] = {STAT, "-V", NULL};
	const char *dir = argc > 1 ? argv[1] : "";

	if (mkdir(dir, 0700))
		fail(strerror(errno));
	snprintf(vcl, sizeof(vcl), "%s/bench.vcl", dir);
	snprintf(output, sizeof(output), "%s/output", dir);
	snprintf(log_file, sizeof(log_file), "%s/log", dir);
	measure("Varnish: varnishstat -V, its start alone", version);
	for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
		snprintf(work, sizeof(work), "%s/work%zu", dir, i);
		measure_varnishd(backends[i]);
	}
	return 0;
}
