/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the provider costs: tallyd with all producers at 1 s and one TLS link to a gatherer, measured
 * from outside for a minute; and what a poll of many segments takes, in this process.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/bench/bench.h"
#include "tests/lib/polling.h"
#include "tests/lib/segmaker.h"
#include "user/lib/util.h"

#define WINDOWS  6
#define WINDOW_S 10
#define SEGMENTS 500u
#define POLLS    101

static char dir[512];

/* --- processes ------------------------------------------------------------------------------- */

static pid_t spawn(const char *log, char *const argv[])
{
	char path[600];
	pid_t pid = fork();
	int fd;

	if (pid)
		return pid;
	snprintf(path, sizeof(path), "%s/%s", dir, log);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
	dup2(fd, 1);
	dup2(fd, 2);
	execv(argv[0], argv);
	_exit(127);
}

static void end(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
}

/* A port that was free a moment ago. */
static int free_port(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&addr, len) ||
		getsockname(fd, (struct sockaddr *)&addr, &len))
		exit(1);
	close(fd);
	return ntohs(addr.sin_port);
}

static bool wait_for_text(const char *name, const char *text)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	for (int i = 0; i < 100; i++) {
		struct buf b = BUF_INIT;
		bool found;

		read_file_at(AT_FDCWD, path, 1u << 20, &b);
		buf_put_u8(&b, 0);
		found = b.len > 1 && strstr((char *)b.data, text);
		buf_release(&b);
		if (found)
			return true;
		usleep(100000);
	}
	return false;
}

/* --- figures of a process -------------------------------------------------------------------- */

static double status_kib(pid_t pid, const char *field)
{
	char path[64], line[256];
	double v = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)) && line[strlen(field)] == ':')
			v = atof(line + strlen(field) + 1);
	if (f)
		fclose(f);
	return v;
}

static double cpu_ns(pid_t pid)
{
	char path[64];
	double v = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%lf", &v) != 1)
		fprintf(stderr, "%s can't be read\n", path);
	if (f)
		fclose(f);
	return v;
}

static double directory_bytes(const char *name)
{
	char cmd[600];
	double v = 0;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "du -sb --apparent-size '%s/%s'", dir, name);
	f = popen(cmd, "r");
	if (!f || fscanf(f, "%lf", &v) != 1)
		v = 0;
	if (f)
		pclose(f);
	return v;
}

static void measure_process(struct bench *b, pid_t pid, const char *how)
{
	double cpu[WINDOWS], before = cpu_ns(pid), ring = directory_bytes("state/ring");
	char name[96];

	for (int i = 0; i < WINDOWS; i++) {
		double now;

		sleep(WINDOW_S);
		now = cpu_ns(pid);
		cpu[i] = (now - before) / WINDOW_S / 1e9 * 100;
		before = now;
	}
	snprintf(name, sizeof(name), "CPU at 1 s, %s", how);
	bench_samples(b, name, "% of a core", cpu, WINDOWS);
	bench_at_most(b, 0.2);
	snprintf(name, sizeof(name), "anonymous memory, %s", how);
	bench_value(b, name, "KiB", status_kib(pid, "RssAnon"));
	bench_at_most(b, 4096);
	snprintf(name, sizeof(name), "resident memory, %s", how);
	bench_value(b, name, "KiB", status_kib(pid, "VmRSS"));
	bench_at_most(b, 12288);
	bench_value(b, "ring", "B/snapshot",
		(directory_bytes("state/ring") - ring) / (WINDOWS * WINDOW_S));
}

static int measure_tallyd(struct bench *b)
{
	const char *build = getenv("B") ? getenv("B") : "build";
	const struct passwd *pw = getpwuid(getuid());
	char *user = strdup(pw ? pw->pw_name : "root");
	char tallyd[600], gatherer[600], listen[64], state[600], seg[600], data[600], furl[600];
	char *provider_argv[] = {tallyd, "--foreground", "--interval", "1s", "--state-dir", state,
		"--segment-dir", seg, "--furl-file", furl, NULL};
	char *gatherer_argv[] = {gatherer, "--foreground", "--interval", "1s", "--data-dir", data,
		"--listen", listen, "--http-listen", "", "--furl-file", furl, "--user", user, NULL};
	pid_t g = 0, p;
	bool linked;

	snprintf(tallyd, sizeof(tallyd), "%s/bin/tallyd", build);
	snprintf(gatherer, sizeof(gatherer), "%s/bin/tally-gatherer", build);
	snprintf(state, sizeof(state), "%s/state", dir);
	snprintf(seg, sizeof(seg), "%s/seg", dir);
	snprintf(data, sizeof(data), "%s/data", dir);
	snprintf(furl, sizeof(furl), "%s/furl", dir);
	snprintf(listen, sizeof(listen), "127.0.0.1:%d", free_port());
	if (!access(gatherer, X_OK)) {
		g = spawn("gatherer.log", gatherer_argv);
		wait_for_text("furl", "tally://");
	}
	p = spawn("tallyd.log", provider_argv);
	if (!wait_for_text("tallyd.log", "ready: ")) {
		fprintf(stderr, "tallyd did not start; see %s/tallyd.log\n", dir);
		end(g);
		return 1;
	}
	linked = g && wait_for_text("tallyd.log", "connected to gatherer");
	sleep(2);
	measure_process(b, p, linked ? "with a link" : "without a link");
	end(p);
	end(g);
	free(user);
	return 0;
}

/* --- many segments --------------------------------------------------------------------------- */

static int measure_segments(struct bench *b)
{
	static const struct segmaker_metric metrics[] = {{"a", TALLY_TYPE_COUNTER, 0},
		{"b", TALLY_TYPE_COUNTER, 0}, {"c", TALLY_TYPE_COUNTER, 0},
		{"d", TALLY_TYPE_COUNTER, 0}, {"e", TALLY_TYPE_GAUGE, 0}};
	struct producer p = {.ops = &producer_segments};
	char seg[600], state[600];
	struct provider_env env = {
		.segment_dir = seg, .state_dir = state, .interval_ns = NSEC_PER_SEC};
	struct snapshot snap = {0};
	struct errmsg e = {""};
	double samples[POLLS];
	int fds[SEGMENTS];

	snprintf(seg, sizeof(seg), "%s/many", dir);
	snprintf(state, sizeof(state), "%s/many-state", dir);
	mkdir(seg, 0700);
	mkdir(state, 0700);
	for (unsigned i = 0; i < SEGMENTS; i++) {
		char name[32], program[32];

		snprintf(name, sizeof(name), "s%u", i);
		snprintf(program, sizeof(program), "program%u", i % 20);
		fds[i] = segmaker_make(seg, name, program, metrics, 5);
	}
	if (p.ops->open(&p, &env, &e)) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	polling_take(&p, &snap);
	for (int i = 0; i < POLLS; i++) {
		uint64_t begin = clock_monotonic_ns();

		polling_take(&p, &snap);
		samples[i] = (double)(clock_monotonic_ns() - begin) / 1e3 / SEGMENTS;
	}
	bench_samples(b, "poll of a living segment (500 of 20 programs)", "us", samples, POLLS);
	for (unsigned i = 0; i < SEGMENTS; i++)
		close(fds[i]);
	samples[0] = (double)clock_monotonic_ns();
	polling_take(&p, &snap);
	bench_value(b, "fold of a dead segment (500 at once)", "us",
		((double)clock_monotonic_ns() - samples[0]) / 1e3 / SEGMENTS);
	p.ops->close(&p);
	snapshot_release(&snap);
	return 0;
}

int main(void)
{
	struct bench b = {.name = "provider",
		.unit = "KiB",
		.about = "tallyd with all producers at an interval of 1 s, from its third second "
			 "on"};
	char cmd[1200];
	int failed;

	snprintf(dir, sizeof(dir), "%s/tmp/bench-provider", getenv("B") ? getenv("B") : "build");
	snprintf(cmd, sizeof(cmd), "rm -rf '%s' && mkdir -p '%s/seg'", dir, dir);
	if (system(cmd))
		return 1;
	failed = measure_segments(&b) || measure_tallyd(&b);
	return failed || bench_write(&b) ? 1 : 0;
}
